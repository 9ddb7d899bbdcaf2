"""An .ifq file of either arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tinier_yolo.errors import PathLike
from tinier_yolo.ifq import container
from tinier_yolo.ifq.program import Program

if TYPE_CHECKING:
    from tinier_yolo.ifq.fixed_point.program import FixedPointProgram

#: What an .ifq file holds: binary weights and thresholds, or fixed-point numbers.
AnyProgram: TypeAlias = "Program | FixedPointProgram"


def load_program(path: PathLike) -> AnyProgram:
    """Read an .ifq file.

    Raises:
        ProgramError: it cannot be read, is damaged, or is no program that this version runs.
    """
    data = container.read(path)
    _, metadata = container.unpack(data, path)
    if "arithmetic" not in metadata:
        return Program.from_bytes(data, path)
    from tinier_yolo.ifq.fixed_point.program import FixedPointProgram  # start-up without it is quicker

    return FixedPointProgram.from_bytes(data, path)

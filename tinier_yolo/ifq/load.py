"""An .ifq file of either arithmetic."""

from __future__ import annotations

from tinier_yolo.errors import PathLike
from tinier_yolo.ifq import container
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.program import Program

#: What an .ifq file holds: binary weights and thresholds, or fixed-point numbers.
AnyProgram = Program | FixedPointProgram


def load_program(path: PathLike) -> AnyProgram:
    """Read an .ifq file.

    Raises:
        ProgramError: it cannot be read, is damaged, or is no program that this version runs.
    """
    data = container.read(path)
    _, metadata = container.unpack(data, path)
    kind = FixedPointProgram if "arithmetic" in metadata else Program
    return kind.from_bytes(data, path)

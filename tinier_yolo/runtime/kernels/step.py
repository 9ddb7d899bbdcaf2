"""Step: a kernel with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Target(Protocol):
    """A map that a step writes."""

    @property
    def data(self) -> NDArray[Any]:
        """Its memory."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """A kernel with its arguments.

    A kernel takes the fields of its named tuples one by one, and makes the tuples again inside: so handed over, they
    take a third of the time that whole tuples take.

    Attributes:
        name: what it does, for tables.
        kernel: called with the image if ``takes_image``, the arguments, and a range of units.
        parallel: its twin on several threads, called with their number, the number of units, and the same without the
            range.
        arguments: see ``kernel``.
        units: how many units there are; any ranges that cover them do, in any order.
        target: the map that it writes; None for the output's.
        takes_image: see ``kernel``.
        macs: multiply-accumulates of its convolution; 0 where it has none.
        planes: bits of a level of its input map, for a convolution.
        scratch: bytes that a thread needs while it works, beside the maps.
        layer: the number of the layer that it belongs to, from 0.
    """

    name: str
    kernel: Callable[..., None]
    parallel: Callable[..., None]
    arguments: tuple[Any, ...]
    units: int
    target: Target | None
    takes_image: bool = False
    macs: int = 0
    planes: int = 0
    scratch: int = 0
    layer: int = 0

    def run(self, image: NDArray[np.uint8], threads: int = 1) -> None:
        """Do all units, on this thread or on several: ``threads.set_threads`` must have allowed those."""
        arguments = (image, *self.arguments) if self.takes_image else self.arguments
        if threads == 1:
            self.kernel(*arguments, 0, self.units)
        else:
            self.parallel(threads, self.units, *arguments)

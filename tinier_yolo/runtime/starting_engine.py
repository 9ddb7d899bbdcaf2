"""StartingEngine: the first pictures of a process without the compiled kernels, the others with them.

Loading compiled kernels takes about as long as two dozen pictures by :mod:`tinier_yolo.runtime.light_engine`, and
compiling them as long as three hundred. So a process that looks at one picture never loads them; one that looks at many
loads them as soon as that is the shorter way; and where they are not compiled yet, other processes compile them while
this one goes on. Both engines give the same integers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.load import AnyProgram
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.checks import checked_image
from tinier_yolo.runtime.light_engine import LightEngine, fits, runs

if TYPE_CHECKING:
    from tinier_yolo.runtime.background import Compilation
    from tinier_yolo.runtime.engine import Engine

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]

#: Multiply-accumulates that the light engine does while kernels are loaded: 22 pictures of Tinier-YOLO at 416x416.
#: 1.3 s of CPU time and 46 ms a picture on a Zen 3 in 2026, where that would be 30; 0.7 s and 30 ms on a Zen 4.
LOADING_MACS = 12_000_000_000


class StartingEngine:
    """Runs a program on images of any size that its network can take; not for several threads at once.

    Args:
        program: the program.
        threads: how many threads share an image, once the kernels are there.
        pictures: how many will come, where that is known. Where they are worth the kernels, these are loaded after the
            first one.
    """

    def __init__(self, program: AnyProgram, threads: int = 1, pictures: int | None = None) -> None:
        if threads < 1:
            raise UsageError("bad number of threads", expected="at least 1", found=threads)
        self._program, self._threads, self._pictures = program, threads, pictures
        self._light = LightEngine(program) if isinstance(program, Program) and runs(program) else None
        self._engine: Engine | None = None
        self._compilation: Compilation | None = None
        self._spent = 0
        self._macs, self._fits = cache(self._count), cache(self._is_small)

    def run(self, image: Bytes) -> Int32:
        """As ``Engine.run``.

        Raises:
            UsageError: the image is of another type or shape, or a map would be too large.
            CfgError: the network cannot take the size.
        """
        if self._engine is not None:
            return self._engine.run(image)
        image = checked_image(image, self._program.network.input.channels)
        height, width = image.shape[:2]
        if self._light is not None and self._fits(height, width) and not self._has_kernels(height, width):
            return self._light.run(image)
        self._light = self._compilation = None
        from tinier_yolo.runtime.engine import Engine  # Numba with it

        self._engine = Engine(self._program, self._threads)
        return self._engine.run(image)

    def _has_kernels(self, height: int, width: int) -> bool:
        """Whether this picture, of this size, is worth the kernels, and they are compiled."""
        macs = self._macs(height, width)
        most = LOADING_MACS if self._pictures is None or self._pictures * macs <= LOADING_MACS else macs
        if self._spent + macs <= max(most, macs):
            self._spent += macs
            return False
        if self._compilation is None:
            from tinier_yolo.runtime.background import Compilation

            assert isinstance(self._program, Program), "the light engine runs no other"
            self._compilation = Compilation(self._program, height, width, self._threads)
        return self._compilation.is_done()

    def _is_small(self, height: int, width: int) -> bool:
        assert isinstance(self._program, Program), "the light engine runs no other"
        return fits(self._program.works(height, width))

    def _count(self, height: int, width: int) -> int:
        # Checked here as the plan of an engine is.
        shapes = self._program.shapes(height, width)
        layers = (*self._program.layers, self._program.output) if isinstance(self._program, Program) else ()
        return sum(layer.macs(shape) for layer, shape in zip(layers, shapes, strict=False))

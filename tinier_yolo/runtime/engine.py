"""Engine: an integer program and the buffers it runs in."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.load import AnyProgram
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.checks import checked_image
from tinier_yolo.runtime.plan import PackedProgram, Plan

if TYPE_CHECKING:
    from tinier_yolo.runtime.fixed_point.plan import FixedPointPlan, PackedFixedPointProgram

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
AnyPlan: TypeAlias = "Plan | FixedPointPlan"

#: Sizes whose buffers are kept: a stream of images has one, an evaluation of several scales a few.
KEPT_SIZES = 4


class Engine:
    """Runs a program on images of any size that its network can take; not for several threads at once.

    Args:
        program: the program.
        threads: how many threads share an image, at most; one where the machine has no fast way to share.

    Attributes:
        program: the program.
        threads: how many threads it uses.
    """

    def __init__(self, program: AnyProgram, threads: int = 1) -> None:
        if threads < 1:
            raise UsageError("bad number of threads", expected="at least 1", found=threads)
        self.program = program
        self.threads = _usable(threads)
        self._packed = _pack(program)
        self._plans: OrderedDict[tuple[int, int], AnyPlan] = OrderedDict()

    def run(self, image: Bytes) -> Int32:
        """The output map for an image.

        Args:
            image: uint8 (height, width, channels), RGB; height and width multiples of the network's stride.

        Returns:
            int32 (channels, height / stride, width / stride), in units of 2^-``program.fraction_bits``; a new array.

        Raises:
            UsageError: the image is of another type or shape.
        """
        image = checked_image(image, self.program.network.input.channels)
        return self._run(self.plan(*image.shape[:2]), image)

    def run_maps(self, image: Bytes) -> tuple[list[NDArray[np.integer]], Int32]:
        """Every map that ``run`` makes: those of each layer, (channels, height, width), and the output.

        Levels are uint8, the numbers of a fixed-point program int16.
        """
        image = checked_image(image, self.program.network.input.channels)
        plan = self.plan(*image.shape[:2])
        output = self._run(plan, image)
        return [packed.levels() for packed in plan.maps], output

    def plan(self, height: int, width: int) -> AnyPlan:
        """The kernel calls and buffers for images of this size, made once.

        Raises:
            CfgError: the network cannot take the size.
            UsageError: a map would be too large.
        """
        size = (height, width)
        if size not in self._plans:
            self._plans[size] = self._packed.plan(height, width)
            if len(self._plans) > KEPT_SIZES:
                self._plans.popitem(last=False)
        self._plans.move_to_end(size)
        return self._plans[size]

    def _run(self, plan: AnyPlan, image: Bytes) -> Int32:
        threads = self.threads
        if threads > 1:
            from tinier_yolo.runtime.kernels.threads import set_threads

            threads = set_threads(threads)  # Numba keeps the number for each calling thread.
        return plan.run(image, threads)


def _pack(program: AnyProgram) -> PackedProgram | PackedFixedPointProgram:
    if isinstance(program, Program):
        return PackedProgram.of(program)
    from tinier_yolo.runtime.fixed_point.plan import PackedFixedPointProgram  # start-up without it is quicker

    return PackedFixedPointProgram.of(program)


def _usable(threads: int) -> int:
    if threads == 1:
        return 1
    from tinier_yolo.runtime.kernels.threads import usable_threads

    return usable_threads(threads)

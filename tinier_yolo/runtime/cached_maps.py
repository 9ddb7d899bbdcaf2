"""Many images through fixed-point layers of which few change: maps in front of the first changed one are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.fixed_point.layer import FixedPointLayer
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.runtime.fixed_point_plan import integer_maps
from tinier_yolo.runtime.kernels.products.layer import PackedLayer, widen_step

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]


class CachedMaps:
    """Images of one size, and their maps in the layers that were accepted last.

    Args:
        program: the first layers; only its shapes count.
        images: uint8 (height, width, channels), all of one size.

    Attributes:
        layers_run: how many layers were run over all images so far, to see what the cache saves.
    """

    def __init__(self, program: FixedPointProgram, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = [np.require(image, requirements=("C", "W")) for image in images]
        image, *self._maps = integer_maps(program, *self._images[0].shape[:2])
        self._image = image
        self._accepted: tuple[FixedPointLayer, ...] = ()
        self._kept: list[list[Int16]] = []
        self._tried: tuple[tuple[FixedPointLayer, ...], int, list[list[Int16]]] | None = None
        self.layers_run = 0

    def run(self, layers: tuple[FixedPointLayer, ...]) -> list[Int32]:
        """The output map of each image, int32 (channels, height, width).

        Layers are compared by identity with those that were accepted: what lies in front of the first other one is not
        run again.
        """
        same = (one is other for one, other in zip(layers, self._accepted, strict=False))
        first = next((number for number, is_same in enumerate(same) if not is_same), len(self._accepted))
        first = min(first, len(layers) - 1)  # The output is not read from the cache, so that it need not be told apart.
        steps, read = [], self._image if first == 0 else self._maps[first - 1]
        if first == 0:
            steps.append([widen_step(self._image)])
        for number in range(first, len(layers)):
            steps.append(PackedLayer.of(layers[number], number == 0).steps(read, self._maps[number]))
            read = self._maps[number]
        self.layers_run += (len(layers) - first) * len(self._images)
        outputs, tried = [], []
        for index, image in enumerate(self._images):
            if first:
                self._maps[first - 1].data[:] = self._kept[index][first - 1]
            for step in (step for own in steps for step in own):
                step.run(image)
            tried.append([own.data.copy() for own in self._maps[first:]])
            outputs.append(self._maps[-1].values().astype(np.int32))
        self._tried = layers, first, tried
        return outputs

    def accept(self, layers: tuple[FixedPointLayer, ...]) -> None:
        """Keep the maps of the layers that were run last.

        Raises:
            ValueError: others were run last.
        """
        if self._tried is None or any(one is not other for one, other in zip(layers, self._tried[0], strict=True)):
            raise ValueError("only the layers that were run last can be accepted")
        _, first, tried = self._tried
        if self._kept:
            self._kept = [[*kept[:first], *new] for kept, new in zip(self._kept, tried, strict=True)]
        else:
            self._kept = tried
        self._accepted, self._tried = layers, None

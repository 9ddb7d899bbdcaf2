"""Many images through fixed-point layers of which few change: maps in front of the first changed one are kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.fixed_point.layer import FixedPointLayer
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.runtime.fixed_point.plan import integer_maps
from tinier_yolo.runtime.kernels.products.layer import IntegerMap, PackedLayer, widen_step
from tinier_yolo.runtime.kernels.step import Step

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class _Buffers:
    """The maps that one thread runs layers in: the image's and each layer's."""

    image: IntegerMap
    maps: list[IntegerMap]

    def steps(self, layers: Sequence[PackedLayer], first: int) -> list[Step]:
        """What makes the output of the map in front of the layer ``first``; ``layers`` begin with that one."""
        steps = [widen_step(self.image)] if first == 0 else []
        read = self.image if first == 0 else self.maps[first - 1]
        for layer, write in zip(layers, self.maps[first:], strict=True):
            steps += layer.steps(read, write)
            read = write
        return steps


class CachedMaps:
    """Images of one size, and their maps in the layers that were accepted last.

    Args:
        program: the first layers; only its shapes count.
        images: uint8 (height, width, channels), all of one size.
        threads: among how many threads the images are shared out.
        keep: whether layers will be accepted; without it only outputs are held, not the maps of all images.

    Attributes:
        layers_run: how many layers were run over all images so far, to see what the cache saves.
    """

    def __init__(
        self, program: FixedPointProgram, images: Sequence[NDArray[np.uint8]], threads: int = 1, keep: bool = True
    ) -> None:
        self._images = [np.require(image, requirements=("C", "W")) for image in images]
        self._buffers, self._keep = [], keep
        for _ in range(min(threads, len(images))):
            image, *maps = integer_maps(program, *self._images[0].shape[:2])
            self._buffers.append(_Buffers(image, maps))
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
        packed = [PackedLayer.of(layers[number], number == 0) for number in range(first, len(layers))]
        self.layers_run += len(packed) * len(self._images)
        workers = len(self._buffers)
        with ThreadPoolExecutor(workers) as executor:  # Kernels release the interpreter's lock.
            shares = list(executor.map(lambda worker: self._share(packed, first, worker), range(workers)))
        done = [shares[index % workers][index // workers] for index in range(len(self._images))]
        if self._keep:
            self._tried = layers, first, [maps for maps, _ in done]
        return [output for _, output in done]

    def _share(self, packed: list[PackedLayer], first: int, worker: int) -> list[tuple[list[Int16], Int32]]:
        # The maps and the output of every image of a worker: it takes each so-and-so-many-th.
        buffers = self._buffers[worker]
        steps, made = buffers.steps(packed, first), []
        for index in range(worker, len(self._images), len(self._buffers)):
            if first:
                buffers.maps[first - 1].data[:] = self._kept[index][first - 1]
            for step in steps:
                step.run(self._images[index])
            maps = [own.data.copy() for own in buffers.maps[first:]] if self._keep else []
            made.append((maps, buffers.maps[-1].values().astype(np.int32)))
        return made

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

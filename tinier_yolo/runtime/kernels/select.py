"""Which kernels a layer gets: those that should be the quickest here. Nothing else in the program chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import OutputLayer, QuantizedLayer
from tinier_yolo.runtime.kernels.costs import Costs, costs
from tinier_yolo.runtime.kernels.image import layer as image
from tinier_yolo.runtime.kernels.lookup import layer as lookup
from tinier_yolo.runtime.kernels.popcount import layer as popcount
from tinier_yolo.runtime.kernels.rows import layer as rows
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap


class Family(Protocol):
    """A family of kernels: the module ``layer`` of its folder."""

    def fits(self, layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> bool:
        """Whether it can run a layer from the one map into the other."""

    def cost(self, layer: QuantizedLayer, read: MapLayout, write: MapLayout, costs: Costs) -> float:
        """How many nanoseconds it should take on this machine for a layer that it can run."""

    def pack(self, layer: QuantizedLayer) -> Any:
        """The layer as its kernels take it, made once for maps of every size."""

    def steps(self, packed: Any, read: PackedMap, write: PackedMap) -> list[Step]:
        """What makes the one map of the other, in order."""


#: Of several that should take equally long the first one is preferred; the last one runs every layer.
FAMILIES: tuple[Family, ...] = (image, rows, lookup, popcount)


def chosen(layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> Family:
    """The family that should be the quickest for a layer from the one map into the other, on this machine."""
    able = [family for family in FAMILIES if family.fits(layer, read, write)]
    return min(able, key=lambda family: family.cost(layer, read, write, costs()))


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A layer, packed once for each family that runs it: at another size of image that may be another one."""

    layer: QuantizedLayer
    _packed: dict[Family, Any] = field(default_factory=dict)

    def steps(self, read: PackedMap, write: PackedMap) -> list[Step]:
        """What makes the one map of the other, in order; an image that no family reads as it is is packed first."""
        family = chosen(self.layer, read.layout, write.layout)
        if family not in self._packed:
            self._packed[family] = family.pack(self.layer)
        return with_image(family.steps(self._packed[family], read, write), read)


@dataclass(frozen=True, eq=False)
class PackedOutputLayer:
    """The last convolution, whose sums are the output map: they are counted."""

    packed: popcount.PackedOutput

    @classmethod
    def of(cls, layer: OutputLayer) -> PackedOutputLayer:
        """Pack the last layer."""
        return cls(popcount.PackedOutput.of(layer))

    def steps(self, read: PackedMap) -> tuple[NDArray[np.int32], list[Step]]:
        """The result, int32 [cell][filter] with more of both than there are, and what makes it of the last map."""
        result, step = popcount.output_step(self.packed, read)
        return result, with_image([step], read)


def with_image(steps: list[Step], read: PackedMap) -> list[Step]:
    """The steps, after one that makes their map of the image, where they read that and not the image itself."""
    return [image.pack_step(read), *steps] if read.layout.is_image and not steps[0].takes_image else steps

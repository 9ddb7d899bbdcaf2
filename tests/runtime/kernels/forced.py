"""Families of kernels wherever they can run a layer, not only where they pay on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.kernels import select
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.image import layer as image
from tinier_yolo.runtime.kernels.popcount import layer as popcount
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap


@dataclass(frozen=True, eq=False)
class Forced:
    """A family that gets every layer that it can run."""

    family: select.Family
    fits: Callable[[QuantizedLayer, MapLayout, MapLayout], bool]

    def cost(self, _layer: QuantizedLayer, _read: MapLayout, _write: MapLayout, _costs: Costs) -> float:
        return 0.0

    def pack(self, layer: QuantizedLayer) -> Any:
        return self.family.pack(layer)

    def steps(self, packed: Any, read: PackedMap, write: PackedMap) -> list[Step]:
        return self.family.steps(packed, read, write)


def force(
    monkeypatch: pytest.MonkeyPatch,
    family: select.Family,
    fits: Callable[[QuantizedLayer, MapLayout, MapLayout], bool],
) -> None:
    """Prefer this family for every layer but one that reads an image's bytes."""
    monkeypatch.setattr(select, "FAMILIES", (image, Forced(family, fits), popcount))

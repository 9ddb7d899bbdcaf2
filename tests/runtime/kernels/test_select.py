"""Which family a layer gets, how often it is packed, and when the image is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tests.runtime.kernels.test_packing import program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels import select
from tinier_yolo.runtime.kernels.costs import Costs, usual
from tinier_yolo.runtime.kernels.lookup.vectors import BITS
from tinier_yolo.runtime.kernels.popcount import layer as popcount
from tinier_yolo.runtime.kernels.step import Step
from tinier_yolo.runtime.maps import MapLayout, PackedMap


@dataclass(eq=False)
class Noted:
    """The popcount kernels under another name, up to some width, and what they cost."""

    widest: int
    nanoseconds: float
    packed: list[QuantizedLayer] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)

    def fits(self, _layer: QuantizedLayer, read: MapLayout, _write: MapLayout) -> bool:
        return read.shape.width <= self.widest

    def cost(self, _layer: QuantizedLayer, _read: MapLayout, _write: MapLayout, _costs: Costs) -> float:
        return self.nanoseconds

    def pack(self, layer: QuantizedLayer) -> popcount.PackedLayer:
        self.packed.append(layer)
        return popcount.pack(layer)

    def steps(self, packed: popcount.PackedLayer, read: PackedMap, write: PackedMap) -> list[Step]:
        self.widths.append(read.layout.shape.width)
        return popcount.steps(packed, read, write)


def test_the_quickest_family_that_fits_a_layer_gets_it_and_packs_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = Noted(16, 0.01), Noted(1000, 0.02)
    monkeypatch.setattr(select, "FAMILIES", (popcount, wide, narrow))
    layer = program(Block(8)).layers[0]
    packed = select.PackedLayer(layer)
    for width in (8, 16, 17, 32, 8):
        read, write = (PackedMap(MapLayout(layer.convolution.input._replace(width=width), 2, 1)) for _ in range(2))
        packed.steps(read, write)
    assert narrow.widths == [8, 16, 8]
    assert wide.widths == [17, 32]
    assert narrow.packed == wide.packed == [layer]


def test_the_last_family_takes_everything() -> None:
    assert select.FAMILIES[-1] is popcount
    assert popcount.fits(program(Block(1)).layers[0], *[MapLayout(program(Block(1)).network.input, 8, 1)] * 2)


@pytest.mark.parametrize(("height", "packs"), [(16, False), (10, True)])
@pytest.mark.parametrize("blocks", [[], [Block(8, pool=(2, 2))]])
def test_the_image_is_packed_where_no_family_reads_it(height: int, packs: bool, blocks: list[Block]) -> None:
    rng = np.random.default_rng(0)
    image = random_image(rng, height, 32)
    plan = Engine(random_program(ifq_cfg(blocks, 32, height), rng, image)).plan(height, 32)
    assert [step.name == "pack image" for step in plan.steps].count(True) == (packs or not blocks)
    assert [step.layer for step in plan.steps][-1] == len(blocks)


def name(layer: QuantizedLayer, read: MapLayout, write: MapLayout) -> str:
    module: str = getattr(select.chosen(layer, read, write), "__name__", "")
    return module.split(".")[-2]


@pytest.mark.skipif(not BITS, reason="this machine has no instruction to look up bytes with")
@pytest.mark.parametrize(
    ("given", "expected"),
    [(Costs(1, 0.01, 9, 9), "popcount"), (Costs(1, 99, 0.01, 0.01), "lookup"), (Costs(1, 99, 99, 99), "rows")],
)
def test_what_is_cheap_here_decides(given: Costs, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "costs", lambda: given)
    layer = replace(program(Block(64, pool=(2, 2)), 32).layers[0], input_bits=2)
    read = MapLayout(Shape(32, 104, 104), 2, 1)
    assert name(layer, read, MapLayout(Shape(64, 52, 52), 2, 1)) == expected


@pytest.mark.skipif(not BITS, reason="this machine has no instruction to look up bytes with")
def test_narrow_layers_add_slots_and_wide_ones_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "costs", usual)
    chosen = []
    for channels, filters, width in ((16, 32, 208), (128, 256, 26), (256, 512, 13)):
        layer = replace(program(Block(filters, pool=(2, 2)), channels).layers[0], input_bits=2)
        read = MapLayout(Shape(channels, width, width), 2, 1)
        chosen.append(name(layer, read, MapLayout(layer.output(read.shape), 2, 1)))
    assert chosen == ["rows", "lookup", "lookup"]

"""The layout of the first layer's kernel, and where it is used."""

from __future__ import annotations

import numpy as np

from tests.networks import Block
from tests.runtime.kernels.test_packing import program
from tinier_yolo.darknet.layers import Shape
from tinier_yolo.runtime.kernels.image.layer import fits, pack
from tinier_yolo.runtime.maps import MapLayout


def test_patterns_and_signs_are_the_weights() -> None:
    layer = program(Block(30, pool=(2, 2))).layers[0]
    packed = pack(layer).filters
    patterns = [(1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1)]
    for f in range(30):
        for t in range(9):
            term = int(packed.terms[f, t])
            sign, term = (-1, ~term) if term < 0 else (1, term)
            place, pattern = divmod(term // 32, 4)
            assert (place, term % 32) == (t, 0)
            row, channel = divmod(t, 3)
            assert layer.signs[f, channel, row].tolist() == [sign * s for s in patterns[pattern]]
    np.testing.assert_array_equal(packed.thresholds, layer.thresholds)


def test_which_first_layers_are_for_the_image_kernel() -> None:
    write = MapLayout(Shape(8, 16, 32), 2, 1)

    def fitting_one(block: Block, shape: Shape | None = None, planes: int = 8) -> bool:
        return fits(program(block).layers[0], MapLayout(shape or Shape(3, 32, 64), planes, 1), write)

    fitting = Block(8, pool=(2, 2))
    assert fitting_one(fitting)
    assert not fitting_one(fitting, planes=2)  # A map that is no image.
    for block in (
        Block(8),
        Block(8, pool=(2, 1)),
        Block(8, 1, 1, 0, (2, 2)),
        Block(8, 3, 2, 1, (2, 2)),
        Block(8, 3, 1, 0, (2, 2)),
    ):
        assert not fitting_one(block)
    for other in (Shape(3, 24, 64), Shape(3, 32, 48), Shape(4, 32, 64)):
        assert not fitting_one(fitting, other)

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests import small_ifq
from tinier_yolo.benchmark.network import Timing, random_parameters, time_network
from tinier_yolo.darknet.network import Network
from tinier_yolo.quantization.convert import convert
from tinier_yolo.runtime.engine import Engine


def test_timing_is_in_milliseconds() -> None:
    assert Timing.of([0.004, 0.001, 0.002]) == Timing(median=2, best=1)


def test_random_parameters_fit_and_leave_every_map_alive(root: Path) -> None:
    for name in ("ifq-tinier-yolo-face", "tinier-yolo-face"):
        network = Network.load(root / f"cfg/{name}.cfg")
        for layer, arrays in zip(network.layers, random_parameters(network), strict=True):
            assert {key: array.shape for key, array in arrays.items()} == dict(layer.parameters)
    integer = Network.load(root / "cfg/ifq-tinier-yolo-face.cfg")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    maps, _ = Engine(convert(integer, random_parameters(integer)).program).run_maps(image)
    assert all(set(np.unique(levels)) == {0, 1, 2, 3} for levels in maps)


def test_every_step_is_timed() -> None:
    network = Network.parse(small_ifq.CFG)
    engine = Engine(convert(network, random_parameters(network)).program)
    whole, steps = time_network(engine, np.zeros((32, 64, 3), np.uint8), runs=2)
    assert 0 < whole.best <= whole.median
    assert [step.name for step in steps] == [step.name for step in engine.plan(32, 64).steps]

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.detection.detector import Detector
from tinier_yolo.errors import WeightsError
from tinier_yolo.ifq import reference
from tinier_yolo.quantization.convert import convert
from tinier_yolo.training.initialize import load_initial
from tinier_yolo.training.model import DarknetModel, Weighted
from tinier_yolo.training.widen import narrower_twins, widen

BLOCK_1X1 = {
    False: "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=1\npad=1\nactivation=leaky\n",
    True: "[convolutional]\nbinary=1\nfilters=16\nsize=1\npad=1\nactivation=linear\n"
    "[batchnorm]\n[activation]\nactivation=hwgq\nbits=2\n",
}


def networks(binary: bool) -> tuple[Network, Network]:
    """(narrow, wide): the narrow one has a 1x1 kernel where the wide one has 3x3, as Tinier-YOLO and Tiny-YOLO."""
    last = "[convolutional]\nfilters=12"
    narrow = tiny_cfg(binary).replace(last, BLOCK_1X1[binary] + last)
    wide = narrow.replace("size=1\npad=1", "size=3\npad=1")
    for filters in (16, 12, 8):
        wide = wide.replace(f"filters={filters}\nsize=3", f"filters={2 * filters}\nsize=3")
    return Network.parse(narrow, "narrow.cfg"), Network.parse(wide, "wide.cfg")


def random_parameters(network: Network, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name in ("variances", "scales"):
            return rng.uniform(0.5, 2, shape).astype(np.float32)
        values = rng.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape)
        if name == "weights":
            values[rng.random(shape) < 0.02] = 0
        return values.astype(np.float32)

    return tuple({name: array(name, shape) for name, shape in layer.parameters} for layer in network.layers)


def model_of(network: Network, parameters: Parameters) -> DarknetModel:
    model = DarknetModel(network)
    model.load_parameters(parameters)
    return model.eval()


@pytest.mark.parametrize("binary", [False, True], ids=["float", "ifq"])
def test_the_narrower_twin_of_tiny_is_tinier(root: Path, binary: bool) -> None:
    prefix = "ifq-" if binary else ""
    wide, narrow = (Network.load(root / "cfg" / f"{prefix}{name}-yolo-face.cfg") for name in ("tiny", "tinier"))
    found = list(narrower_twins(wide))
    assert [layer.parameters for layer in found[-1].layers] == [layer.parameters for layer in narrow.layers]
    assert len(found) == 2


@pytest.mark.parametrize("binary", [False, True], ids=["float", "ifq"])
def test_the_maps_of_the_wide_network_are_those_of_the_narrow_one_twice(binary: bool) -> None:
    narrow, wide = networks(binary)
    parameters = random_parameters(narrow)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        expected = model_of(narrow, parameters).maps(images)
        found = model_of(wide, widen(parameters, narrow, wide)).maps(images)
    quantised = 0
    for layer, before, after in zip(narrow.layers, expected, found, strict=True):
        twice = before if after.shape == before.shape else torch.cat([before, before], 1)
        if layer.kind == "activation":
            assert torch.equal(twice, after)
            assert len(before.unique()) == 4
            quantised += 1
        torch.testing.assert_close(twice, after, rtol=0, atol=1e-5 * float(twice.abs().max()))
    assert quantised == (5 if binary else 0)


@pytest.mark.parametrize("binary", [False, True], ids=["float", "ifq"])
def test_the_boxes_are_the_same(binary: bool, tmp_path: Path) -> None:
    narrow, wide = networks(binary)
    parameters = random_parameters(narrow)
    save_weights(tmp_path / "narrow.weights", narrow, parameters)
    save_weights(tmp_path / "wide.weights", wide, load_initial(tmp_path / "narrow.weights", wide))
    rng, found = np.random.default_rng(1), []
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    for network in (narrow, wide):
        cfg = tmp_path / network.path
        cfg.write_text(network.text)
        found.append(Detector.load(cfg.with_suffix(".weights"), cfg).detect(image, 0.3))
    assert len(found[0]) == len(found[1]) > 3
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=0.02)
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-3)


def test_thresholds_double_and_levels_stay() -> None:
    narrow, wide = networks(True)
    parameters = random_parameters(narrow)
    before, after = (
        convert(network, arrays).program
        for network, arrays in ((narrow, parameters), (wide, widen(parameters, narrow, wide)))
    )
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    levels = twice = image.transpose(2, 0, 1)
    for index, (first, second) in enumerate(zip(before.layers, after.layers, strict=True)):
        factor = 1 if index == 0 else 2  # the image is not doubled
        filters = first.convolution.filters
        limit = np.abs(first.thresholds).max()  # what lies beyond every sum lies beyond every doubled one
        inside = np.abs(first.thresholds) < limit
        for copy in (second.thresholds[:filters], second.thresholds[filters:]):
            assert np.isin((copy - factor * first.thresholds)[inside], range(factor)).all()
        levels, twice = run_layer(first, levels), run_layer(second, twice)
        np.testing.assert_array_equal(np.concatenate([levels, levels]), twice)


def run_layer(layer: object, levels: np.ndarray) -> np.ndarray:
    signs = layer.signs  # type: ignore[attr-defined]
    sums = reference.convolve(levels, signs, layer.convolution.stride, layer.convolution.padding)  # type: ignore[attr-defined]
    pool = layer.pool  # type: ignore[attr-defined]
    sums = sums if pool is None else reference.max_pool(sums, pool)
    return reference.quantize(sums, layer.thresholds, layer.flips)  # type: ignore[attr-defined]


@pytest.mark.parametrize("binary", [False, True], ids=["float", "ifq"])
def test_copies_part_in_training_and_only_because_their_halves_differ(binary: bool) -> None:
    narrow, wide = networks(binary)
    parameters = random_parameters(narrow)
    apart = {}
    for spread in (0.0, 0.25):
        model = model_of(wide, widen(parameters, narrow, wide, spread)).train()
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        first = next(module for module in model.children_of_layers if isinstance(module, Weighted))
        for seed in range(4):
            images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            model(images.to(torch.uint8)).square().mean().backward()
            optimizer.step()
        weights = first.weights.detach()
        apart[spread] = float((weights[:8] - weights[8:]).abs().max() / weights.abs().max())
    assert apart[0.0] < 1e-5
    assert apart[0.25] > 1e-3


def test_a_float_network_half_as_wide_starts_an_ifq_network(tmp_path: Path) -> None:
    float_narrow, _ = networks(False)
    narrow, wide = networks(True)
    save_weights(tmp_path / "a.weights", float_narrow, random_parameters(float_narrow))
    through = widen(load_initial(tmp_path / "a.weights", narrow), narrow, wide)
    for arrays, again in zip(through, load_initial(tmp_path / "a.weights", wide), strict=True):
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], again[name])


def test_a_network_a_quarter_as_wide_is_refused(tmp_path: Path) -> None:
    narrow, wide = networks(False)
    quarter = next(narrower_twins(narrow))
    save_weights(tmp_path / "a.weights", quarter, random_parameters(quarter))
    with pytest.raises(WeightsError, match=r"does not belong to wide\.cfg"):
        load_initial(tmp_path / "a.weights", wide)


@pytest.mark.parametrize("change", [("filters=12\nsize=3", "filters=13\nsize=3"), ("[region]", "[dropout]\n[region]")])
def test_what_has_no_narrower_twin(change: tuple[str, str]) -> None:
    assert not list(narrower_twins(Network.parse(tiny_cfg(False).replace(*change))))

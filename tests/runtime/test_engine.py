"""The engine: whole networks against reference and float64, sizes, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import REGION, Block, ifq_cfg, random_image, random_parameters, random_program
from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.paths import load_image_list
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import CfgError, UsageError
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.media.images import read_image
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.fixed_point import FixedPoint
from tinier_yolo.quantization.float64 import evaluate
from tinier_yolo.runtime import engine as engine_module
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.image.kernels import convolve_image
from tinier_yolo.shipped import default_model


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("ifq-tinier-yolo-face", [(32, 32), (96, 160), (160, 64), (224, 224)]),
        ("ifq-tiny-yolo-face", [(64, 96)]),
    ],
)
def test_whole_networks(root: Path, name: str, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    network = Network.load(root / "cfg" / f"{name}.cfg")
    parameters = random_parameters(network, rng)
    program = convert(network, parameters).program
    engine = Engine(program)
    for height, width in sizes:
        image = random_image(rng, height, width)
        maps, output = engine.run_maps(image)
        assert output.shape == (30, height // 32, width // 32)
        expected, expected_output = reference.run_maps(program, image)
        real, real_output = evaluate(network, parameters, image)
        for found, wanted, lossless in zip(maps, expected, real, strict=True):
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(found, lossless)
        np.testing.assert_array_equal(output, expected_output)
        # Both numbers of a filter are rounded down by less than 2^-m, and the first is multiplied by the accumulator.
        error = np.abs(FixedPoint(program.fraction_bits).decode(output) - real_output)
        assert error.max() <= (1 + program.output.limit) / 2**program.fraction_bits


@pytest.mark.shared
def test_the_shipped_model_on_real_images(shared: Path) -> None:
    folder = shared / "data" / "faces"
    program = Program.load(default_model())
    engine = Engine(program)
    for name, size in zip(load_image_list(folder / "val.txt")[::75], [(416, 416), (320, 224), (96, 160)], strict=False):
        image = read_image(name)
        height, width = image.shape[:2]
        canvas = Letterbox.fit((width, height), size).apply(image)
        maps, output = engine.run_maps(canvas)
        expected, expected_output = reference.run_maps(program, canvas)
        for found, wanted in zip([*maps, output], [*expected, expected_output], strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert found.min() < found.max()


def small_engine(channels: int = 3) -> Engine:
    rng = np.random.default_rng(1)
    text = ifq_cfg([Block(5, pool=(2, 2)), Block(12)], 32, 32, channels)
    return Engine(random_program(text, rng, random_image(rng, 32, 32, channels)))


def test_each_run_gives_a_new_array_and_equal_images_equal_maps() -> None:
    engine, image = small_engine(), random_image(np.random.default_rng(2), 32, 32)
    first = engine.run(image)
    kept = first.copy()
    engine.run(255 - image)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(engine.run(image), kept)


def test_any_memory_layout_of_the_image_will_do() -> None:
    engine, image = small_engine(), random_image(np.random.default_rng(3), 32, 64)
    expected = engine.run(image)
    frozen = image.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(image), image[::-1].copy()[::-1], np.repeat(image, 2, axis=1)[:, ::2], frozen):
        np.testing.assert_array_equal(engine.run(same), expected)
    compiled: Any = convolve_image
    assert len(compiled.signatures) == 1


def test_buffers_are_made_once_for_a_size_and_a_few_sizes_are_kept() -> None:
    engine = small_engine()
    first = engine.plan(32, 32)
    for width in range(64, 64 + 32 * (engine_module.KEPT_SIZES - 1), 32):
        engine.plan(32, width)
    assert engine.plan(32, 32) is first
    engine.plan(96, 32)
    assert engine.plan(32, 32) is first  # The least recently used has gone.
    for width in range(256, 256 + 32 * engine_module.KEPT_SIZES, 32):
        engine.plan(32, width)
    assert engine.plan(32, 32) is not first


@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_give_the_same(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.usable_threads", lambda wanted: wanted)
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.set_threads", lambda wanted: wanted)
    rng = np.random.default_rng(7)
    text = ifq_cfg([Block(9, pool=(2, 2)), Block(35, pool=(2, 1)), Block(20, bits=3), Block(8, pool=(2, 2))], 96, 64)
    for channels in (3, 4):
        image = random_image(rng, 64, 96, channels)
        program = random_program(text.replace("channels=3", f"channels={channels}"), rng, image)
        engine = Engine(program, threads)
        assert engine.threads == threads
        maps, output = engine.run_maps(image)
        expected, expected_output = Engine(program).run_maps(image)
        for found, wanted in zip([*maps, output], [*expected, expected_output], strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_what_is_no_image_for_the_network_is_refused() -> None:
    engine, image = small_engine(), np.zeros((32, 32, 3), np.uint8)
    for wrong in (image.astype(np.float32), image[..., :2], image[..., 0], image[None]):
        with pytest.raises(UsageError, match="not an image for this network"):
            engine.run(wrong)
    with pytest.raises(UsageError, match="threads"):
        Engine(engine.program, threads=0)


def test_a_size_that_is_no_multiple_of_the_stride_is_refused() -> None:
    network = Network.parse(ifq_cfg([Block(8, pool=(2, 2))], 32, 32) + REGION)
    program = convert(network, random_parameters(network, np.random.default_rng(4))).program
    with pytest.raises(CfgError, match="not a multiple of the network's stride"):
        Engine(program).run(np.zeros((32, 33, 3), np.uint8))


def test_a_single_convolution_is_a_program_too() -> None:
    rng = np.random.default_rng(5)
    image = random_image(rng, 6, 9, 2)
    program = random_program(ifq_cfg([], 9, 6, 2, 20, 3), rng, image)
    np.testing.assert_array_equal(Engine(program).run(image), reference.run_maps(program, image)[1])


def test_a_program_that_was_saved_runs_the_same(tmp_path: Path) -> None:
    engine, image = small_engine(), random_image(np.random.default_rng(6), 64, 32)
    engine.program.save(tmp_path / "model.ifq")
    loaded = Engine(Program.load(tmp_path / "model.ifq"))
    np.testing.assert_array_equal(loaded.run(image), engine.run(image))

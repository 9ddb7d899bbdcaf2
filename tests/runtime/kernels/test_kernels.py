"""The kernels, through the engine, against the reference and the plain-Python oracles, on every map."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from tests import naive
from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError, ConversionError
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import pack_bits
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels import compile as compile_
from tinier_yolo.runtime.kernels import select
from tinier_yolo.runtime.kernels.costs import Costs
from tinier_yolo.runtime.kernels.lookup.vectors import BITS

#: Every kernel and the oracles that together are its naive twin.
TWINS = {
    "convolve": (naive.convolve, naive.quantize),
    "convolve_pool": (naive.convolve, naive.max_pool, naive.quantize),
    "convolve_affine": (naive.convolve, naive.affine),
    "convolve_lookup": (naive.convolve, naive.quantize),
    "convolve_lookup_pool": (naive.convolve, naive.max_pool, naive.quantize),
    "pool": (naive.max_pool,),
    "convolve_image": (naive.convolve, naive.max_pool, naive.quantize),
    "pack_image": (naive.bit_planes,),
    "convolve_rows": (naive.convolve, naive.max_pool, naive.quantize),
}
POOLS = (None, None, (2, 2), (2, 2), (2, 1), (2, 1), (3, 2), (3, 3), (2, 2, 0), (2, 2, 2), (2, 3), (4, 1))


def naive_maps(program: Program, image: NDArray[np.uint8]) -> list[naive.Map]:
    levels: Any = image.transpose(2, 0, 1).tolist()
    maps = []
    for layer in (*program.layers, program.output):
        sums = naive.convolve(levels, layer.signs.tolist(), layer.convolution.stride, layer.convolution.padding)
        if isinstance(layer, OutputLayer):
            levels = naive.affine(sums, layer.multipliers.tolist(), layer.biases.tolist())
        elif isinstance(layer, QuantizedLayer):
            if layer.pool is not None:
                sums = naive.max_pool(sums, layer.pool.size, layer.pool.stride, layer.pool.padding)
            levels = naive.quantize(sums, layer.thresholds.tolist(), layer.flips.tolist())
        maps.append(levels)
    return maps


def assert_all_equal(program: Program, image: NDArray[np.uint8], oracle: bool = True) -> None:
    """Kernels == reference, and == naive, on every map of the program."""
    maps, output = Engine(program).run_maps(image)
    expected, expected_output = reference.run_maps(program, image)
    for index, (found, wanted) in enumerate(zip([*maps, output], [*expected, expected_output], strict=True)):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, err_msg=f"layer {index}")
    if oracle:
        assert [m.tolist() for m in (*expected, expected_output)] == naive_maps(program, image)


def random_block(rng: np.random.Generator, most: int) -> Block:
    size = int(rng.choice([1, 3, 3, 3, 5]))
    return Block(
        filters=int(rng.integers(1, most + 1)),
        size=size,
        stride=int(rng.choice([1, 1, 1, 2])),
        padding=int(rng.choice([0, size // 2, size // 2, size])),
        pool=POOLS[rng.integers(len(POOLS))],
        bits=int(rng.integers(1, 5)),
    )


def random_case(rng: np.random.Generator) -> tuple[str, int, int, int]:
    """A cfg of two quantised layers and the last: channels up to 130 between them, small maps."""
    channels = int(rng.choice([1, 2, 3, 3, 4, 9, 17]))
    while True:
        width, height = (int(side) for side in rng.integers(3, 9, 2))
        blocks = [random_block(rng, 130), random_block(rng, 20)]
        text = ifq_cfg(blocks, width, height, channels, int(rng.integers(1, 40)), int(rng.choice([1, 3])))
        try:
            integer_chain(Network.parse(text))
        except (CfgError, ConversionError):
            continue  # A map has become too small, or a window lies in the padding alone.
        return text, height, width, channels


@pytest.mark.parametrize("seed", range(20))
def test_random_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(10):  # 20 seeds x 10 networks x 3 layers
        text, height, width, channels = random_case(rng)
        image = random_image(rng, height, width, channels)
        assert_all_equal(random_program(text, rng, image), image)


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 130])
@pytest.mark.parametrize("pool", [None, (2, 2), (2, 1)])
def test_every_width_of_a_row(channels: int, pool: tuple[int, ...] | None) -> None:
    rng = np.random.default_rng(channels)
    image = random_image(rng, 6, 4)
    blocks = [Block(channels, size=1, padding=0), Block(17, pool=pool, bits=1 + channels % 4)]
    assert_all_equal(random_program(ifq_cfg(blocks, 4, 6), rng, image), image)


def test_extreme_images() -> None:
    rng = np.random.default_rng(5)
    text = ifq_cfg([Block(11, pool=(2, 2)), Block(40, pool=(2, 1), bits=4), Block(33)], 32, 16)
    for value in (0, 255):
        image = np.full((16, 32, 3), value, np.uint8)
        assert_all_equal(random_program(text, rng, image), image)


def test_red_is_not_blue() -> None:
    rng = np.random.default_rng(6)
    image = random_image(rng, 16, 32)
    program = random_program(ifq_cfg([Block(8, pool=(2, 2))], 32, 16), rng, image)
    engine = Engine(program)
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert (engine.run(image) != engine.run(swapped)).any()
    first = program.layers[0]
    signs = first.signs[:, ::-1]
    mirrored = QuantizedLayer(
        first.convolution,
        first.input_bits,
        pack_bits(signs > 0),
        first.pool,
        first.bits,
        first.thresholds,
        first.flips,
    )
    other = Program(program.network, (mirrored,), program.output, program.class_names, program.fraction_bits)
    np.testing.assert_array_equal(Engine(other).run(swapped), engine.run(image))


def test_buffers_keep_nothing_of_the_image_before() -> None:
    rng = np.random.default_rng(7)
    text = ifq_cfg([Block(9, pool=(2, 2)), Block(35, pool=(2, 1)), Block(20, bits=3)], 32, 32)
    images = [random_image(rng, 32, 32) for _ in range(3)]
    program = random_program(text, rng, images[0])
    engine = Engine(program)
    for image in (*images, *images[::-1]):
        np.testing.assert_array_equal(engine.run(image), reference.run_maps(program, image)[1])


def modules() -> dict[str, ModuleType]:
    """The kernels of every folder but of the primitives, which make nothing."""
    folder = Path(compile_.__file__).parent
    names = sorted({path.parent.name for path in folder.glob("*/kernels.py")} - {"primitives"})
    return {name: importlib.import_module(f"tinier_yolo.runtime.kernels.{name}.kernels") for name in names}


def compiled(module: ModuleType, inlined: bool = False) -> dict[str, Any]:
    """What a module compiles: kernels and their parallel twins, or what becomes a part of those."""
    found = {n: f for n, f in vars(module).items() if isinstance(f, Dispatcher) and f.__module__ == module.__name__}
    return {n: f for n, f in found.items() if bool(f.targetoptions.get("forceinline")) == inlined}


def test_every_kernel_has_a_naive_twin_and_a_parallel_one() -> None:
    assert set(modules()) == {"image", "lookup", "pool", "popcount", "products", "rows"}
    marked = set()
    for family, module in modules().items():
        functions = compiled(module)
        parallel = {name for name, function in functions.items() if function.targetoptions["parallel"]}
        assert {name.removesuffix("_parallel") for name in parallel} == functions.keys() - parallel
        assert all(name.endswith("_parallel") for name in parallel)
        for name in parallel:
            assert name.removesuffix("_parallel") in functions[name].py_func.__code__.co_names
        if family != "products":  # Those of fixed-point programs are held against theirs in products/test_layer.py.
            marked |= functions.keys() - parallel
    assert marked == set(TWINS)


def test_a_network_of_any_size_compiles_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    blocks = [Block(9, pool=(2, 2)), Block(160, pool=(2, 1), bits=3), Block(160, pool=(2, 2)), Block(160), Block(17)]
    # Only some machines look up, and only some have a use for rows in so small a network.
    names = {"image", "popcount", "pool", *(["lookup"] if BITS else [])}
    kernels = {n: f for name in names for n, f in compiled(modules()[name]).items() if not n.endswith("_parallel")}
    known: dict[str, int] = {}
    # The choice would be this machine's: each family is made the quickest once.
    for quickest in (Costs(1, 0.01, 9, 9), Costs(1, 99, 0.01, 0.01)):
        monkeypatch.setattr(select, "costs", lambda quickest=quickest: quickest)
        for width, height, channels in ((32, 16, 3), (10, 6, 3), (96, 64, 3), (64, 160, 3), (6, 10, 2)):
            image = random_image(rng, height, width, channels)
            Engine(random_program(ifq_cfg(blocks, width, height, channels), rng, image)).run(image)
            signatures = {name: len(function.signatures) for name, function in kernels.items()}
            if (width, height) == (10, 6):  # The first two sizes need all kernels between them.
                known = signatures
            assert (width, height) == (32, 16) or signatures == known
    assert all(known.values())

"""A generator of consistent hostile .ifq files: the checksum is right, the numbers as large, small or odd as can be.

Run as a program it loads them, and runs those that are let in under guard pages: ``python -m tests.hostile_programs
COUNT [SEED]``. A kernel that leaves its arrays ends it with a signal; the last line names the file's number.
"""

from __future__ import annotations

import json
import resource
import sys
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.guard_pages import Guard
from tests.networks import REGION, Block, ifq_cfg, random_image
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError, TinierYoloError
from tinier_yolo.ifq import container, limits, reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import TensorType, accumulator_limit, bit_tensor, input_bits, substructure_tensors

Tensors = dict[str, NDArray[Any]]

#: What is run at all, and what is compared with the reference.
_MEMORY, _MACS, _COMPARED = 256 << 20, 1 << 28, 1 << 21
#: Bytes of tensors of a file.
_MOST = 1 << 21
_INT32 = np.iinfo(np.int32)

_SIDES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 62, 63, 64, 65, 96, 128)
_LONG = (911, 2048, 4096, 5461, 12402, 16383, 16384)
_FILTERS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 80, 127, 128, 129, 200)
_WIDE = (1024, 5461, 8192, 16383, 16384)


def hostile_file(rng: np.random.Generator) -> bytes:
    """The bytes of a file whose checksum is right."""
    while True:
        cfg = _cfg(rng)
        try:
            chain = integer_chain(Network.parse(cfg))
            bits = input_bits(chain)
            types = [substructure_tensors(part, own) for part, own in zip(chain, bits, strict=True)]
        except TinierYoloError:
            continue
        if sum(kind.nbytes for own in types for kind in own.values()) <= _MOST:
            break
    tensors: Tensors = {}
    for number, (part, own, kinds) in enumerate(zip(chain, bits, types, strict=True)):
        limit = accumulator_limit(part.convolution, own)
        tensors |= {f"{number}.{name}": array for name, array in _tensors(rng, kinds, limit).items()}
        tensors[f"{number}.weights"] = _bits(rng, int(np.prod(part.convolution.weight_shape)))
    tensors["flips"] = _bits(rng, sum(part.convolution.filters for part in chain[:-1]))
    metadata = {
        "cfg": cfg,
        "names": '["face"]',
        "resize": "letterbox",
        "colours": "rgb",
        "fraction_bits": "14",
        "thresholds": "explicit",
        "provenance": "{}",
        "proof": "{}",
    }
    if rng.random() < 0.15:
        _damage(rng, tensors, metadata)
    return container.pack(tensors, metadata)


def _cfg(rng: np.random.Generator) -> str:
    def pick(usual: tuple[int, ...], rare: tuple[int, ...], chance: float) -> int:
        return int(rng.choice(rare if rng.random() < chance else usual))

    blocks = []
    for _ in range(rng.integers(0, 4)):
        size = pick((1, 1, 2, 3, 3, 3, 5), (4, 7, 11, 31), 0.1)
        stride = pick((1, 1, 1, 2), (3, 7, 31), 0.1)
        pool: tuple[int, ...] | None = ((2, 2), (2, 1), (2, 2, 0), (2, 2, 2), (3, 2), (5, 3))[rng.integers(6)]
        if rng.random() < 0.1:
            window = pick((4, 8, 31), (31,), 0.5)
            pool = (window, pick((1, 2, 31), (31,), 0.2), int(rng.integers(0, 2 * window)))
        pool = None if rng.random() < 0.4 else pool
        padding = size // 2 if rng.random() < 0.6 else int(rng.integers(0, size + 1))
        blocks.append(Block(pick(_FILTERS, _WIDE, 0.1), size, stride, padding, pool, int(rng.integers(1, 5))))
    width, height = pick(_SIDES, _LONG, 0.15), pick(_SIDES, _LONG, 0.15)
    channels = pick((3, 3, 3, 1, 2, 4, 8, 9, 64, 65), _WIDE, 0.08)
    if rng.random() < 0.4:
        return ifq_cfg(blocks, width, height, channels, 6) + REGION
    return ifq_cfg(blocks, width, height, channels, pick(_FILTERS, _WIDE, 0.1), pick((1, 1, 3), (31,), 0.1))


def _bits(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    share = rng.choice((0, 0.02, 0.5, 0.98, 1))
    return np.packbits(rng.random(count) < share, bitorder="little")


def _tensors(rng: np.random.Generator, kinds: Mapping[str, TensorType], limit: int) -> Tensors:
    made: Tensors = {}
    for name, (kind, shape) in kinds.items():
        if name == "thresholds":
            ends = (-limit - 1, -limit, 0, limit, limit + 1)
            near = rng.integers(-limit // 4 - 1, limit // 4 + 1, shape)
            made[name] = np.sort(np.where(rng.random(shape) < 0.3, rng.choice(ends, shape), near), axis=1).astype(kind)
        elif name == "multipliers":
            most = _INT32.max // limit
            made[name] = rng.choice((-most, -1, 0, 1, most), shape).astype(kind)
        elif name == "biases":
            room = _INT32.max - np.abs(made["multipliers"].astype(np.int64)) * limit
            made[name] = (rng.choice((-1, 0, 1), shape) * room).astype(kind)
    return made


def _damage(rng: np.random.Generator, tensors: Tensors, metadata: dict[str, str]) -> None:
    # One thing that no program has.
    values = ("[]", "[1,2]", "{}", '"x"', "null", "[" * 50_000, '["\\ud800"]', '{"a":{"b":[]}}', "1" * 5_000, "NaN", "")
    if rng.random() < 0.5:
        key = str(rng.choice(("names", "provenance", "proof", "fraction_bits", "resize", "cfg")))
        metadata[key] = str(rng.choice(values)) if rng.random() < 0.8 else str(int(rng.integers(-(1 << 62), 1 << 62)))
        return
    name = str(rng.choice(sorted(tensors)))
    array = tensors[name]
    if rng.random() < 0.5 and array.dtype != np.uint8:
        tensors[name] = np.full_like(array, rng.choice((np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)))
    else:
        tensors[name] = np.zeros(bit_tensor(int(rng.integers(0, 99))).shape, array.dtype)


def try_file(data: bytes, rng: np.random.Generator) -> str:
    """Load a file and, where it is let in and small enough, run it: ``refused``, ``loaded`` or ``run``."""
    try:
        program = Program.from_bytes(data)
    except TinierYoloError:
        return "refused"
    width, height = program.network.options.width, program.network.options.height
    ran = _run(program, height, width, rng)
    # Any other size is asked for by a user, and decided anew.
    stride = program.network.stride if program.network.layers[-1].kind == "region" else 1
    try:
        program.shapes(height + 3 * stride, width + stride)
    except CfgError:
        return "run" if ran else "loaded"
    return "run" if _run(program, height + 3 * stride, width + stride, rng) or ran else "loaded"


def _run(program: Program, height: int, width: int, rng: np.random.Generator) -> bool:
    from tinier_yolo.runtime.engine import Engine

    works = program.works(height, width)
    needed = sum(map(limits.kept_bytes, works)) + max(map(limits.passing_bytes, works))
    macs = sum(work.convolution.macs_for(work.read) for work in works)
    if needed > _MEMORY or macs > _MACS:
        return False
    image = random_image(rng, height, width, program.network.input.channels)
    engine = Engine(program)
    engine.plan(height, width)  # Packs the weights.
    engine._plans.clear()
    tracemalloc.start()
    engine.plan(height, width)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= needed + (1 << 20), (peak, needed)
    engine._plans.clear()
    with Guard(at_end=bool(rng.random() < 0.7)) as guard:
        plan = guard.arguments(engine.plan(height, width))
        output = plan.run(guard.copy(image))
        maps = [packed.levels() for packed in plan.maps]
    if macs <= _COMPARED:
        expected, expected_output = reference.run_maps(program, image)
        for found, wanted in zip((*maps, output), (*expected, expected_output), strict=True):
            np.testing.assert_array_equal(found, wanted)
    return True


def main(count: int, seed: int) -> None:
    """Try so many files; prints what became of them, as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    outcomes: Counter[str] = Counter()
    for number in range(count):
        print(f"file {number} of seed {seed}", file=sys.stderr, flush=True)
        rng = np.random.default_rng((seed, number))
        outcomes[try_file(hostile_file(rng), rng)] += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)

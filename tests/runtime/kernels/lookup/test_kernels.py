"""The lookup kernels wherever they can run, not only where they pay, against reference and oracles."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tests.runtime.kernels.forced import force
from tests.runtime.kernels.test_kernels import POOLS, assert_all_equal, random_case
from tinier_yolo.benchmark.peak import machine
from tinier_yolo.ifq import reference
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.lookup import layer as lookup
from tinier_yolo.runtime.kernels.lookup.kernels import convolve_lookup
from tinier_yolo.runtime.kernels.lookup.vectors import BITS, ENTRIES

pytestmark = pytest.mark.skipif(not BITS, reason="this machine has no instruction to look up bytes with")

#: Features of CPUs whose instructions this machine may have too, and how many bits they look up.
CPUS = {
    "skylake-avx512": ("avx,avx2,ssse3,sse4.2,popcnt,avx512f,avx512bw,avx512vl,avx512dq", 4),
    "haswell": ("avx,avx2,ssse3,sse4.2,popcnt", 4),
    "nehalem": ("ssse3,sse4.2,popcnt", 4),
    "x86-64": ("sse2", 0),
}
RUN = """
import sys
import numpy as np
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.lookup.vectors import BITS
from tinier_yolo.ifq.program import Program
engine, image = Engine(Program.load(sys.argv[1])), np.load(sys.argv[2])
np.save(sys.argv[3], engine.run(image))
print(BITS, sum(step.name.startswith("look up") for step in engine.plan(*image.shape[:2]).steps))
"""


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, lookup, lookup.fits)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("seed", range(10))
def test_random_layers(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    for _ in range(8):
        text, height, width, channels = random_case(rng)
        image = random_image(rng, height, width, channels)
        assert_all_equal(random_program(text, rng, image), image)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("channels", [1, 5, 6, 7, 23, 24, 25, 48, 64, 97, 130])
@pytest.mark.parametrize("pool", [None, (2, 2), (2, 1)])
def test_every_number_of_chunks(channels: int, pool: tuple[int, ...] | None) -> None:
    rng = np.random.default_rng(channels)
    image = random_image(rng, 6, 10)
    blocks = [Block(channels, size=1, padding=0), Block(70, pool=pool, bits=1 + channels % 4)]
    assert_all_equal(random_program(ifq_cfg(blocks, 10, 6), rng, image), image, oracle=False)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("filters", [1, 8, 20, 63, 64, 65, 128, 130, 192, 200, 257])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_every_number_of_groups(filters: int, bits: int) -> None:
    rng = np.random.default_rng(filters)
    image = random_image(rng, 7, 5)
    blocks = [Block(20, bits=bits), Block(filters, pool=POOLS[filters % len(POOLS)], bits=bits)]
    assert_all_equal(random_program(ifq_cfg(blocks, 5, 7), rng, image), image, oracle=False)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_begin_anywhere(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.usable_threads", lambda wanted: wanted)
    monkeypatch.setattr("tinier_yolo.runtime.kernels.threads.set_threads", lambda wanted: wanted)
    rng = np.random.default_rng(threads)
    image = random_image(rng, 26, 38)
    blocks = [Block(8, pool=(2, 2)), Block(130, pool=(2, 2)), Block(40, stride=2), Block(20, pool=(2, 1))]
    program = random_program(ifq_cfg(blocks, 38, 26), rng, image)
    maps, output = Engine(program, threads).run_maps(image)
    expected, expected_output = reference.run_maps(program, image)
    for found, wanted in zip([*maps, output], [*expected, expected_output], strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("bits", "channels"), [(1, 64), (2, 60), (2, 88), (3, 24), (4, 400)])
def test_the_greatest_sums(bits: int, channels: int) -> None:
    # All levels the greatest and all weights -1: every bit differs, and every lookup finds the greatest entry.
    rng = np.random.default_rng(3)
    image = random_image(rng, 6, 6)
    blocks = [Block(channels, size=1, padding=0, bits=bits), Block(130), Block(65, pool=(2, 2))]
    program = random_program(ifq_cfg(blocks, 6, 6), rng, image)
    first, second, third = program.layers
    first = replace(first, thresholds=np.full_like(first.thresholds, -first.limit - 1), flips=first.flips & False)
    greatest = ((1 << bits) - 1) * channels
    thresholds = np.tile(np.array([-9, -6, -4], np.int32) * greatest, (130, 1))
    second = replace(second, packed=np.zeros_like(second.packed), thresholds=thresholds)
    third = replace(third, packed=np.zeros_like(third.packed))
    changed = replace(program, layers=(first, second, third))
    assert set(np.unique(Engine(changed).run_maps(image)[0][1])) == {0, 1, 2, 3}
    assert_all_equal(changed, image, oracle=False)


def test_wide_layers_are_looked_up_and_narrow_ones_counted() -> None:
    rng = np.random.default_rng(0)
    image = random_image(rng, 8, 8)
    program = random_program(ifq_cfg([Block(16), Block(256), Block(256)], 8, 8), rng, image)
    kernels = [step.kernel for step in Engine(program).plan(8, 8).steps]
    assert convolve_lookup in kernels
    # Tables of the rows that two quads need, in a map with a border of one; 128 bytes for a window and group.
    tables = 4 * 10 * -(-256 // BITS) * ENTRIES
    assert Engine(program).plan(8, 8).scratch_bytes == tables + 2 * 4 * 4 * 128
    assert_all_equal(program, image)


@pytest.mark.parametrize("cpu", list(CPUS))
def test_other_machines_instructions(cpu: str, tmp_path: Path) -> None:
    features, bits = CPUS[cpu]
    if machine()["arch"] != "x86_64" or (BITS == 4 and "avx512" in features):
        pytest.skip("this machine lacks these instructions")
    rng = np.random.default_rng(1)
    image = random_image(rng, 32, 64)
    blocks = [Block(9, pool=(2, 2)), Block(40, pool=(2, 2)), Block(130), Block(160, size=1, padding=0)]
    program = random_program(ifq_cfg(blocks, 64, 32), rng, image)
    program.save(tmp_path / "model.ifq")
    np.save(tmp_path / "image.npy", image)
    paths = [str(tmp_path / name) for name in ("model.ifq", "image.npy", "output.npy")]
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in features.split(",")),
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", RUN, *paths]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found_bits, looked_up = map(int, done.stdout.split())
    assert found_bits == bits
    assert (looked_up > 0) == (bits > 0)
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), reference.run_maps(program, image)[1])

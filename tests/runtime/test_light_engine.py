"""The light engine gives the reference's integers; the starting engine passes from it to the kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.errors import CfgError, UsageError
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime import light_engine, starting_engine
from tinier_yolo.runtime.light_engine import LightEngine
from tinier_yolo.runtime.starting_engine import StartingEngine
from tinier_yolo.shipped import default_model

BLOCKS = [
    [Block(9, pool=(2, 2)), Block(20)],
    [Block(8, stride=2), Block(12, pool=(3, 2)), Block(16, size=1)],
    [Block(5, pool=(2, 1)), Block(7, pool=(2, 2)), Block(30, size=5)],
]


def small(blocks: list[Block] | None = None, seed: int = 0) -> tuple[Program, Any]:
    rng = np.random.default_rng(seed)
    image = random_image(rng, 32, 64)
    return random_program(ifq_cfg(BLOCKS[0] if blocks is None else blocks, 64, 32), rng, image), image


@pytest.mark.parametrize("blocks", BLOCKS)
def test_it_gives_the_integers_of_the_reference(blocks: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    program, image = small(blocks)
    assert light_engine.runs(program)
    expected = reference.run_maps(program, image)[1]
    found = LightEngine(program).run(image)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    monkeypatch.setattr(light_engine, "_BAND", 5000)  # rows of windows are done a few at a time, with a rest
    np.testing.assert_array_equal(LightEngine(program).run(image), expected)


def test_sums_that_float32_does_not_hold_are_left_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    program, image = small()
    monkeypatch.setattr(light_engine, "_EXACT", max(layer.limit for layer in program.layers))
    assert not light_engine.runs(program)
    engine = StartingEngine(program)
    np.testing.assert_array_equal(engine.run(image), reference.run_maps(program, image)[1])
    assert engine._engine is not None


def used(engine: StartingEngine, image: Any, times: int) -> list[bool]:
    """Whether each of so many runs had the kernels."""
    return [(engine.run(image), engine._engine is not None)[1] for _ in range(times)]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all kernels were compiled."""
    monkeypatch.setattr("tinier_yolo.runtime.background.Compilation.__init__", lambda *_: None)
    monkeypatch.setattr("tinier_yolo.runtime.background.Compilation.is_done", lambda _: True)


@pytest.mark.usefixtures("compiled")
def test_kernels_come_when_they_are_the_shorter_way(monkeypatch: pytest.MonkeyPatch) -> None:
    program, image = small()
    macs = StartingEngine(program)._macs(32, 64)
    assert macs > 0
    monkeypatch.setattr(starting_engine, "LOADING_MACS", 3 * macs)
    assert used(StartingEngine(program), image, 5) == [False, False, False, True, True]
    assert used(StartingEngine(program, pictures=3), image, 5) == [False, False, False, True, True]
    assert used(StartingEngine(program, pictures=4), image, 3) == [False, True, True]
    monkeypatch.setattr(starting_engine, "LOADING_MACS", 0)
    assert used(StartingEngine(program), image, 2) == [False, True]  # the first picture never waits


def test_what_it_refuses() -> None:
    program, image = small()
    engine = StartingEngine(program)
    for bad in (image.astype(np.int16), image[..., :2], image[0]):
        with pytest.raises(UsageError, match="not an image for this network"):
            engine.run(bad)
    with pytest.raises(CfgError):
        StartingEngine(Program.load(default_model())).run(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(UsageError, match="bad number of threads"):
        StartingEngine(program, threads=0)


RUN = """
import sys, time
import numpy as np
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime import starting_engine
starting_engine.LOADING_MACS = 0
program, image = Program.load(sys.argv[1]), np.load(sys.argv[2])
engine = starting_engine.StartingEngine(program)
first = engine.run(image)
assert "numba" not in sys.modules
assert np.array_equal(engine.run(image), first)
before = engine._engine is not None
end = time.monotonic() + 200
while engine._engine is None and time.monotonic() < end:
    time.sleep(0.05)
    assert np.array_equal(engine.run(image), first)
from tinier_yolo.runtime.kernels.popcount.kernels import convolve_affine
print(before, sum(convolve_affine.stats.cache_hits.values()), sum(convolve_affine.stats.cache_misses.values()))
"""


def test_other_processes_compile_while_this_one_goes_on(root: Path, tmp_path: Path) -> None:
    program, image = small([])
    program.save(tmp_path / "small.ifq")
    np.save(tmp_path / "image.npy", image)
    cache = tmp_path / "cache"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", RUN, str(tmp_path / "small.ifq"), str(tmp_path / "image.npy")]
    for compiled_before in (False, True):
        done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
        # What the other processes have compiled is found in the cache.
        assert done.stdout.split() == [str(compiled_before), "1", "0"], done.stderr
    # One of them has measured the machine, and the lock is gone.
    assert sorted(path.name[:6] for path in cache.glob("*/*") if path.is_file()) == ["costs-", "whole-"]


def test_maps_that_are_large_go_to_the_kernels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    program, image = small()
    assert light_engine.fits(program.works(32, 64))
    assert not light_engine.fits(program.works(8192, 8192))
    monkeypatch.setattr(light_engine, "_MOST_BYTES", 1000)
    monkeypatch.setattr(LightEngine, "run", None)  # is not called
    assert np.array_equal(StartingEngine(program).run(image), reference.run_maps(program, image)[1])

"""The engine in other processes: forked ones, spawned ones, and those that may write nowhere."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.ifq.program import Program
from tinier_yolo.runtime.engine import Engine

RUN = """
import sys
import numpy as np
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.kernels.compile import cache_folder
from tinier_yolo.ifq.program import Program
np.save(sys.argv[3], Engine(Program.load(sys.argv[1])).run(np.load(sys.argv[2])))
print(cache_folder())
"""


def program_and_image() -> tuple[Program, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    image = random_image(rng, 32, 64)
    return random_program(ifq_cfg([Block(9, pool=(2, 2)), Block(20)], 64, 32), rng, image), image


def run_and_send(pipe: Any, program: Program, image: NDArray[np.uint8], threads: int) -> None:
    pipe.send(Engine(program, threads).run(image))


def run_given(pipe: Any, engine: Engine, image: NDArray[np.uint8]) -> None:
    pipe.send(engine.run(image))


def received(method: str, target: Any, *arguments: Any) -> NDArray[np.int32]:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, *arguments))
    process.start()
    sender.close()
    try:
        found: NDArray[np.int32] = receiver.recv()  # EOFError where the process has died
    finally:
        process.join(60)
    assert process.exitcode == 0
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_one_that_has_run_the_engine(method: str, threads: int) -> None:
    program, image = program_and_image()
    expected = Engine(program, threads).run(image)
    np.testing.assert_array_equal(received(method, run_and_send, program, image, threads), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_goes_on_with_the_engine(threads: int) -> None:
    program, image = program_and_image()
    engine = Engine(program, threads)
    expected = engine.run(image)
    np.testing.assert_array_equal(received("fork", run_given, engine, image), expected)
    np.testing.assert_array_equal(engine.run(image), expected)


@pytest.fixture
def read_only_package(root: Path, tmp_path: Path) -> Path:
    """A copy of the package that nobody can write to: a file stands where the cache's folder would."""
    folder = tmp_path / "install"
    shutil.copytree(root / "tinier_yolo", folder / "tinier_yolo", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tinier_yolo/runtime/kernels/__pycache__").touch()
    return folder


@pytest.mark.parametrize("temporary", ["written", "full"])
def test_a_read_only_install_without_a_home(read_only_package: Path, tmp_path: Path, temporary: str) -> None:
    program, image = program_and_image()
    program.save(tmp_path / "model.ifq")
    np.save(tmp_path / "image.npy", image)
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(read_only_package), "TMPDIR": str(tmp_path)}
    environment["XDG_CACHE_HOME"] = environment["HOME"] = os.devnull
    if temporary == "full":
        (tmp_path / f"tinier-yolo-{os.getuid()}").touch()
    paths = [str(tmp_path / name) for name in ("model.ifq", "image.npy", "output.npy")]
    command = [sys.executable, "-B", "-c", RUN, *paths]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    cached = done.stdout.strip()
    assert (
        cached == "None"
        if temporary == "full"
        else Path(cached).is_relative_to(tmp_path / f"tinier-yolo-{os.getuid()}")
    )
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), Engine(program).run(image))

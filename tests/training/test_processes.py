"""What the processes of a run tell each other, with real ones: forked, so that PyTorch is imported once."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from tests.conftest import ROOT
from tests.training.conftest import tiny_cfg
from tinier_yolo.errors import TinierYoloError, UsageError
from tinier_yolo.training.processes import Processes

WORLD = 3


def in_processes(folder: Path, work: Callable[[Processes], Any]) -> list[Any]:
    """What ``work`` gives in each of three processes, as JSON holds it; an error as its text."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=_child, args=(folder, rank, port, work)) for rank in range(WORLD)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
        assert process.exitcode == 0
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD)]


def _child(folder: Path, rank: int, port: int, work: Callable[[Processes], Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("RANK", rank), ("WORLD_SIZE", WORLD), ("MASTER_PORT", port)):
            patch.setenv(name, str(value))
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        torch.set_num_threads(1)
        try:
            with Processes() as processes:
                found = work(processes)
        except TinierYoloError as error:
            found = str(error)
        (folder / f"{rank}.json").write_text(json.dumps(found))


def test_bytes_and_tensors_reach_every_process(tmp_path: Path) -> None:
    def work(processes: Processes) -> Any:
        rank = processes.rank
        gathered = [data.decode() for data in processes.gather(b"x" * rank)]
        first = [processes.from_first(data).decode() for data in (b"", str(rank).encode())]
        copied, means = torch.full((2,), float(rank)), [torch.full((2, 1), rank + 1.0), torch.tensor(rank / 2)]
        processes.copy_first([copied])
        processes.average(means)
        return [gathered, first, copied.tolist(), [mean.tolist() for mean in means]]

    assert in_processes(tmp_path, work) == [[["", "x", "xx"], ["", "0"], [0, 0], [[[2], [2]], 0.5]]] * WORLD


def test_means_do_not_depend_on_how_many_were_made_before(tmp_path: Path) -> None:
    def work(processes: Processes) -> Any:
        chance = torch.Generator().manual_seed(processes.rank)
        made = [torch.randn(size, generator=chance) for size in ((300, 7), (5,), (400,))]
        runs = []
        for _ in range(3):
            means = [tensor.clone() for tensor in made]
            processes.average(means)
            runs.append([mean.flatten().tolist() for mean in means])
        return runs

    first, *others = in_processes(tmp_path, work)
    assert first[0] == first[1] == first[2]
    assert all(other == first for other in others)


def test_an_error_of_one_is_raised_by_all(tmp_path: Path) -> None:
    def work(processes: Processes) -> Any:
        with processes.together():
            pass
        with processes.together():
            if processes.rank == 1:
                raise UsageError("nothing here", path="x.data")

    told = "process 1 of the run: x.data: nothing here"
    assert in_processes(tmp_path, work) == [told, "x.data: nothing here", told]


def test_processes_that_run_something_else_are_named(tmp_path: Path) -> None:
    def work(processes: Processes) -> Any:
        processes.check_alike({"cfg": "a", "seed": 1})
        processes.check_alike({"cfg": "a", "seed": processes.rank // 2})

    found = in_processes(tmp_path, work)
    assert found[0].startswith("process 2 (")
    assert "has another seed than the first" in found[0]
    assert found[0].endswith("(expected 0, found 1)")
    assert found == [found[0]] * WORLD


@pytest.mark.parametrize(
    ("holders", "expected"),
    [
        ((), [None] * WORLD),
        ((0,), ["of process 0"] * WORLD),
        ((0, 2), ["of process 0"] * WORLD),
        ((1, 2), None),
    ],
)
def test_the_file_of_the_first_is_read_by_all(
    tmp_path: Path, holders: tuple[int, ...], expected: list[str | None] | None
) -> None:
    for rank in holders:
        (tmp_path / f"folder{rank}").mkdir()
        (tmp_path / f"folder{rank}" / "x").write_text(f"of process {rank}")

    def work(processes: Processes) -> Any:
        with processes.file_of_first(tmp_path / f"folder{processes.rank}" / "x") as file:
            return None if file is None else file.read_text()

    found = in_processes(tmp_path, work)
    if expected is None:
        assert all("process 1 has the file, the first process has none" in text for text in found)
    else:
        assert found == expected


def test_a_process_that_dies_is_told_of_in_one_line(tmp_path: Path) -> None:
    def work(processes: Processes) -> Any:
        if processes.rank == 2:
            return None
        processes.average([torch.ones(1000)])
        raise AssertionError("there was nobody to average with")

    found = in_processes(tmp_path, work)
    assert found[0].startswith("another process of the run has ended, or the network between them")


#: A run left alone, one that is interrupted before its eighth step, and the same resumed: three processes each.
THREE_RUNS = """
import os, socket, sys
import tinier_yolo.training.train as training
from tinier_yolo.cli import main
training.draw_curves = lambda *_: None
step = training.Run.step
def until_seven(run, batches, iteration):
    if iteration == 7:
        raise KeyboardInterrupt
    return step(run, batches, iteration)
def run(out, more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(3):
        if (pid := os.fork()) == 0:
            os.environ.update(RANK=str(rank), WORLD_SIZE="3", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            os._exit(main([*sys.argv[1:], "--out", out, *more]))
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
print(run("whole", []), flush=True)
training.Run.step = until_seven
print(run("parts", []), flush=True)
training.Run.step = step
print(run("parts", ["--resume"]))
"""


def test_three_processes_resume_with_the_same_bits(drawings: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.cfg").write_text(tiny_cfg(binary=True).replace("batch=4", "batch=6"))
    options = ["tiny.cfg", "--data", str(drawings), "--max-batches", "12", "--keep-every", "5", "--log-every", "5"]
    options += ["--device", "cpu", "--precision", "float32", "--threads", "1", "--workers", "0", "--no-fused"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", THREE_RUNS, "train", *options]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[0, 0, 0]"], done.stdout + done.stderr
    assert "[130, 130, 130]" in done.stdout
    assert "starting at iteration 5 of 12" in done.stderr
    for name in ("tiny.weights", "tiny_last.weights", "tiny_ema.weights", "tiny_training.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name

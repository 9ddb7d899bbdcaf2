"""Processes: same rows, and what a killed one was at is done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tests.bulk.pictures import Held, job, red_model, rows, shards_of, write_pictures
from tinier_yolo.bulk.shards import Counts
from tinier_yolo.bulk.workers import LostShardError, run_here, run_processes
from tinier_yolo.errors import TinierYoloError

Results = Generator[Counts | LostShardError]


def silent(_: str) -> None:
    pass


def run(out: Path, pictures: list[Path], length: int, workers: int, tell: Callable[[str], None] = silent) -> Results:
    shards = iter(shards_of(pictures, length))
    return run_processes(job(out), shards, red_model(pictures[0].parent), workers, tell)


def kill_children() -> None:
    """Kill the workers, and wait until they are gone with all their threads: a dying one still reads a held picture."""
    pids = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.01)


def test_two_processes_write_what_one_does(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 21)
    counts = list(run(tmp_path / "two", pictures, 4, workers=2))
    assert sorted(result.number for result in counts if isinstance(result, Counts)) == list(range(6))
    here = run_here(job(tmp_path / "one"), iter(shards_of(pictures, 4)), red_model(tmp_path).load())
    assert sorted(here) == sorted(counts)  # type: ignore[type-var]
    assert rows(tmp_path / "two") == rows(tmp_path / "one")
    assert len(rows(tmp_path / "one")) == 21
    assert multiprocessing.active_children() == []


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 6)
    held, told = Held(pictures[3]), []

    def kill() -> None:
        end = held.wait()
        held.restore()
        kill_children()
        os.close(end)

    thread = Thread(target=kill)
    thread.start()
    counts = list(run(tmp_path / "out", pictures, 2, workers=1, tell=told.append))
    thread.join()
    assert [(result.images, result.errors) for result in counts if isinstance(result, Counts)] == [(2, 0)] * 3
    assert len(rows(tmp_path / "out")) == 6
    assert told == ["a worker has died; shard 1 is done again"]


def test_a_shard_that_kills_is_given_up_and_the_others_are_done(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 6)
    held = Held(pictures[2])

    def kill() -> None:
        for _ in range(3):
            end = held.wait()
            kill_children()
            os.close(end)

    thread = Thread(target=kill)
    thread.start()
    results = list(run(tmp_path / "out", pictures, 2, workers=1))
    thread.join()
    (lost,) = [result for result in results if isinstance(result, LostShardError)]
    assert f"shard 1 has ended 3 workers; it holds {pictures[2]} to {pictures[3]}" in str(lost)
    assert sorted(path.name for path in (tmp_path / "out").glob("part*")) == ["part-000000.jsonl", "part-000002.jsonl"]


def test_closing_ends_the_workers_and_leaves_no_piece(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 6)
    held = Held(pictures[3])
    results = run(tmp_path / "out", pictures, 2, workers=2)
    assert isinstance(next(results), Counts)
    # The other worker, or the same one next, is in the middle of shard 1.
    end = held.wait()
    results.close()
    os.close(end)
    assert multiprocessing.active_children() == []
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"part-000000.jsonl", "part-000002.jsonl"}


def test_a_model_that_does_not_load_is_one_error(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, 2)
    model = replace(red_model(tmp_path), path=str(tmp_path / "gone.weights"))
    with pytest.raises(TinierYoloError, match=r"gone\.weights"):
        list(run_processes(job(tmp_path / "out"), iter(shards_of(pictures, 1)), model, 1, silent))

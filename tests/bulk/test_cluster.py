"""A Dask cluster of two processes on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.bulk.pictures import Held, job, red_model, rows, shards_of, write_pictures
from tinier_yolo.bulk import cluster
from tinier_yolo.bulk.model import ModelContent
from tinier_yolo.bulk.shards import Counts
from tinier_yolo.bulk.workers import run_here
from tinier_yolo.errors import TinierYoloError, UsageError

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    options = {"dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as two:
        yield two


@pytest.fixture
def model(tmp_path: Path) -> ModelContent:
    content = red_model(tmp_path).content()
    for name in ("red.weights", "red.cfg"):  # The workers have what was sent.
        (tmp_path / name).unlink()
    return content


def results(dask: Any, out: Path, pictures: list[Path], model: ModelContent, told: list[str]) -> list[object]:
    shards = iter(shards_of(pictures, 3))
    return list(cluster.run_cluster(job(out), shards, model, dask.scheduler_address, told.append))


def reader(pipe: Path) -> int:
    """The other process that has a pipe open, whose path may be a file's by now."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        pid = int(link.parts[2])
        with suppress(OSError):
            if pid != os.getpid() and str(link.readlink()).startswith(str(pipe)):
                return pid
    raise AssertionError("nobody reads it")


def test_the_rows_are_those_of_one_process(dask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, told = write_pictures(tmp_path, 20), list[str]()
    model = red_model(tmp_path)
    here = list(run_here(job(tmp_path / "one"), iter(shards_of(pictures, 3)), model.load()))
    # Workers stand in another folder: names that start from this one mean the same there.
    monkeypatch.chdir(tmp_path)
    names = [Path(path.name) for path in pictures]
    there = results(dask, Path("two"), names, model.content(), told)
    assert sorted(there) == [counts._replace(problem="") for counts in here]  # type: ignore[type-var]
    assert rows(tmp_path / "two") == [row.replace(f"{tmp_path}/", "") for row in rows(tmp_path / "one")]
    assert len(rows(tmp_path / "two")) == 20
    assert told == ["Dask: 2 workers with 2 threads"]


def test_a_killed_worker_costs_nothing(dask: Any, model: ModelContent, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", 12)
    held = Held(pictures[4])

    def kill() -> None:
        end = held.wait()
        held.restore()
        os.kill(reader(held.path), signal.SIGKILL)
        os.close(end)

    thread = Thread(target=kill)
    thread.start()
    found = results(dask, tmp_path / "out", pictures, model, [])
    thread.join()
    assert sum(counts.images for counts in found if isinstance(counts, Counts)) == 12
    assert sorted(counts.number for counts in found if isinstance(counts, Counts)) == [0, 1, 2, 3]
    assert len(rows(tmp_path / "out")) == 12
    assert not any("error" in row for row in rows(tmp_path / "out"))


def test_a_worker_that_cannot_write_is_one_error(dask: Any, model: ModelContent, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(TinierYoloError, match="cannot write"):
        results(dask, tmp_path / "out", write_pictures(tmp_path, 1), model, [])


def test_another_version_is_refused(
    dask: Any, model: ModelContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "__version__", "99")
    with pytest.raises(TinierYoloError, match="a Dask worker has tinier-yolo"):
        results(dask, tmp_path / "out", write_pictures(tmp_path, 1), model, [])


def test_no_scheduler_is_one_line(model: ModelContent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "tcp://"):
        with pytest.raises(UsageError, match="no Dask scheduler answers"):
            list(cluster.run_cluster(job(Path("out")), iter(()), model, address, print))

"""Shards on a Dask cluster, by ``distributed``, which comes with the extra ``dask``.

The scheduler carries names of pictures one way and counts the other; pictures are read, and files of results written,
by the workers, in folders that all machines share. The model travels once to each worker. A task of a worker that is
lost is given to another by Dask; what makes the run resumable are the files, as everywhere.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tinier_yolo import __version__
from tinier_yolo.bulk.entries import Shard
from tinier_yolo.bulk.local import FaceDetector
from tinier_yolo.bulk.model import ModelContent
from tinier_yolo.bulk.shards import Counts, Job, run_shard
from tinier_yolo.bulk.workers import MOST_DEATHS, LostShardError, lost
from tinier_yolo.errors import OutputError, TinierYoloError, UsageError

#: Seconds that the scheduler has to answer, and a first worker to appear.
_PATIENCE = 30.0
#: Tasks for each thread of the cluster: one at work, one that waits there.
_AHEAD = 2
#: Seconds until a file that another machine wrote is seen: network file systems remember what was not there.
_DELAY = 10.0


def check() -> None:
    """Find out before any work whether distributed is there.

    Raises:
        UsageError: it is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError("--dask needs distributed", expected="pip install distributed") from None


def run_cluster(
    job: Job, shards: Iterator[Shard], model: ModelContent, address: str, tell: Callable[[str], None]
) -> Generator[Counts | LostShardError]:
    """Work through the shards on a cluster that is there; tasks are given out as others end.

    Args:
        job: what the shards have in common; relative folders are this machine's.
        shards: taken as there is room for them.
        model: sent to the workers.
        address: of the scheduler, ``tcp://host:8786``.
        tell: takes a line about the cluster.

    Yields:
        What became of each shard, in the order in which they end.

    Raises:
        UsageError: no scheduler, no worker, or workers with another version of this package.
        TinierYoloError: a worker cannot load the model or write a file.
    """
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.ERROR)
    shared = replace(job, out=str(Path(job.out).absolute()), root=os.getcwd())  # noqa: PTH109
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError("no Dask scheduler answers", place=address, found=str(error)[:100]) from error
    with closing(client):
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise UsageError("the Dask scheduler has no workers", place=address) from error
        threads = client.nthreads()
        tell(f"Dask: {len(threads)} workers with {sum(threads.values())} threads")
        try:
            yield from _Run(client, shared, model).results(shards)
        except OSError as error:  # a lost connection, or no worker left to give the model to
            expected = "the same command with --resume, once it is there"
            problem, found = "the Dask cluster does not answer any more", str(error)[:100]
            raise UsageError(problem, place=address, expected=expected, found=found) from error


class _Run:
    """The tasks of one run on a client: no more at once than keep the cluster busy."""

    def __init__(self, client: Any, job: Job, model: ModelContent) -> None:
        self._client, self._job, self._model = client, job, model
        self._sent: Any = None
        self._shards: dict[str, Shard] = {}
        self._attempts: dict[int, int] = {}
        self._seen = False
        self._name = f"tinier-yolo-{uuid.uuid4()}"

    def results(self, shards: Iterator[Shard]) -> Generator[Counts | LostShardError]:
        from distributed import as_completed

        done = as_completed(loop=self._client.loop)
        self._fill(done, shards)
        for future in done:
            shard = self._shards.pop(future.key)
            result = self._result(future, shard)
            if result is None:
                self._submit(done, shard)
            else:
                yield result
            self._fill(done, shards)

    def _fill(self, done: Any, shards: Iterator[Shard]) -> None:
        # Asked each time: workers come and go.
        room = _AHEAD * sum(self._client.nthreads().values()) or 1
        while len(self._shards) < room and (shard := next(shards, None)) is not None:
            self._submit(done, shard)

    def _submit(self, done: Any, shard: Shard) -> None:
        # A copy for every worker that is there; later ones get theirs from those.
        self._sent = self._sent or self._client.scatter(self._model, broadcast=True, hash=False)
        attempt = self._attempts[shard.number] = self._attempts.get(shard.number, 0) + 1
        key = f"{self._name}-{shard.number}-{attempt}"
        future = self._client.submit(_run_task, __version__, self._job, shard, self._sent, key=key, pure=False)
        self._shards[key] = shard
        done.add(future)

    def _result(self, future: Any, shard: Shard) -> Counts | LostShardError | None:
        """What became of a task; None: it shall be done again."""
        from distributed import KilledWorker

        if future.status == "cancelled":
            # All workers that had the model are gone.
            self._sent = None
            return None if self._attempts[shard.number] < MOST_DEATHS else lost(shard)
        problem = future.exception()
        if isinstance(problem, KilledWorker):
            return lost(shard)
        if isinstance(problem, ModuleNotFoundError):
            raise UsageError("a Dask worker lacks a package", expected=f"tinier-yolo {__version__}", found=problem)
        if problem is not None:
            raise problem
        counts, text = future.result()
        if text:
            raise TinierYoloError(text)
        if not self._seen:
            self._seen = True
            _check_seen(self._job.part(shard.number))
        return Counts(*counts)


def _check_seen(part: Path) -> None:
    end = time.monotonic() + _DELAY
    while part.name not in os.listdir(part.parent):  # noqa: PTH208
        if time.monotonic() > end:
            raise OutputError(
                "a worker's file is not here", path=part, expected="--out in a folder that all machines share"
            )
        time.sleep(0.2)


# What follows runs on the workers.

_lock = threading.Lock()
#: Detectors that nobody uses now, by model and arguments: each serves a thread at a time.
_idle: dict[object, SimpleQueue[FaceDetector]] = {}


def _run_task(version: str, job: Job, shard: Shard, model: ModelContent) -> tuple[tuple[Any, ...], str]:
    """Do a shard; returns its counts, or the text of an error."""
    import cv2

    if version != __version__:
        return (), f"a Dask worker has tinier-yolo {__version__}, the client {version}"
    cv2.setNumThreads(1)
    idle = _detectors(model)
    try:
        detector = _taken(idle) or model.load()
        counts = run_shard(job, shard, detector)
        idle.put(detector)
    except TinierYoloError as error:
        return (), str(error)
    return tuple(counts), ""


def _detectors(model: ModelContent) -> SimpleQueue[FaceDetector]:
    with _lock:
        return _idle.setdefault((model.digests, model.files), SimpleQueue())


def _taken(idle: SimpleQueue[FaceDetector]) -> FaceDetector | None:
    try:
        return idle.get_nowait()
    except Empty:
        return None

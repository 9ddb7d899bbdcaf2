"""Shards on this machine: in the process itself, or in several. What a killed process was at is done again."""

from __future__ import annotations

import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from tinier_yolo.bulk.entries import Shard
from tinier_yolo.bulk.local import FaceDetector
from tinier_yolo.bulk.model import ModelFiles
from tinier_yolo.bulk.shards import Counts, Job, run_shard
from tinier_yolo.errors import TinierYoloError

#: A shard that so many workers died of is given up.
MOST_DEATHS = 3
#: Seconds that a worker has to remove what it was writing.
_PATIENCE = 5.0


class LostShardError(TinierYoloError):
    """A shard that ends every process which works on it: out of memory, or a decoder that crashes."""


def lost(shard: Shard) -> LostShardError:
    """The error that names the shard and its pictures."""
    first, last = shard.entries[0].source, shard.entries[-1].source
    return LostShardError(f"shard {shard.number} has ended {MOST_DEATHS} workers; it holds {first} to {last}")


def run_here(job: Job, shards: Iterator[Shard], detector: FaceDetector) -> Generator[Counts]:
    """Work through the shards in this process, one after the other.

    Raises:
        TinierYoloError: see :func:`tinier_yolo.bulk.shards.run_shard`.
    """
    for shard in shards:
        yield run_shard(job, shard, detector)


def run_processes(
    job: Job, shards: Iterator[Shard], model: ModelFiles, count: int, tell: Callable[[str], None]
) -> Generator[Counts | LostShardError]:
    """Work through the shards in several processes, as they come; each has one shard at a time.

    Close the generator to stop before the end: what the processes were writing is removed.

    Args:
        job: what the shards have in common.
        shards: taken as there is a process for them.
        model: loaded by every process.
        count: of processes.
        tell: takes a line about a process that died.

    Yields:
        What became of each shard, in the order in which they end.

    Raises:
        TinierYoloError: a process cannot load the model or write a file.
    """
    again: deque[Shard] = deque()
    deaths: dict[int, int] = {}
    workers: list[_Worker] = []
    try:
        workers.extend(_Worker(job, model) for _ in range(count))
        while True:
            for worker in workers:
                if worker.shard is None and (shard := again.popleft() if again else next(shards, None)) is not None:
                    worker.give(shard)
            busy = {worker.connection: worker for worker in workers if worker.shard is not None}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                counts, shard = worker.take()
                if counts is not None:
                    yield counts
                    continue
                worker.close()
                workers[workers.index(worker)] = _Worker(job, model)
                deaths[shard.number] = deaths.get(shard.number, 0) + 1
                if deaths[shard.number] < MOST_DEATHS:
                    tell(f"a worker has died; shard {shard.number} is done again")
                    again.append(shard)
                else:
                    yield lost(shard)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.close()


class _Worker:
    """A process and this end of its pipe.

    Attributes:
        shard: what it works on; None while it waits.
    """

    def __init__(self, job: Job, model: ModelFiles) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.shard: Shard | None = None
        self.process = context.Process(target=_serve, args=(theirs, job, model), daemon=True)
        self.process.start()
        # With the last copy of their end goes the pipe: a worker that died is seen by that.
        theirs.close()

    def give(self, shard: Shard) -> None:
        self.shard = shard
        with suppress(OSError):  # It has died before; take() finds that out.
            self.connection.send(shard)

    def take(self) -> tuple[Counts | None, Shard]:
        """What became of the shard; None: the process has died."""
        shard, self.shard = self.shard, None
        assert shard is not None
        try:
            counts, problem, trace = self.connection.recv()
        except (EOFError, OSError):
            return None, shard
        if trace:
            raise RuntimeError(f"a worker failed:\n{trace}")
        if problem:
            raise TinierYoloError(problem)
        return Counts(*counts), shard

    def close(self) -> None:
        self.connection.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _serve(connection: Connection[Any, Any], job: Job, model: ModelFiles) -> None:
    """The life of a worker: shards in, counts out, until the other end closes."""
    import warnings

    import cv2

    # Ctrl-C goes to every process of the terminal; the parent decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    warnings.simplefilter("ignore")  # What was odd about one of a million pictures is not told.
    cv2.setNumThreads(1)  # There are as many processes as cores.
    detector: FaceDetector | None = None
    with suppress(EOFError, OSError):
        while True:
            shard = connection.recv()
            try:
                detector = detector or model.load()
                answer = tuple(run_shard(job, shard, detector)), "", ""
            except TinierYoloError as error:
                answer = (), str(error), ""
            except Exception:
                answer = (), "", traceback.format_exc()
            connection.send(answer)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)

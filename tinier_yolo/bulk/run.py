"""A bulk run: count the pictures, claim the folder, work through the shards that it lacks, tell what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tinier_yolo import __version__
from tinier_yolo.bulk import cluster, parquet
from tinier_yolo.bulk.entries import Entry, Shard, Survey, check_arguments, located, read_entries, shards, survey
from tinier_yolo.bulk.local import FaceDetector
from tinier_yolo.bulk.manifest import MANIFEST, Manifest, claim
from tinier_yolo.bulk.model import ModelContent, ModelFiles
from tinier_yolo.bulk.shards import Counts, Job, read_entry
from tinier_yolo.bulk.workers import LostShardError, run_here, run_processes
from tinier_yolo.errors import MediaError, printable

#: After so many shards that end every worker something else is wrong than a picture.
_MOST_LOST = 3


@dataclass(frozen=True)
class BulkOptions:
    """What is asked of a run.

    Attributes:
        sources: see :func:`tinier_yolo.bulk.entries.read_entries`.
        out: the folder of the results.
        model: the model.
        thresh: the least score.
        nms: the largest IoU.
        shard: pictures a file.
        format: jsonl or parquet.
        resume: go on with what the folder holds.
        workers: processes; 1 is this one.
        dask: the address of a Dask scheduler, whose workers do it instead.
    """

    sources: Sequence[str]
    out: Path
    model: ModelFiles
    thresh: float
    nms: float
    shard: int
    format: str = "jsonl"
    resume: bool = False
    workers: int = 1
    dask: str | None = None


@dataclass
class Totals:
    """What this run has done so far.

    Attributes:
        images: pictures with a row.
        detections: in them.
        errors: rows that hold an error.
        lost: shards that were given up.
        there: pictures whose rows were there before.
        seconds: from the first shard to the last.
    """

    images: int = 0
    detections: int = 0
    errors: int = 0
    lost: int = 0
    there: int = 0
    seconds: float = 0.0


def run(options: BulkOptions) -> Totals:
    """Detect in all pictures. Progress and messages go to stderr.

    Raises:
        TinierYoloError: bad input, a folder of another run, a package that is missing, a file that cannot be written.
    """
    check_arguments(options.sources)
    if options.format == "parquet":
        parquet.check()
    if options.dask is not None:
        cluster.check()
    content, detector = options.model.content(), options.model.load()
    counted = survey(_entries(options), options.shard)
    if not (options.out / MANIFEST).exists():
        _check_first(options)
    model, cfg = content.digests
    manifest = Manifest(
        model, cfg, detector.class_names, detector.size, options.model.tiles, options.thresh, options.nms,
        options.format, options.shard, counted.images, counted.digest, __version__,
    )  # fmt: skip
    claim(options.out, manifest, resume=options.resume)
    job = Job(str(options.out), options.format, options.thresh, options.nms, detector.class_names)
    with _Progress(counted.images) as progress:
        waiting = _waiting(options, job, counted, progress.totals)
        with closing(_results(options, job, waiting, detector, content, progress)) as results:
            for result in results:
                progress.add(result)
    _tidy(options.out)
    return progress.totals


def _entries(options: BulkOptions) -> Iterator[Entry]:
    return read_entries(options.sources, options.out)


def _check_first(options: BulkOptions) -> None:
    # Rows with errors stay: in a wrong folder, or without a store's permission, all of them would be such.
    first = located(Shard(0, tuple(islice(_entries(options), options.shard))))
    problem = None
    for entry in first.entries:
        try:
            read_entry(entry)
            return
        except MediaError as error:
            problem = problem or error
    raise MediaError(f"none of the first {len(first.entries)} images can be read; the first: {problem}")


def _waiting(options: BulkOptions, job: Job, counted: Survey, totals: Totals) -> Iterator[Shard]:
    for shard in shards(_entries(options), options.shard, counted):
        if job.part(shard.number).exists():
            totals.there += len(shard.entries)
        else:
            yield located(shard)


def _results(
    options: BulkOptions,
    job: Job,
    waiting: Iterator[Shard],
    detector: FaceDetector,
    content: ModelContent,
    progress: _Progress,
) -> Generator[Counts | LostShardError]:
    if options.dask is not None:
        return cluster.run_cluster(job, waiting, content, options.dask, progress.tell)
    if options.workers > 1:
        return run_processes(job, waiting, options.model, options.workers, progress.tell)
    return run_here(job, waiting, detector)


class _Progress:
    """The bar, the totals, and when enough is enough."""

    def __init__(self, images: int) -> None:
        from tqdm import tqdm

        self.totals = Totals()
        pace: dict[str, Any] = {"leave": False} if sys.stderr.isatty() else {"mininterval": 30, "maxinterval": 60}
        self._bar = tqdm(total=images, unit="image", file=sys.stderr, delay=0 if sys.stderr.isatty() else 30, **pace)
        self._start = time.perf_counter()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.totals.seconds = time.perf_counter() - self._start
        self._bar.close()

    def tell(self, message: str) -> None:
        self._bar.clear()
        print(f"tinier-yolo: {printable(message)}", file=sys.stderr)

    def add(self, result: Counts | LostShardError) -> None:
        """Count a shard.

        Raises:
            LostShardError: too many were given up.
        """
        totals = self.totals
        if isinstance(result, LostShardError):
            totals.lost += 1
            if totals.lost == _MOST_LOST:
                raise result
            self.tell(str(result))
            return
        totals.images += result.images
        totals.detections += result.detections
        totals.errors += result.errors
        # Shards that were there are seen on the way to those that were not.
        self._bar.update(totals.images + totals.there - self._bar.n)


def _tidy(folder: Path) -> None:
    # What killed processes have left behind. Now that every part is there nobody writes another.
    for leftover in folder.glob(".part-*.tmp"):
        with suppress(OSError):
            leftover.unlink()

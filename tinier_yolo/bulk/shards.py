"""A shard of pictures -> a file of rows, which is whole or not there. That is all that makes a bulk run resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk import archives, remote
from tinier_yolo.bulk.entries import Entry, Shard
from tinier_yolo.bulk.local import FaceDetector
from tinier_yolo.detection.formats.json_lines import json_record
from tinier_yolo.detection.formats.result import Result
from tinier_yolo.errors import MediaError
from tinier_yolo.files import atomic_write
from tinier_yolo.media.addresses import is_address, shown
from tinier_yolo.media.content import kind_of_bytes
from tinier_yolo.media.images import checked_bytes, decode_image, read_bytes

#: What ``--format`` takes of a bulk run.
FORMATS = ("jsonl", "parquet")
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What all shards of a run have in common.

    Attributes:
        out: the folder of the results.
        format: one of ``FORMATS``.
        thresh: the least score.
        nms: the largest IoU.
        class_names: a name for each class id.
        root: the folder that relative paths start from; the working folder if empty.
    """

    out: str
    format: str
    thresh: float
    nms: float
    class_names: tuple[str, ...]
    root: str = ""

    def part(self, number: int) -> Path:
        """The file of a shard."""
        return Path(self.out, f"part-{number:06d}.{self.format}")


class Counts(NamedTuple):
    """What became of a shard.

    Attributes:
        number: the shard's.
        images: its pictures.
        detections: in all of them.
        errors: pictures that could not be read.
        problem: of the first of these.
    """

    number: int
    images: int
    detections: int = 0
    errors: int = 0
    problem: str = ""


def run_shard(job: Job, shard: Shard, detector: FaceDetector) -> Counts:
    """Detect in the pictures of a shard and write its file; one that cannot be read is a row with an error.

    Raises:
        OutputError: the file cannot be written.
        UsageError: see ``Detector.detect``.
    """
    counted = _CountedRows(_row(job, entry, detector) for entry in shard.entries)
    path = job.part(shard.number)
    if job.format == "parquet":
        from tinier_yolo.bulk.parquet import write_rows

        write_rows(path, counted)
    else:
        with atomic_write(path, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in counted)
    return Counts(shard.number, len(shard.entries), counted.detections, counted.errors, counted.problem)


class _CountedRows:
    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows, self.detections, self.errors, self.problem = rows, 0, 0, ""

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.detections += len(row.get("detections", ()))
            if "error" in row:
                self.problem = self.problem or row["error"]
                self.errors += 1
            yield row


def _row(job: Job, entry: Entry, detector: FaceDetector) -> Row:
    name = shown(entry.source)
    try:
        rgb = read_entry(entry, job.root)
    except MediaError as error:
        return {"source": name, "error": str(error)}
    found = detector.detect(rgb, thresh=job.thresh, nms=job.nms)
    return json_record(Result(name, "", rgb.shape[1], rgb.shape[0], found), job.class_names)


def read_entry(entry: Entry, root: str = "") -> NDArray[np.uint8]:
    """Read a picture, wherever it lies.

    Args:
        entry: the picture; of a list, as :func:`tinier_yolo.bulk.entries.located` gives it.
        root: the folder that relative paths start from; the working folder if empty.

    Returns:
        RGB, uint8 (height, width, 3).

    Raises:
        MediaError: it is missing, damaged, or no image.
    """
    name = shown(entry.source)
    data = checked_bytes(_bytes(entry, root), name)
    if kind_of_bytes(data) == "video":
        raise MediaError("a video, which a bulk run leaves out", path=name, expected="an image")
    return decode_image(data, name)


def _bytes(entry: Entry, root: str) -> bytes:
    source = entry.source
    if archives.is_member(source):
        return archives.read_member(source, entry.member, root)
    if remote.is_remote(source):
        return remote.read_bytes(source)
    return read_bytes(source if is_address(source) else os.path.join(root, source), shown(source))  # noqa: PTH118

"""What the results of all evaluations have in common, and how they are written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tinier_yolo.errors import PathLike
from tinier_yolo.eval.average_precision import PrecisionRecall
from tinier_yolo.eval.run import Run, Subject
from tinier_yolo.files import atomic_write


@dataclass(frozen=True)
class Source:
    """Where the detections come from that were evaluated: a detector, or files.

    Attributes:
        name: for legends, tables and summaries.
        missing_images: images that the detector's run could not read, or that the files do not mention.
        details: what else a summary says of the detector: model file, bytes, size.
        ms_per_image: median time of the detector, on one thread, in milliseconds; None for files.
    """

    name: str
    missing_images: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    ms_per_image: float | None = None

    @classmethod
    def of_run(cls, subject: Subject, run: Run) -> Source:
        """A detector that was run."""
        return cls(subject.name, tuple(run.problems), subject.details, run.ms_per_image)

    def summary(self) -> dict[str, Any]:
        """The part of ``summary.json`` that tells of it."""
        time = {} if self.ms_per_image is None else {"ms_per_image": self.ms_per_image}
        return {"name": self.name, **self.details, **time, "missing_images": list(self.missing_images)}


class Result(Protocol):
    """The result of a benchmark."""

    @property
    def source(self) -> Source:
        """Where the detections come from."""
        ...

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        ...

    def text(self) -> str:
        """The figures for a person, in a few lines."""
        ...


def write_json(path: PathLike, content: Mapping[str, Any]) -> None:
    """Write an object as JSON, one key a line.

    Raises:
        MediaError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_csv(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV.

    Raises:
        MediaError: the file cannot be written.
    """
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_precision_recall(path: PathLike, curve: PrecisionRecall) -> None:
    """Write a curve as CSV: threshold, recall, precision.

    Raises:
        MediaError: the file cannot be written.
    """
    points = zip(curve.scores, curve.recall, curve.precision, strict=True)
    rows = [[f"{value:.6g}" for value in point] for point in points]
    write_csv(path, ("threshold", "recall", "precision"), rows)


def named(names: Sequence[str], most: int = 10) -> str:
    """Names for a message, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

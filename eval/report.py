"""What all evaluations write alike: summaries and tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.average_precision import PrecisionRecall
from tinier_yolo.errors import PathLike
from tinier_yolo.files import atomic_write


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

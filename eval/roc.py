"""ROC curves as FDDB draws them: the rate of faces found against the number of false positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.text import read_text
from tinier_yolo.errors import DataError, PathLike
from tinier_yolo.files import atomic_write

#: The paper's operating point: 0.1 false positives an image, one in ten.
IMAGES_PER_FALSE_POSITIVE = 10


@dataclass(frozen=True, eq=False)
class Roc:
    """A detector's curve over a set, a point for each distinct score, the highest score first.

    Attributes:
        scores: float64 (k,), falling: at a point, detections of at least its score are kept.
        true_positives: int64 (k,).
        false_positives: int64 (k,).
        similarity: float64 (k,), the sum of the matched pairs' IoU: the numerator of FDDB's continuous score.
        faces: all faces of the set, found or not.
        images: all images of the set.
    """

    scores: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    similarity: NDArray[np.float64]
    faces: int
    images: int

    @property
    def rate(self) -> NDArray[np.float64]:
        """Share of the faces found (discrete score), (k,)."""
        return self.true_positives / max(self.faces, 1)

    @property
    def continuous_rate(self) -> NDArray[np.float64]:
        """Sum of the matched IoU by the number of faces (continuous score), (k,)."""
        return self.similarity / max(self.faces, 1)

    @property
    def budget(self) -> int:
        """False positives at the operating point: 0.1 an image, rounded down; 284 on the whole of FDDB."""
        return self.images // IMAGES_PER_FALSE_POSITIVE

    def operating_point(self, budget: int | None = None) -> int | None:
        """Index of the point with the highest rate among those of at most ``budget`` false positives.

        None where there is none. Of points with one rate, the first: the highest score.
        """
        allowed = np.flatnonzero(self.false_positives <= (self.budget if budget is None else budget))
        return int(allowed[np.argmax(self.true_positives[allowed])]) if allowed.size else None

    @property
    def threshold(self) -> float | None:
        """The score of the operating point; None where there is none."""
        point = self.operating_point()
        return None if point is None else float(self.scores[point])

    @property
    def end(self) -> tuple[float, int]:
        """Rate and false positives of all detections."""
        return (float(self.rate[-1]), int(self.false_positives[-1])) if len(self.scores) else (0.0, 0)

    def rate_at(self, budget: int | None = None) -> float:
        """The discrete rate at the operating point; 0 where there is none."""
        point = self.operating_point(budget)
        return 0.0 if point is None else float(self.rate[point])

    def summary(self) -> dict[str, Any]:
        """The figures that every summary has: the set, the rate at the operating point, the end of the curve."""
        rate, false_positives = self.end
        return {
            "images": self.images,
            "faces": self.faces,
            "false_positives": self.budget,
            "rate": round(self.rate_at(), 6),
            "threshold": self.threshold,
            "end": {"rate": round(rate, 6), "false_positives": false_positives},
        }

    def line(self) -> str:
        """The same figures in words."""
        rate, false_positives = self.end
        return (
            f"rate {self.rate_at():.6f} at {self.budget} false positives "
            f"(0.1 an image; {self.images} images, {self.faces} faces); end {rate:.6f} at {false_positives}"
        )

    def continuous_rate_at(self, budget: int | None = None) -> float:
        """The highest continuous rate at no more than ``budget`` false positives; 0 where there is none."""
        allowed = self.false_positives <= (self.budget if budget is None else budget)
        return float(np.max(self.continuous_rate[allowed], initial=0.0))


def merge_steps(
    scores: Sequence[NDArray[np.float64]],
    steps: Sequence[NDArray[np.float64]],
    faces: int,
    images: int,
) -> Roc:
    """The curve of a set from its images' own curves: at a score, the sum of what each image has there.

    Args:
        scores: for each image its distinct scores (k_i,), falling.
        steps: for each image float64 (k_i, 3): how much true positives, false positives and similarity change where
            the threshold falls to that score.
        faces: all faces.
        images: all images.
    """
    all_scores = np.concatenate([np.empty(0), *scores])
    all_steps = np.concatenate([np.empty((0, 3)), *steps])
    order = np.argsort(-all_scores, kind="stable")
    all_scores, totals = all_scores[order], np.cumsum(all_steps[order], axis=0)
    last = last_of_each(all_scores)
    counts = np.rint(totals[last, :2]).astype(np.int64)
    return Roc(all_scores[last], counts[:, 0], counts[:, 1], totals[last, 2], faces, images)


def last_of_each(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the last of each run of equal values."""
    if not values.size:
        return np.empty(0, np.intp)
    return np.flatnonzero(np.append(values[1:] != values[:-1], True))


def write_discrete(path: PathLike, roc: Roc) -> None:
    """Write FDDB's ``DiscROC.txt``: ``rate false_positives score``, the lowest score first."""
    # The official program closes the file with the point of no detection: DBL_MAX at C++'s six digits.
    rows = zip(roc.rate, roc.false_positives, roc.scores, strict=True)
    _write(path, [f"{rate:g} {count} {score:g}" for rate, count, score in rows], "0 0 1.79769e+308")


def write_continuous(path: PathLike, roc: Roc) -> None:
    """Write FDDB's ``ContROC.txt``: ``rate false_positives``, the lowest score first."""
    rows = zip(roc.continuous_rate, roc.false_positives, strict=True)
    _write(path, [f"{rate:g} {count}" for rate, count in rows], "0 0")


def _write(path: PathLike, falling: list[str], end: str) -> None:
    with atomic_write(path, "w") as file:
        file.write("".join(f"{line}\n" for line in (*reversed(falling), end)))


def read_roc(path: PathLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read a ``DiscROC.txt`` (or ``ContROC.txt``) of the official program's form, whoever wrote it.

    Returns:
        False positives and rates, both (k,), in rising order.

    Raises:
        DataError: the file cannot be read, holds nothing, or a line has another form (which is named).
    """
    points = []
    for number, line in enumerate(read_text(path, "ROC file").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            rate, count = float(fields[0]), float(fields[1])
        except (ValueError, IndexError):
            rate, count = np.nan, np.nan
        if len(fields) > 3 or not (0 <= rate <= 1 and 0 <= count < 2**53):
            place, expected = f"line {number}", "rate false_positives [score]"
            raise DataError("not a line of a ROC file", path=path, place=place, expected=expected, found=line[:60])
        points.append((count, rate))
    if not points:
        raise DataError("an empty ROC file", path=path)
    table = np.array(sorted(points))
    return table[:, 0].astype(np.int64), table[:, 1]

"""The FDDB benchmark from files to files: annotations, detections or images in; curves, a summary and a plot out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.fddb.overlap import Size
from eval.fddb.protocol import evaluate
from eval.plots import Line, plot_roc
from eval.report import write_json
from eval.roc import IMAGES_PER_FALSE_POSITIVE, Roc, read_roc, write_continuous, write_discrete
from eval.run import Subject, read_sizes, run_detector
from tinier_yolo.datasets.fddb import FddbFold, FddbImage, load_fddb
from tinier_yolo.datasets.labels import read_text
from tinier_yolo.datasets.records import index_records
from tinier_yolo.detection.formats.fddb import read_fddb, write_fddb
from tinier_yolo.errors import DataError, DetectionsError, PathLike

#: The whole of FDDB, and the right end of the x axis that its curves are drawn to.
FULL_IMAGES, FULL_LIMIT = 2845, 2000

Rows = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class FddbSet:
    """The images that are evaluated.

    Attributes:
        folds: their folds; on a subset, what is left of each.
        known: names of all images of the annotations, evaluated or not.
    """

    folds: tuple[FddbFold, ...]
    known: frozenset[str]

    @classmethod
    def load(cls, annotations: PathLike, image_list: PathLike | None = None) -> FddbSet:
        """Read a folder of annotations, and the names of a subset, one a line.

        Raises:
            DataError: as :func:`load_fddb`; or a list that is empty, or names an image twice or one that is unknown.
        """
        folds = load_fddb(annotations)
        known = frozenset(image.name for fold in folds for image in fold.images)
        if image_list is None:
            return cls(folds, known)
        wanted = _read_list(image_list, known)
        parts = (FddbFold(fold.number, tuple(i for i in fold.images if i.name in wanted)) for fold in folds)
        return cls(tuple(part for part in parts if part.images), known)

    @property
    def images(self) -> Iterator[FddbImage]:
        """The images, fold by fold."""
        return (image for fold in self.folds for image in fold.images)

    @property
    def is_subset(self) -> bool:
        """Whether this is less than the annotations, or less than FDDB."""
        count = sum(1 for _ in self.images)
        return count < len(self.known) or count < FULL_IMAGES

    def files(self, root: PathLike) -> dict[str, Path]:
        """The image files under ``root`` (FDDB's ``originalPics``), by name."""
        return {image.name: Path(root) / f"{image.name}.jpg" for image in self.images}


def load_sizes(path: PathLike) -> dict[str, Size]:
    """Read image sizes: a JSON object of ``"name": [width, height]``.

    Raises:
        DataError: not such a file.
    """
    expected = '{"name": [width, height], ...}'
    try:
        content = json.loads(read_text(path, "file of image sizes"))
    except ValueError as error:
        raise DataError("not JSON", path=path, expected=expected, found=str(error)) from error
    if not isinstance(content, dict):
        raise DataError("not a file of image sizes", path=path, expected=expected, found=type(content).__name__)
    for name, size in content.items():
        fine = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        if not fine:
            raise DataError("not a size", path=path, place=name[:80], expected="[width, height]", found=str(size)[:40])
    return {name: (size[0], size[1]) for name, size in content.items()}


def load_detections(path: PathLike, fddb: FddbSet) -> dict[str, NDArray[np.float64]]:
    """Read detections of the set's images: a file, or a folder of ``fold-*-out.txt``.

    Images of the annotations that are not evaluated are left aside.

    Raises:
        DetectionsError: as :func:`read_fddb`; or an image twice, an image that the annotations do not know, or none of
            the set's images.
    """
    records = index_records(read_fddb(path), DetectionsError)
    for record in records.values():
        if record.name not in fddb.known:
            expected = "a name of the annotations, without .jpg"
            found = record.name[:80]
            raise DetectionsError(
                "unknown image", path=record.path, place=record.place(), expected=expected, found=found
            )
    names = {image.name for image in fddb.images}
    detections = {name: record.rows for name, record in records.items() if name in names}
    if not detections:
        raise DetectionsError("no image of the set", path=path, expected=f"some of {len(names)}")
    return detections


def evaluate_files(
    fddb: FddbSet,
    detections: PathLike,
    out: PathLike,
    *,
    name: str,
    sizes: Mapping[str, Size] | None = None,
    root: PathLike | None = None,
    compare: Sequence[tuple[str, Path]] = (),
) -> dict[str, Any]:
    """Score detections from files and write the results.

    Args:
        fddb: the set.
        detections: a file, or a folder of ``fold-*-out.txt``.
        out: the folder to write to.
        name: for the legend and the summary.
        sizes: image sizes by name; or
        root: the images, whose sizes are read.
        compare: names and ROC files of other curves for the plot.

    Returns:
        The summary, as written to ``summary.json``.
    """
    others = read_compared(compare)
    rows = load_detections(detections, fddb)
    if sizes is None:
        files = fddb.files(root or "")
        sizes = read_sizes({image: files[image] for image, found in rows.items() if len(found)})
    missing = [image.name for image in fddb.images if image.name not in rows]
    roc = evaluate(fddb.images, rows, sizes)
    details = {"name": name, "detections": sum(map(len, rows.values())), "missing_images": missing}
    return _write_results(Path(out), fddb, roc, details, others)


def evaluate_detector(
    fddb: FddbSet, subject: Subject, root: PathLike, out: PathLike, *, compare: Sequence[tuple[str, Path]] = ()
) -> dict[str, Any]:
    """Run a detector over the images, write ``fold-*-out.txt``, and score what these files say.

    Faces of images that cannot be read count as missed; the summary names these images.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    others = read_compared(compare)
    run = run_detector(subject, fddb.files(root))
    rows: dict[str, NDArray[np.float64]] = {}
    for fold in fddb.folds:
        path = Path(out) / f"fold-{fold.number}-out.txt"
        write_fddb(path, ((image.name, run.detections[image.name]) for image in fold.images))
        # What is scored is what was written, so that the official program gets the same result from these files.
        rows.update((record.name, record.rows) for record in read_fddb(path))
    roc = evaluate(fddb.images, rows, run.sizes)
    details = {
        "name": subject.name,
        **subject.details,
        "ms_per_image": run.ms_per_image,
        "detections": sum(map(len, rows.values())),
        "missing_images": list(run.problems),
    }
    return _write_results(Path(out), fddb, roc, details, others)


def plot_curves(path: PathLike, fddb: FddbSet, lines: Sequence[Line]) -> None:
    """Draw discrete curves over the set in one figure.

    Raises:
        MediaError: the file cannot be written.
    """
    images = sum(1 for _ in fddb.images)
    faces = sum(len(image.ellipses) for image in fddb.images)
    subset = " (a subset)" if fddb.is_subset else ""
    title = f"FDDB{subset}, discrete score: {images:,} images, {faces:,} faces"
    budget = images // IMAGES_PER_FALSE_POSITIVE
    limit = max(round(FULL_LIMIT * images / FULL_IMAGES), budget + 1, 10)
    plot_roc(path, lines, budget=budget, limit=limit, title=title)


def read_compared(compare: Sequence[tuple[str, Path]]) -> list[Line]:
    """The curves of other detectors, from ROC files.

    Raises:
        DataError: as :func:`read_roc`.
    """
    return [Line(name, *read_roc(path)) for name, path in compare]


def summarise(fddb: FddbSet, roc: Roc, details: Mapping[str, Any]) -> dict[str, Any]:
    """The summary: rate at the operating point, end of the curve, what was evaluated."""
    end = float(roc.continuous_rate[-1]) if len(roc.scores) else 0.0
    summary: dict[str, Any] = {
        "benchmark": "FDDB",
        **roc.summary(),
        "continuous": {"rate": round(roc.continuous_rate_at(), 6), "end": round(end, 6)},
        "subset": fddb.is_subset,
        **details,
    }
    if fddb.is_subset:
        summary["note"] = (
            f"{roc.images} images with {roc.faces} faces, a subset of FDDB's {FULL_IMAGES} with 5171: "
            "not comparable with published figures on all of it"
        )
    return summary


def _write_results(
    out: Path, fddb: FddbSet, roc: Roc, details: Mapping[str, Any], others: Sequence[Line]
) -> dict[str, Any]:
    write_discrete(out / "DiscROC.txt", roc)
    write_continuous(out / "ContROC.txt", roc)
    lines = [Line(str(details["name"]), roc.false_positives, roc.rate), *others]
    plot_curves(out / "roc.png", fddb, lines)
    summary = summarise(fddb, roc, details)
    write_json(out / "summary.json", summary)
    return summary


def _read_list(path: PathLike, known: frozenset[str]) -> set[str]:
    names: set[str] = set()
    for number, line in enumerate(read_text(path, "list of images").splitlines(), start=1):
        name = line.strip()
        if name and (name not in known or name in names):
            problem = "an image twice in the list" if name in names else "unknown image in the list"
            raise DataError(problem, path=path, place=f"line {number}", found=name[:80])
        if name:
            names.add(name)
    if not names:
        raise DataError("an empty list of images", path=path)
    return names

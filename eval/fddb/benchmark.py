"""The FDDB benchmark from files to files: annotations, detections or images in; curves, a summary and a plot out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.defaults import NETWORK_SIZE
from tinier_yolo.detection.formats.fddb import Shape, read_fddb, write_fddb
from tinier_yolo.errors import PathLike, UsageError, printable, warn
from tinier_yolo.eval.benchmarks import Request
from tinier_yolo.eval.contact_sheet import write_errors
from tinier_yolo.eval.error_analysis import Analysis, ErrorOptions, analyse
from tinier_yolo.eval.fddb.dataset import FULL_FACES, FULL_IMAGES, FddbSet, load_detections, load_sizes
from tinier_yolo.eval.fddb.errors import judge_all
from tinier_yolo.eval.fddb.overlap import Size
from tinier_yolo.eval.fddb.protocol import curve
from tinier_yolo.eval.plots import Line, plot_roc, read_compared
from tinier_yolo.eval.report import Source, write_json
from tinier_yolo.eval.roc import IMAGES_PER_FALSE_POSITIVE, Roc, write_continuous, write_discrete
from tinier_yolo.eval.run import Subject, read_sizes, run_detector

#: The right end of the x axis that the curves of the whole set are drawn to.
FULL_LIMIT = 2000


@dataclass(frozen=True, eq=False)
class Detected:
    """The detections that are scored.

    Attributes:
        rows: by image name, as of :func:`curve`.
        sizes: (width, height) by image name.
        source: where they come from.
    """

    rows: Mapping[str, NDArray[np.float64]]
    sizes: Mapping[str, Size]
    source: Source


@dataclass(frozen=True, eq=False)
class FddbResult:
    """The result of the benchmark.

    Attributes:
        source: where the detections come from.
        roc: the curve.
        subset: whether this was less than the whole of FDDB.
        detections: their number.
        errors: what kinds of errors there are, where that was asked for.
        left_out: how many wrong lines of the files were left out; None: a wrong line was an error.
    """

    source: Source
    roc: Roc
    subset: bool
    detections: int
    errors: Analysis | None = None
    left_out: int | None = None

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``: rate at the operating point, end of the curve, what was evaluated."""
        continuous, roc = self.roc.continuous_rate, self.roc
        end = float(continuous[-1]) if len(continuous) else 0.0
        summary: dict[str, Any] = {
            "benchmark": "FDDB",
            **roc.summary(),
            "continuous": {"rate": round(roc.continuous_rate_at(), 6), "end": round(end, 6)},
            "subset": self.subset,
            "detections": self.detections,
            **self.source.summary(),
        }
        if self.left_out is not None:
            summary["lines_left_out"] = self.left_out
        if self.subset:
            summary["note"] = (
                f"{roc.images} images with {roc.faces} faces, a subset of FDDB's {FULL_IMAGES} with {FULL_FACES}: "
                "not comparable with published figures on all of it"
            )
        return summary

    def text(self) -> str:
        """The rate at the operating point, the end of the curve, and the errors."""
        line = f"FDDB{' (a subset)' if self.subset else ''}, {self.source.name}: {self.roc.line()}"
        return f"{line}\n{self.errors.text()}" if self.errors else line


def evaluate(request: Request) -> FddbResult:
    """Evaluate a detector, or detections from files, and write the results.

    Raises:
        TinierYoloError: options that do not go together, bad input, or results that cannot be written.
    """
    files, root, sizes = request.one("detections"), request.one("images"), request.one("sizes")
    read = request.needed("annotations"), request.many("list"), request.has("lenient")
    shape = cast("Shape | None", request.one("shape"))
    if files is None:
        if sizes or shape:
            option = "--sizes" if sizes else "--shape"
            raise UsageError(f"{option} goes with --detections; a detector needs --images ROOT")
        root, chosen = request.images(), request.choose()
        errors = ErrorOptions(chosen.network_size, chosen.letter_box) if request.errors else None
        fddb = FddbSet.load(*read)
        return evaluate_detector(fddb, chosen.subject, root, request.out, compare=request.compare, errors=errors)
    if (root is None) == (sizes is None):
        raise UsageError("--detections needs the sizes of the images", expected="either --images or --sizes")
    if request.errors and root is None:
        raise UsageError("errors are shown in the images", expected="--images ROOT")
    return evaluate_files(
        FddbSet.load(*read),
        files,
        request.out,
        name=request.name or printable(Path(files).stem),
        sizes=load_sizes(sizes) if sizes else None,
        root=root,
        shape=shape,
        compare=request.compare,
        errors=ErrorOptions((NETWORK_SIZE, NETWORK_SIZE)) if request.errors else None,
    )


def evaluate_files(
    fddb: FddbSet,
    detections: PathLike,
    out: PathLike,
    *,
    name: str,
    sizes: Mapping[str, Size] | None = None,
    root: PathLike | None = None,
    shape: Shape | None = None,
    compare: Sequence[tuple[str, Path]] = (),
    errors: ErrorOptions | None = None,
) -> FddbResult:
    """Score detections from files and write the results.

    Args:
        fddb: the set.
        detections: a file, or a folder of ``fold-*-out.txt``.
        out: the folder to write to.
        name: for the legend and the summary.
        sizes: image sizes by name; or
        root: the images, whose sizes are read.
        shape: what the lines describe; as of :func:`load_detections`.
        compare: names and ROC files of other curves for the plot.
        errors: how to tell the kinds of errors, if at all; needs ``root``.

    Raises:
        TinierYoloError: bad input, or results that cannot be written.
    """
    others = read_compared(compare)
    rows = load_detections(detections, fddb, shape)
    if sizes is None:
        files = fddb.files(root or "")
        needed = files if errors else [image for image, found in rows.items() if len(found)]
        sizes = read_sizes({image: files[image] for image in needed})
    missing = tuple(image.name for image in fddb.images if image.name not in rows)
    detected = Detected(rows, sizes, Source(name, missing))
    return _evaluate(fddb, detected, Path(out), others, errors, root)


def evaluate_detector(
    fddb: FddbSet,
    subject: Subject,
    root: PathLike,
    out: PathLike,
    *,
    compare: Sequence[tuple[str, Path]] = (),
    errors: ErrorOptions | None = None,
) -> FddbResult:
    """Run a detector over the images, score what it found, and write the results.

    Faces of images that cannot be read count as missed; the summary names these images.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    others = read_compared(compare)
    return _evaluate(fddb, detect(fddb, subject, root, out), Path(out), others, errors, root)


def _evaluate(
    fddb: FddbSet,
    detected: Detected,
    out: Path,
    others: Sequence[Line],
    errors: ErrorOptions | None,
    root: PathLike | None,
) -> FddbResult:
    if fddb.left_out:
        warn(f"{len(fddb.left_out)} lines are left out; the first: {fddb.left_out[0]}")
    result = score(fddb, detected)
    write_results(out, fddb, result, others)
    if errors is None or root is None:
        return result
    threshold = result.roc.threshold
    judged = judge_all(fddb, fddb.files(root), detected.rows, detected.sizes, threshold, errors)
    analysis = analyse(judged, threshold, errors.network_size)
    write_errors(out, analysis)
    return replace(result, errors=analysis)


def detect(fddb: FddbSet, subject: Subject, root: PathLike, out: PathLike) -> Detected:
    """Run a detector over the images and write ``fold-*-out.txt``.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    run = run_detector(subject, fddb.files(root))
    rows: dict[str, NDArray[np.float64]] = {}
    for fold in fddb.folds:
        path = Path(out) / f"fold-{fold.number}-out.txt"
        write_fddb(path, ((image.name, run.detections[image.name]) for image in fold.images))
        # What is scored is what was written, so that the official program gets the same result from these files.
        rows.update((record.name, record.rows) for record in read_fddb(path))
    return Detected(rows, run.sizes, Source.of_run(subject, run))


def score(fddb: FddbSet, detected: Detected) -> FddbResult:
    """The result on a set, or on a part of the set that was detected on.

    Raises:
        DetectionsError: the size of an image is not known.
    """
    names = {image.name for image in fddb.images}
    roc = curve(fddb.images, detected.rows, detected.sizes)
    count = sum(len(found) for name, found in detected.rows.items() if name in names)
    left_out = None if fddb.left_out is None else len(fddb.left_out)
    return FddbResult(detected.source, roc, fddb.is_subset, count, left_out=left_out)


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


def write_results(out: Path, fddb: FddbSet, result: FddbResult, others: Sequence[Line] = ()) -> None:
    """Write both curves, their plot and ``summary.json``.

    Args:
        out: the folder to write to.
        fddb: the set.
        result: its result.
        others: curves of other detectors for the plot.

    Raises:
        TinierYoloError: a file cannot be written.
    """
    write_discrete(out / "DiscROC.txt", result.roc)
    write_continuous(out / "ContROC.txt", result.roc)
    plot_curves(out / "roc.png", fddb, [Line.of_roc(result.source.name, result.roc), *others])
    write_json(out / "summary.json", result.summary())

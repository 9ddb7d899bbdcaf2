"""The evaluation of a YOLO-labelled set: the valid list of a .data file and a detector in; AP, rate and curves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.fddb.benchmark import read_compared
from eval.figure import FigureOptions, Panel, draw_figure, write_pictures
from eval.labelled.protocol import HEIGHTS, ImageResult, precision_recall, rate_above, roc_curve
from eval.matching import match
from eval.plots import Line, plot_precision_recall, plot_roc
from eval.report import write_json, write_precision_recall
from eval.roc import Roc, write_discrete
from eval.run import Run, Subject, run_detector
from eval.selection import check_names, choose
from tinier_yolo.datasets.labels import Sample, load_data, load_samples
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import DataError, PathLike

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image of the set that could be read, its boxes in pixels.

    Attributes:
        sample: the image and its labels.
        size: (width, height) in pixels.
        faces: float64 (m, 4), xyxy.
        ignored: float64 (k, 4), xyxy, neither right nor wrong to find.
    """

    sample: Sample
    size: Size
    faces: NDArray[np.float64]
    ignored: NDArray[np.float64]

    @classmethod
    def of(cls, sample: Sample, size: Size) -> LabelledImage:
        """The boxes of a sample on an image of (width, height)."""
        return cls(sample, size, _corners(sample.boxes, size), _corners(sample.ignored, size))


def load_set(data: PathLike) -> dict[str, Sample]:
    """The samples of a .data file's valid list, by the name of the image below the list's folder.

    Raises:
        DataError: no valid list, more than one class, an image twice, or as :func:`load_samples`.
    """
    description = load_data(data)
    if description.valid is None:
        raise DataError("no list to evaluate", path=data, expected="valid = FILE")
    if len(description.class_names) != 1:
        raise DataError("not a set of faces alone", path=data, expected="classes = 1")
    samples = load_samples(description.valid, 1)
    folder = description.valid.parent
    named = {sample.image.relative_to(folder).as_posix(): sample for sample in samples}
    if len(named) < len(samples):
        raise DataError("an image twice in the list", path=description.valid)
    return named


def evaluate_detector(
    samples: Mapping[str, Sample],
    subject: Subject,
    out: PathLike,
    *,
    network_size: Size,
    letter_box: bool = True,
    compare: Sequence[tuple[str, Path]] = (),
    figure: FigureOptions | None = None,
) -> dict[str, Any]:
    """Run a detector over the set and write the results.

    Args:
        samples: as :func:`load_set` gives them.
        subject: the detector.
        out: the folder to write to.
        network_size: (width, height) at which heights of faces are told.
        letter_box: whether images keep their aspect ratio there.
        compare: names and ROC files of other curves for the plot.
        figure: what to draw, if anything.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    others = read_compared(compare)
    run = run_detector(subject, {name: sample.image for name, sample in samples.items()})
    images = {name: LabelledImage.of(samples[name], size) for name, size in run.sizes.items()}
    scales = {name: Letterbox.fit(i.size, network_size, letter_box).scale[1] for name, i in images.items()}
    results = [_result(name, image, run, scales[name]) for name, image in images.items()]
    roc = roc_curve(results, sum(len(sample.boxes) for sample in samples.values()), len(samples))
    summary = {**summarise(results, roc), "network_size": list(network_size), **_details(samples, subject, run)}
    if figure and (names := _draw(Path(out), images, results, figure)):
        summary["figure"] = names
    _write_curves(Path(out), results, roc, subject.name, others)
    write_json(Path(out) / "summary.json", summary)
    return summary


def summarise(results: Sequence[ImageResult], roc: Roc) -> dict[str, Any]:
    """The summary: AP, rate at the operating point, and both by the height of the faces."""
    summary = roc.summary()
    return {
        "benchmark": "YOLO-labelled set",
        "ap": round(precision_recall(results, faces=roc.faces).average_precision, 6),
        **summary,
        "by_height": [_height_row(results, heights, summary["threshold"]) for heights in HEIGHTS],
    }


def _details(samples: Mapping[str, Sample], subject: Subject, run: Run) -> dict[str, Any]:
    return {
        "ignored": sum(len(sample.ignored) for sample in samples.values()),
        "name": subject.name,
        **subject.details,
        "ms_per_image": run.ms_per_image,
        "missing_images": list(run.problems),
    }


def _height_row(
    results: Sequence[ImageResult], heights: tuple[float, float], threshold: float | None
) -> dict[str, Any]:
    curve = precision_recall(results, heights)
    rate = rate_above(results, heights, threshold)
    low, high = heights
    label = f"under {high:g}" if low == 0 else f"over {low:g}" if high == float("inf") else f"{low:g}-{high:g}"
    return {
        "height": label,
        "faces": curve.faces,
        "ap": round(curve.average_precision, 6) if curve.faces else None,
        "rate": None if rate is None else round(rate, 6),
    }


def _result(name: str, image: LabelledImage, run: Run, scale: float) -> ImageResult:
    found = run.detections[name]
    matches = match(found.boxes, found.scores, image.faces, image.ignored)
    return ImageResult(name, matches, (image.faces[:, 3] - image.faces[:, 1]) * scale, scale)


def _write_curves(out: Path, results: Sequence[ImageResult], roc: Roc, name: str, others: Sequence[Line]) -> None:
    curve = precision_recall(results, faces=roc.faces)
    write_precision_recall(out / "pr.csv", curve)
    write_discrete(out / "DiscROC.txt", roc)
    title = f"{roc.images:,} images, {roc.faces:,} faces, IoU 0.5"
    label = f"{name}: AP {curve.average_precision:.3f}"
    plot_precision_recall(out / "pr.png", [Line(label, curve.recall, curve.precision)], title=title)
    lines = [Line(name, roc.false_positives, roc.rate), *others]
    plot_roc(out / "roc.png", lines, budget=roc.budget, limit=max(roc.images, 10), title=title)


def _draw(
    out: Path, images: Mapping[str, LabelledImage], results: Sequence[ImageResult], options: FigureOptions
) -> list[str]:
    # Returns the names of the figure's images.
    by_name = {result.name: result for result in results}
    names: list[str] = []
    if options.names:
        names = check_names(options.names, images)
    elif options.count:
        low, high = options.heights
        heights = {name: image.faces[:, 3] - image.faces[:, 1] for name, image in images.items()}
        names = choose([name for name, h in heights.items() if ((h >= low) & (h < high)).any()], options.count)
    if names:
        draw_figure(out / "figure.png", [_panel(name, images[name], by_name[name]) for name in names], options.thresh)
    if options.pictures:
        panels = [_panel(name, image, by_name[name]) for name, image in images.items()]
        write_pictures(out / "pictures", panels, options.thresh)
    return names


def _panel(name: str, image: LabelledImage, result: ImageResult) -> Panel:
    found = result.matches
    # Pictures are JPEG files named after their images.
    return Panel(name.removesuffix(".jpg"), image.sample.image, found.boxes, found.scores, image.faces, image.ignored)


def _corners(boxes: NDArray[np.float32], size: Size) -> NDArray[np.float64]:
    centers, halves = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    return np.hstack([centers - halves, centers + halves]) * (size * 2)

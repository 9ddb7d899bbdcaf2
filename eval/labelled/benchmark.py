"""The evaluation of a labelled set, a .data file's valid list or COCO's annotations: AP, rate and curves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.coco import load_coco
from tinier_yolo.datasets.labels import Sample, load_data, load_listed
from tinier_yolo.datasets.paths import read_image_list
from tinier_yolo.detection.boxes import cxcywh_to_xyxy, iou
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import DataError, PathLike, UsageError
from tinier_yolo.eval.average_precision import PrecisionRecall
from tinier_yolo.eval.benchmarks import Request
from tinier_yolo.eval.contact_sheet import write_errors
from tinier_yolo.eval.error_analysis import Analysis, Judged, analyse
from tinier_yolo.eval.figure import FigureOptions, Panel, check_names, draw
from tinier_yolo.eval.heights import Heights, in_range, label
from tinier_yolo.eval.labelled.protocol import HEIGHTS, ImageResult, precision_recall, rate_above, roc_curve
from tinier_yolo.eval.matching import MIN_IOU, is_hit, match
from tinier_yolo.eval.plots import Line, plot_precision_recall, plot_roc, read_compared
from tinier_yolo.eval.report import Source, write_json, write_precision_recall
from tinier_yolo.eval.roc import Roc, write_discrete
from tinier_yolo.eval.run import Run, Subject, run_detector

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


@dataclass(frozen=True)
class HeightRow:
    """The faces of a range of heights.

    Attributes:
        heights: the range, in pixels at network size.
        faces: their number.
        ap: their AP; None where there is no face.
        rate: the share of them that is found at the operating point of the whole set; None where there is no face.
    """

    heights: Heights
    faces: int
    ap: float | None
    rate: float | None

    def summary(self) -> dict[str, Any]:
        """A row of ``summary.json``."""
        ap, rate = (None if value is None else round(value, 6) for value in (self.ap, self.rate))
        return {"height": label(self.heights), "faces": self.faces, "ap": ap, "rate": rate}


@dataclass(frozen=True, eq=False)
class LabelledResult:
    """The result of the benchmark.

    Attributes:
        source: where the detections come from.
        roc: the curve of the rate over false positives.
        precision_recall: the curve of precision over recall.
        by_height: both by the height of the faces.
        network_size: (width, height) at which heights are told.
        ignored: the number of boxes that count neither for nor against.
        figure: names of the figure's images.
        title: what was evaluated, for a person.
        errors: what kinds of errors there are, where that was asked for.
    """

    source: Source
    roc: Roc
    precision_recall: PrecisionRecall
    by_height: tuple[HeightRow, ...]
    network_size: Size
    ignored: int
    figure: tuple[str, ...] = ()
    title: str = "YOLO-labelled set"
    errors: Analysis | None = None

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        summary = {
            "benchmark": "YOLO-labelled set",
            "ap": round(self.precision_recall.average_precision, 6),
            **self.roc.summary(),
            "by_height": [row.summary() for row in self.by_height],
            "network_size": list(self.network_size),
            "ignored": self.ignored,
            **self.source.summary(),
        }
        if self.figure:
            summary["figure"] = list(self.figure)
        return summary

    def text(self) -> str:
        """AP, the rate at the operating point, and a table by height."""
        width, height = self.network_size
        lines = [
            f"AP {self.precision_recall.average_precision:.4f}",
            f"{self.title}, {self.source.name}: {self.roc.line()}",
            f"faces by height at {width}x{height} (pixels)   faces      AP    rate",
        ]
        for row in self.by_height:
            values = ["     -" if value is None else f"{value:.4f}" for value in (row.ap, row.rate)]
            lines.append(f"{label(row.heights):>38} {row.faces:>7}  {values[0]}  {values[1]}")
        if self.errors:
            lines.append(self.errors.text())
        return "\n".join(lines)


def load_set(data: PathLike) -> dict[str, Sample]:
    """The samples of a .data file's valid list, by the name of the image in the list.

    Raises:
        DataError: no valid list, more than one class, an image twice, or as :func:`load_listed`.
    """
    description = load_data(data)
    if description.valid is None:
        raise DataError("no list to evaluate", path=data, expected="valid = FILE")
    if len(description.class_names) != 1:
        raise DataError("not a set of faces alone", path=data, expected="classes = 1")
    listed = read_image_list(description.valid)
    samples = load_listed(listed, description.valid, 1)
    named = {PurePath(image.entry).as_posix(): sample for image, sample in zip(listed, samples, strict=True)}
    if len(named) < len(samples):
        raise DataError("an image twice in the list", path=description.valid)
    return named


def evaluate(request: Request) -> LabelledResult:
    """Evaluate a detector and write the results.

    Raises:
        TinierYoloError: bad input, or results that cannot be written.
    """
    data, samples = _load(request)
    chosen = request.choose()
    result = evaluate_detector(
        samples,
        chosen.subject,
        request.out,
        network_size=chosen.network_size,
        letter_box=chosen.letter_box,
        compare=request.compare,
        figure=request.figure,
        errors=request.errors,
    )
    return replace(result, title=data)


def _load(request: Request) -> tuple[str, dict[str, Sample]]:
    """The set that was named, and what it is called."""
    data, coco = request.one("data"), request.one("coco")
    if (data is None) == (coco is None):
        raise UsageError("which set?", expected="--data DATA, or --coco FILE with --images ROOT")
    if coco is None:
        return str(data), load_set(str(data))
    return coco, load_coco(coco, request.images())


def evaluate_detector(
    samples: Mapping[str, Sample],
    subject: Subject,
    out: PathLike,
    *,
    network_size: Size,
    letter_box: bool = True,
    compare: Sequence[tuple[str, Path]] = (),
    figure: FigureOptions | None = None,
    errors: bool = False,
) -> LabelledResult:
    """Run a detector over the set and write the results.

    Args:
        samples: as :func:`load_set` gives them.
        subject: the detector.
        out: the folder to write to.
        network_size: (width, height) at which heights of faces are told.
        letter_box: whether images keep their aspect ratio there.
        compare: names and ROC files of other curves for the plot.
        figure: what to draw, if anything.
        errors: whether to tell the kinds of errors.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    others = read_compared(compare)
    if figure:
        check_names(figure.names, samples)
    run = run_detector(subject, {name: sample.image for name, sample in samples.items()}, upright=True)
    images = {name: LabelledImage.of(samples[name], size) for name, size in run.sizes.items()}
    scales = {name: Letterbox.fit(i.size, network_size, letter_box).scale[1] for name, i in images.items()}
    found = [_result(name, image, run, scales[name]) for name, image in images.items()]
    result = score(samples, found, Source.of_run(subject, run), network_size)
    if errors:
        result = replace(result, errors=_errors(images, found, result.roc.threshold, network_size))
    _write_results(Path(out), result, others)
    if figure:
        result = replace(result, figure=_draw(Path(out), images, found, figure))
        write_json(Path(out) / "summary.json", result.summary())
    return result


def score(
    samples: Mapping[str, Sample], found: Sequence[ImageResult], source: Source, network_size: Size
) -> LabelledResult:
    """The result on a set.

    Args:
        samples: the set.
        found: what was found on its images that could be read.
        source: where the detections come from.
        network_size: (width, height) at which the heights in ``found`` are told.
    """
    roc = roc_curve(found, sum(len(sample.boxes) for sample in samples.values()), len(samples))
    return LabelledResult(
        source,
        roc,
        precision_recall(found, faces=roc.faces),
        tuple(_height_row(found, heights, roc.threshold) for heights in HEIGHTS),
        network_size,
        sum(len(sample.ignored) for sample in samples.values()),
    )


def _height_row(results: Sequence[ImageResult], heights: Heights, threshold: float | None) -> HeightRow:
    curve = precision_recall(results, heights)
    ap = curve.average_precision if curve.faces else None
    return HeightRow(heights, curve.faces, ap, rate_above(results, heights, threshold))


def _result(name: str, image: LabelledImage, run: Run, scale: float) -> ImageResult:
    found = run.detections[name]
    matches = match(found.boxes, found.scores, image.faces, image.ignored)
    return ImageResult(name, matches, (image.faces[:, 3] - image.faces[:, 1]) * scale, scale)


def _errors(
    images: Mapping[str, LabelledImage], results: Sequence[ImageResult], threshold: float | None, network_size: Size
) -> Analysis:
    least = np.inf if threshold is None else threshold
    return analyse((_judged(images[result.name], result, least) for result in results), threshold, network_size)


def _judged(image: LabelledImage, result: ImageResult, threshold: float) -> Judged:
    found = result.matches
    overlap = iou(found.boxes, image.faces)
    return Judged(
        result.name,
        image.sample.image,
        result.scale,
        image.faces,
        found.boxes,
        found.scores,
        overlap,
        is_hit(overlap),
        found.face,
        found.scores >= threshold,
        upright=True,
    )


def _write_results(out: Path, result: LabelledResult, others: Sequence[Line]) -> None:
    curve, roc, name = result.precision_recall, result.roc, result.source.name
    write_precision_recall(out / "pr.csv", curve)
    write_discrete(out / "DiscROC.txt", roc)
    title = f"{roc.images:,} images, {roc.faces:,} faces, IoU {MIN_IOU:g}"
    line = Line(f"{name}: AP {curve.average_precision:.3f}", curve.recall, curve.precision)
    plot_precision_recall(out / "pr.png", [line], title=title)
    lines = [Line.of_roc(name, roc), *others]
    plot_roc(out / "roc.png", lines, budget=roc.budget, limit=max(roc.images, 10), title=title)
    write_json(out / "summary.json", result.summary())
    if result.errors:
        write_errors(out, result.errors)


def _draw(
    out: Path, images: Mapping[str, LabelledImage], results: Sequence[ImageResult], options: FigureOptions
) -> tuple[str, ...]:
    by_name = {result.name: result for result in results}

    def candidates() -> list[str]:
        heights = {name: image.faces[:, 3] - image.faces[:, 1] for name, image in images.items()}
        return [name for name, height in heights.items() if in_range(height, options.heights).any()]

    return draw(out, options, images, candidates, lambda name: _panel(name, images[name], by_name[name]))


def _panel(name: str, image: LabelledImage, result: ImageResult) -> Panel:
    found = result.matches
    # Pictures are JPEG files named after their images.
    return Panel(
        name.removesuffix(".jpg"),
        image.sample.image,
        found.boxes,
        found.scores,
        image.faces,
        image.ignored,
        upright=True,
    )


def _corners(boxes: NDArray[np.float32], size: Size) -> NDArray[np.float64]:
    return cxcywh_to_xyxy(boxes.astype(np.float64)) * (size * 2)

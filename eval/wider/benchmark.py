"""The WIDER FACE benchmark from files to files: ground truth, detections or images in; AP, curves and pictures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import progress
from tinier_yolo.datasets.records import index_records
from tinier_yolo.datasets.wider import WiderImage, load_wider_split, load_wider_subset
from tinier_yolo.detection.boxes import xywh_to_xyxy
from tinier_yolo.detection.formats.wider import read_wider, write_wider
from tinier_yolo.errors import DetectionsError, PathLike, UsageError
from tinier_yolo.eval.average_precision import PrecisionRecall
from tinier_yolo.eval.benchmarks import Request
from tinier_yolo.eval.figure import FigureOptions, Panel, draw, figure_names
from tinier_yolo.eval.plots import Line, plot_precision_recall
from tinier_yolo.eval.report import Source, write_json, write_precision_recall
from tinier_yolo.eval.run import Subject, run_detector
from tinier_yolo.eval.wider.attributes import Condition, parse_attribute, wider_faces
from tinier_yolo.eval.wider.protocol import SUBSETS, curves

Rows = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class WiderSet:
    """The validation set.

    Attributes:
        images: by name, ``EVENT/NAME``.
        subsets: by subset and image name, the indices of the annotations that count.
    """

    images: Mapping[str, WiderImage]
    subsets: Mapping[str, Mapping[str, NDArray[np.intp]]]

    @classmethod
    def load(cls, folder: PathLike) -> WiderSet:
        """Read the official ``ground_truth`` folder: ``wider_face_val.mat`` and one .mat a subset.

        Raises:
            DataError: a file is missing or damaged.
        """
        images = {image.name: image for image in load_wider_split(Path(folder) / "wider_face_val.mat")}
        return cls(images, {name: load_wider_subset(Path(folder) / f"wider_{name}_val.mat") for name in SUBSETS})

    def files(self, root: PathLike) -> dict[str, Path]:
        """The image files under ``root`` (``WIDER_val/images``), by name."""
        return {name: Path(root) / f"{name}.jpg" for name in self.images}


@dataclass(frozen=True, eq=False)
class Drawing:
    """What to draw.

    Attributes:
        options: as for every benchmark.
        root: the images.
        conditions: what attributes a face shall have in the images that are chosen.
    """

    options: FigureOptions
    root: PathLike
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, eq=False)
class WiderResult:
    """The result of the benchmark.

    Attributes:
        source: where the detections come from.
        curves: by subset, precision over recall.
        images: the number of images.
        detections: their number.
        figure: names of the figure's images.
    """

    source: Source
    curves: Mapping[str, PrecisionRecall]
    images: int
    detections: int
    figure: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``: AP and number of faces of each subset, what was evaluated."""
        summary: dict[str, Any] = {
            "benchmark": "WIDER FACE validation",
            **{name: round(curve.average_precision, 6) for name, curve in self.curves.items()},
            "images": self.images,
            "faces": {name: curve.faces for name, curve in self.curves.items()},
            "detections": self.detections,
            **self.source.summary(),
        }
        if self.figure:
            summary["figure"] = list(self.figure)
        return summary

    def text(self) -> str:
        """The AP of each subset."""
        aps = ", ".join(f"{name} {curve.average_precision:.6f}" for name, curve in self.curves.items())
        return f"WIDER FACE validation, {self.source.name}: AP {aps}"


def load_detections(folder: PathLike, wider: WiderSet) -> dict[str, NDArray[np.float64]]:
    """Read a folder of ``EVENT/NAME.txt``.

    Raises:
        DataError: as :func:`read_wider`; or a file of an image that the ground truth does not know.
    """
    records = index_records(read_wider(folder))
    for name, record in records.items():
        if name not in wider.images:
            raise DetectionsError("detections for an unknown image", path=record.path, expected="EVENT/NAME.txt")
    return {name: record.rows for name, record in records.items()}


def evaluate(request: Request) -> WiderResult:
    """Evaluate a detector, or detections from files, and write the results.

    Raises:
        TinierYoloError: options that do not go together, bad input, or results that cannot be written.
    """
    files, root, drawing = request.one("detections"), request.one("images"), None
    conditions = tuple(parse_attribute(text) for text in request.many("attribute"))
    if files is None:
        root = request.images()
    if request.figure:
        if root is None:
            raise UsageError("pictures need the images", expected="--images ROOT")
        drawing = Drawing(request.figure, root, conditions)
    if files is None:
        subject = request.choose().subject
        wider = WiderSet.load(request.needed("ground_truth"))
        return evaluate_detector(wider, subject, request.images(), request.out, drawing=drawing)
    wider = WiderSet.load(request.needed("ground_truth"))
    return evaluate_files(wider, files, request.out, name=request.name or Path(files).name, drawing=drawing)


def evaluate_files(
    wider: WiderSet, detections: PathLike, out: PathLike, *, name: str, drawing: Drawing | None = None
) -> WiderResult:
    """Score detections from files and write the results.

    Args:
        wider: the set.
        detections: a folder of ``EVENT/NAME.txt``; an image without a file has no detections.
        out: the folder to write to.
        name: for the legend and the summary.
        drawing: what to draw, if anything.

    Raises:
        TinierYoloError: bad input, or results that cannot be written.
    """
    rows = load_detections(detections, wider)
    missing = tuple(image for image in wider.images if image not in rows)
    return _write_results(Path(out), wider, rows, Source(name, missing), drawing)


def evaluate_detector(
    wider: WiderSet, subject: Subject, root: PathLike, out: PathLike, *, drawing: Drawing | None = None
) -> WiderResult:
    """Run a detector over the images, write ``detections/EVENT/NAME.txt``, and score what these files say.

    Faces of images that cannot be read count as missed; the summary names these images.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    drawing = drawing and _chosen(wider, drawing)
    run = run_detector(subject, wider.files(root))
    folder = Path(out) / "detections"
    for name, found in progress(run.detections.items(), len(run.detections), "writing"):
        write_wider(folder, name, found)
    # Of this run alone: the folder may hold another's.
    written = {record.name: record.rows for record in read_wider(folder) if record.name in run.detections}
    return _write_results(Path(out), wider, written, Source.of_run(subject, run), drawing)


def _write_results(out: Path, wider: WiderSet, rows: Rows, source: Source, drawing: Drawing | None) -> WiderResult:
    by_subset = curves(wider.images.values(), wider.subsets, rows)
    result = WiderResult(source, by_subset, len(wider.images), sum(map(len, rows.values())))
    for name, curve in by_subset.items():
        write_precision_recall(out / f"pr_{name}.csv", curve)
    lines = [Line(f"{name}: AP {c.average_precision:.3f}", c.recall, c.precision) for name, c in by_subset.items()]
    plot_precision_recall(out / "pr.png", lines, title=f"WIDER FACE validation: {source.name}")
    write_json(out / "summary.json", result.summary())
    if drawing:
        result = replace(result, figure=_draw(out, wider, rows, drawing))
        write_json(out / "summary.json", result.summary())
    return result


def _draw(out: Path, wider: WiderSet, rows: Rows, drawing: Drawing) -> tuple[str, ...]:
    files = wider.files(drawing.root)

    def panel(name: str) -> Panel:
        return _panel(wider.images[name], files[name], rows)

    return draw(out, drawing.options, wider.images, lambda: _candidates(wider, drawing), panel)


def _candidates(wider: WiderSet, drawing: Drawing) -> list[str]:
    files, heights = wider.files(drawing.root), drawing.options.heights
    fits = (name for name, i in wider.images.items() if wider_faces(i, drawing.conditions, heights).any())
    return [name for name in fits if files[name].is_file()]


def _chosen(wider: WiderSet, drawing: Drawing) -> Drawing:
    """The same with the figure's images by name: chosen before the run, which then cannot end for want of them."""
    names = figure_names(drawing.options, wider.images, lambda: _candidates(wider, drawing))
    return replace(drawing, options=replace(drawing.options, names=tuple(names)))


def _panel(image: WiderImage, path: Path, rows: Rows) -> Panel:
    found = rows.get(image.name, np.empty((0, 5)))
    faces = xywh_to_xyxy(image.boxes)
    return Panel(image.name, path, xywh_to_xyxy(found[:, :4]), found[:, 4], faces[~image.invalid], faces[image.invalid])

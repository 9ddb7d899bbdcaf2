"""The WIDER FACE benchmark from files to files: ground truth, detections or images in; AP, curves and pictures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.average_precision import PrecisionRecall
from eval.figure import FigureOptions, Panel, draw_figure, write_pictures
from eval.plots import Line, plot_precision_recall
from eval.report import write_json, write_precision_recall
from eval.run import Subject, run_detector
from eval.selection import check_names, choose, wider_faces
from eval.wider.protocol import SUBSETS, evaluate
from tinier_yolo.bulk.local import progress
from tinier_yolo.datasets.records import index_records
from tinier_yolo.datasets.wider import WiderImage, load_wider_split, load_wider_subset
from tinier_yolo.detection.formats.wider import read_wider, write_wider
from tinier_yolo.errors import DetectionsError, PathLike, UsageError

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


def load_detections(folder: PathLike, wider: WiderSet) -> dict[str, NDArray[np.float64]]:
    """Read a folder of ``EVENT/NAME.txt``.

    Raises:
        DetectionsError: as :func:`read_wider`; or a file of an image that the ground truth does not know.
    """
    records = index_records(read_wider(folder), DetectionsError)
    for name, record in records.items():
        if name not in wider.images:
            raise DetectionsError("detections for an unknown image", path=record.path, expected="EVENT/NAME.txt")
    return {name: record.rows for name, record in records.items()}


def evaluate_files(
    wider: WiderSet,
    detections: PathLike,
    out: PathLike,
    *,
    name: str,
    root: PathLike | None = None,
    figure: FigureOptions | None = None,
) -> dict[str, Any]:
    """Score detections from files and write the results.

    Args:
        wider: the set.
        detections: a folder of ``EVENT/NAME.txt``; an image without a file has no detections.
        out: the folder to write to.
        name: for the legend and the summary.
        root: the images; needed for pictures only.
        figure: what to draw, if anything.

    Returns:
        The summary, as written to ``summary.json``.
    """
    rows = load_detections(detections, wider)
    details = {"name": name, "missing_images": [image for image in wider.images if image not in rows]}
    return _write_results(Path(out), wider, rows, details, root, figure)


def evaluate_detector(
    wider: WiderSet, subject: Subject, root: PathLike, out: PathLike, *, figure: FigureOptions | None = None
) -> dict[str, Any]:
    """Run a detector over the images, write ``detections/EVENT/NAME.txt``, and score what these files say.

    Faces of images that cannot be read count as missed; the summary names these images.

    Returns:
        The summary, as written to ``summary.json``.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    run = run_detector(subject, wider.files(root))
    folder = Path(out) / "detections"
    for name, found in progress(run.detections.items(), len(run.detections), "writing"):
        write_wider(folder, name, found)
    written = load_detections(folder, wider)
    details = {"name": subject.name, **subject.details, "ms_per_image": run.ms_per_image}
    details["missing_images"] = list(run.problems)
    return _write_results(Path(out), wider, written, details, root, figure)


def _write_results(
    out: Path,
    wider: WiderSet,
    rows: Rows,
    details: Mapping[str, Any],
    root: PathLike | None,
    figure: FigureOptions | None,
) -> dict[str, Any]:
    drawn = _draw(out, wider, rows, root, figure) if figure else []
    curves = evaluate(wider.images.values(), wider.subsets, rows)
    for name, curve in curves.items():
        write_precision_recall(out / f"pr_{name}.csv", curve)
    lines = [Line(f"{name}: AP {c.average_precision:.3f}", c.recall, c.precision) for name, c in curves.items()]
    plot_precision_recall(out / "pr.png", lines, title=f"WIDER FACE validation: {details['name']}")
    summary = {**summarise(wider, curves), "detections": sum(map(len, rows.values())), **details}
    if drawn:
        summary["figure"] = drawn
    write_json(out / "summary.json", summary)
    return summary


def summarise(wider: WiderSet, curves: Mapping[str, PrecisionRecall]) -> dict[str, Any]:
    """The summary: AP and number of faces of each subset."""
    return {
        "benchmark": "WIDER FACE validation",
        **{name: round(curve.average_precision, 6) for name, curve in curves.items()},
        "images": len(wider.images),
        "faces": {name: curve.faces for name, curve in curves.items()},
    }


def _draw(out: Path, wider: WiderSet, rows: Rows, root: PathLike | None, options: FigureOptions) -> list[str]:
    # Returns the names of the figure's images.
    if root is None:
        raise UsageError("pictures need the images", expected="--images ROOT")
    files = wider.files(root)
    names: list[str] = []
    if options.names:
        names = check_names(options.names, files)
    elif options.count:
        faces = {name: wider_faces(image, options.attributes, options.heights) for name, image in wider.images.items()}
        names = choose([name for name, fits in faces.items() if fits.any() and files[name].is_file()], options.count)
    if names:
        panels = [_panel(wider.images[name], files[name], rows) for name in names]
        draw_figure(out / "figure.png", panels, options.thresh)
    if options.pictures:
        panels = [_panel(image, files[name], rows) for name, image in wider.images.items()]
        write_pictures(out / "pictures", panels, options.thresh)
    return names


def _panel(image: WiderImage, path: Path, rows: Rows) -> Panel:
    found = rows.get(image.name, np.empty((0, 5)))
    faces = _corners(image.boxes)
    return Panel(image.name, path, _corners(found), found[:, 4], faces[~image.invalid], faces[image.invalid])


def _corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]])

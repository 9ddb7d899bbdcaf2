"""The qualitative figure: photographs with what was found, what was missed and what was wrongly taken for a face."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import cores, in_threads
from tinier_yolo.defaults import THRESH
from tinier_yolo.errors import MediaError, PathLike, UsageError
from tinier_yolo.eval import matching
from tinier_yolo.eval.heights import ALL_HEIGHTS, Heights
from tinier_yolo.files import atomic_write
from tinier_yolo.media.images import read_image, write_image
from tinier_yolo.output_folder import OutputFolder

#: Okabe and Ito's colours, which the colour-blind can tell apart. RGB.
FOUND, FALSE_ALARM, MISSED = (0, 200, 140), (225, 85, 0), (240, 228, 66)
ANNOTATION, IGNORED = (255, 255, 255), (170, 170, 170)
_LEGEND = {
    "found": FOUND,
    "annotation of a found face": ANNOTATION,
    "missed": MISSED,
    "false alarm": FALSE_ALARM,
    "not counted": IGNORED,
}
# Pixels: the figure's width, the tallest row, the space between pictures, the strip for the legend, the lines.
_WIDTH, _MAX_ROW, _GAP, _STRIP, _LINE = 2400, 900, 12, 90, 4
_DPI = 200


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture of the figure.

    Attributes:
        name: the image.
        path: its file.
        boxes: float64 (n, 4), xyxy, the detections.
        scores: float64 (n,).
        faces: float64 (m, 4), xyxy, the annotated faces.
        ignored: float64 (k, 4), xyxy, annotated boxes that do not count.
        upright: whether the boxes lie on the image turned as its EXIF orientation says; see ``read_image``.
    """

    name: str
    path: Path
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    faces: NDArray[np.float64]
    ignored: NDArray[np.float64]
    upright: bool = False


@dataclass(frozen=True)
class FigureOptions:
    """What to draw.

    Attributes:
        count: pictures in the figure; 0 draws none.
        names: images for it; empty: chosen by their faces.
        heights: [low, high) in pixels: choose images with a face of such a height.
        thresh: detections of at least this score are drawn.
        pictures: write one picture an image too, of the whole set.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    heights: Heights = ALL_HEIGHTS
    thresh: float = THRESH
    pictures: bool = False


def draw(
    out: Path,
    options: FigureOptions,
    known: Collection[str],
    candidates: Callable[[], Sequence[str]],
    panel: Callable[[str], Panel],
) -> tuple[str, ...]:
    """Write ``figure.png`` and ``pictures/``, whichever is asked for.

    Args:
        out: the folder to write to.
        options: what to draw.
        known: names of all images of the set.
        candidates: those with a face of the wanted kind, from which ``options.count`` are chosen.
        panel: the panel of an image.

    Returns:
        Names of the figure's images.

    Raises:
        UsageError: an image that the set has not, or none with a face of that kind.
        MediaError: an image of the figure cannot be read, or a file cannot be written.
    """
    names = figure_names(options, known, candidates)
    if names:
        draw_figure(out / "figure.png", [panel(name) for name in names], options.thresh)
    if options.pictures:
        write_pictures(out / "pictures", [panel(name) for name in known], options.thresh)
    return tuple(names)


def figure_names(options: FigureOptions, known: Collection[str], candidates: Callable[[], Sequence[str]]) -> list[str]:
    """The names of the figure's images; arguments as of :func:`draw`.

    Raises:
        UsageError: an image that the set has not, or none with a face of that kind.
    """
    if options.names:
        return check_names(options.names, known)
    return choose(candidates(), options.count) if options.count else []


def choose(candidates: Sequence[str], count: int) -> list[str]:
    """``count`` of the candidates, spread evenly over them; all if there are fewer.

    Raises:
        UsageError: there are none.
    """
    if not candidates:
        raise UsageError("no image has a face of that kind")
    picked = np.unique(np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int))
    return [candidates[index] for index in picked]


def check_names(names: Sequence[str], known: Collection[str]) -> list[str]:
    """The names as given.

    Raises:
        UsageError: one of them is no image of the set.
    """
    for name in names:
        if name not in known:
            raise UsageError("no such image in the set", found=name[:80], expected=f"for example {next(iter(known))}")
    return list(names)


def annotate(
    panel: Panel, rgb: NDArray[np.uint8], thresh: float, scale: float = 1.0, thickness: int | None = None
) -> NDArray[np.uint8]:
    """The picture of a panel with its boxes drawn.

    Args:
        panel: what to draw.
        rgb: its image, uint8 (height, width, 3).
        thresh: detections of at least this score are drawn.
        scale: size of the result by that of the image.
        thickness: of the lines of what was found or missed, in pixels; by the size of the picture if None.
    """
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(rgb, size, interpolation=smoothing).astype(np.uint8, copy=False)
    matches = matching.match(panel.boxes, panel.scores, panel.faces, panel.ignored).above(thresh)
    seen = matches.face[matches.face >= 0]
    thick = max(2, round(max(size) / 250)) if thickness is None else thickness
    thin = (thick + 1) // 2
    layers = (
        (panel.ignored, IGNORED, thin),
        (panel.faces[seen], ANNOTATION, thin),
        (np.delete(panel.faces, seen, axis=0), MISSED, thick),
        (matches.boxes[matches.face == matching.FALSE_ALARM], FALSE_ALARM, thick),
        (matches.boxes[matches.face >= 0], FOUND, thick),
    )
    for boxes, color, width in layers:
        for box in np.rint(boxes * scale).astype(int).tolist():
            rectangle(picture, box, color, width)
    return picture


def draw_figure(path: PathLike, panels: Sequence[Panel], thresh: float) -> None:
    """Lay the panels out in rows of one width, with a legend, and write a PNG.

    Raises:
        MediaError: an image cannot be read, or the figure cannot be written.
    """
    images = [read_image(panel.path, upright=panel.upright) for panel in panels]
    rows = rows_of([image.shape[1] / image.shape[0] for image in images])
    strips = []
    for row in rows:
        height = _row_height([images[index] for index in row])
        pictures = [annotate(panels[i], images[i], thresh, height / images[i].shape[0], _LINE) for i in row]
        strips.append(_side_by_side(pictures))
    canvas = np.vstack([np.vstack([strip, np.full((_GAP, _WIDTH, 3), 255, np.uint8)]) for strip in strips])
    _write_with_legend(path, canvas)


def write_pictures(folder: PathLike, panels: Sequence[Panel], thresh: float) -> None:
    """Write one JPEG a panel, ``folder/NAME.jpg``, at the image's own size; images that cannot be read are left out.

    Names are made to lie below the folder, and to differ.

    Raises:
        MediaError: a picture cannot be written.
    """
    output = OutputFolder(folder, [panel.path for panel in panels])
    files = [output.path(output.claim(f"{panel.name}.jpg", ".jpg"), ".jpg") for panel in panels]

    def write(pair: tuple[Panel, Path]) -> None:
        panel, path = pair
        try:
            rgb = read_image(panel.path, upright=panel.upright)
        except MediaError:
            return  # told already, by the run that looked for faces in it
        write_image(path, annotate(panel, rgb, thresh))

    in_threads(write, list(zip(panels, files, strict=True)), cores(), "pictures")


def rows_of(aspects: Sequence[float]) -> list[list[int]]:
    """Split pictures, in order, into rows of about equal width; a figure of about 3:2 comes out.

    Args:
        aspects: width by height of each picture.
    """
    total = sum(aspects)
    count = min(len(aspects), max(1, round(math.sqrt(total / 1.5))))
    rows: list[list[int]] = [[] for _ in range(count)]
    before = 0.0
    for index, aspect in enumerate(aspects):
        rows[min(count - 1, int((before + aspect / 2) * count / total))].append(index)
        before += aspect
    return [row for row in rows if row]


def _row_height(images: Sequence[NDArray[np.uint8]]) -> int:
    aspects = sum(image.shape[1] / image.shape[0] for image in images)
    return min(_MAX_ROW, int((_WIDTH - _GAP * (len(images) - 1)) / aspects))


def _side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    strip = np.full((max(picture.shape[0] for picture in pictures), _WIDTH, 3), 255, np.uint8)
    used = sum(picture.shape[1] for picture in pictures) + _GAP * (len(pictures) - 1)
    left = max(0, (_WIDTH - used) // 2)
    for picture in pictures:
        part = picture[:, : _WIDTH - left]
        strip[: part.shape[0], left : left + part.shape[1]] = part
        left += picture.shape[1] + _GAP
    return strip


def rectangle(picture: NDArray[np.uint8], box: Sequence[int], color: tuple[int, int, int], thickness: int) -> None:
    """Draw a box (left, top, right, bottom), the last two exclusive, into a picture, in a colour of RGB.

    A dark line underneath keeps every colour readable on a photograph.
    """
    left, top, right, bottom = box
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), (0, 0, 0), thickness + 2)
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), color, thickness)


def _write_with_legend(path: PathLike, canvas: NDArray[np.uint8]) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    height = canvas.shape[0] + _STRIP
    figure = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI)
    figure.figimage(canvas, 0, _STRIP, origin="upper")
    handles = [
        Patch(facecolor=np.divide(color, 255).tolist(), edgecolor="black", label=label)
        for label, color in _LEGEND.items()
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=12)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")

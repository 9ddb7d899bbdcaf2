"""What training shows the network, before it starts: the sizes of faces as a table, views and effects as a sheet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.files import atomic_write
from tinier_yolo.training.augment import Augmentation, Image, apply_effects, draw_effects
from tinier_yolo.training.dataset import Example, TrainingSet, ValidationSet
from tinier_yolo.training.feed import Feed
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes

PERCENTILES = (10, 25, 50, 75, 90)
#: A face of this height or more counts as large; half of FDDB's faces at 416x416 are higher than 98 pixels.
LARGE = 80
#: Each effect of :class:`Augmentation` that has a share, and what the sheet calls it.
EFFECTS = ("grey", "gamma", "defocus", "motion", "low_resolution", "noise", "jpeg", "patches")
_TILE = 160
_COLUMNS = 8
_GREEN, _RED, _BLACK = (0, 255, 0), (255, 64, 64), (0, 0, 0)


@dataclass(frozen=True)
class FaceHeights:
    """Heights of faces in pixels of the input.

    Attributes:
        what: whose.
        faces: how many faces.
        percentiles: the heights at :data:`PERCENTILES`; NaN without faces.
        large: the share of faces higher than :data:`LARGE`.
    """

    what: str
    faces: int
    percentiles: tuple[float, ...]
    large: float

    @classmethod
    def of(cls, what: str, heights: Iterable[NDArray[np.floating]]) -> FaceHeights:
        """From arrays of heights in pixels, one an image."""
        every = np.concatenate([np.zeros(0), *heights])
        if not len(every):
            return cls(what, 0, (float("nan"),) * len(PERCENTILES), float("nan"))
        percentiles = tuple(float(value) for value in np.percentile(every, PERCENTILES))
        return cls(what, len(every), percentiles, float((every > LARGE).mean()))


def heights_of_views(views: TrainingSet, count: int) -> FaceHeights:
    """Of the faces in the first ``count`` views of a training set, at its middle size."""
    size = sorted(views.sizes)[len(views.sizes) // 2]
    examples = (views.example(position, size) for position in range(count))
    what = f"views of training at {size[0]}x{size[1]}"
    return FaceHeights.of(what, (example.truth.boxes[:, 3] * size[1] for example in examples))


def heights_of_images(images: ValidationSet, what: str, count: int) -> FaceHeights:
    """Of the faces in up to ``count`` images as detection sees them, spread over the set."""
    chosen = range(0, len(images.samples), max(1, len(images.samples) // count))
    heights = (images.example(index).truth.boxes[:, 3] * images.size[1] for index in chosen)
    return FaceHeights.of(f"{what} at {images.size[0]}x{images.size[1]}", heights)


def preview(network: Network, options: TrainingOptions) -> Path:
    """Print the table of face heights to stderr and write the sheet; its path.

    Raises:
        TinierYoloError: bad data, or a file that cannot be written.
    """
    feed = Feed.load(network, options, Processes())
    print(heights_table(compare_heights(feed, 1500)), file=sys.stderr, flush=True)
    path = options.out / f"{Path(network.path).stem}_preview.png"
    options.out.mkdir(parents=True, exist_ok=True)
    write_sheet(feed.training, path)
    return path


def compare_heights(feed: Feed, count: int) -> list[FaceHeights]:
    """What training shows beside what detection will see: the validation images, or the training images as they are."""
    whole, what = feed.validation, "validation images"
    if not whole.samples:
        whole, what = replace(whole, samples=feed.training.samples), "training images"
    return [heights_of_views(feed.training, count), heights_of_images(whole, what, count)]


def heights_table(rows: Sequence[FaceHeights]) -> str:
    """The rows as lines of text under a heading."""
    width = max(len(row.what) for row in rows)
    head = " ".join(f"{f'{percent} %':>6}" for percent in PERCENTILES)
    lines = [f"{'face heights in pixels':{width}}  {head}  over {LARGE} px   faces"]
    for row in rows:
        numbers = " ".join(f"{value:6.0f}" for value in row.percentiles)
        lines.append(f"{row.what:{width}}  {numbers}  {row.large:10.0%} {row.faces:7}")
    return "\n".join(lines)


def write_sheet(views: TrainingSet, path: Path, count: int = 40) -> None:
    """Write a PNG: a row for each effect, alone and at several strengths, then ``count`` views as training draws them.

    Green boxes are to be found, red ones are ignored.

    Raises:
        DataError: the file cannot be written, or an image cannot be decoded.
    """
    size = sorted(views.sizes)[len(views.sizes) // 2]
    rows = [_strip(name, _effect_examples(views, name, size)) for name in EFFECTS]
    examples = [views.example(position, size) for position in range(count)]
    rows += [
        _strip("views" if first == 0 else "", examples[first : first + _COLUMNS]) for first in range(0, count, _COLUMNS)
    ]
    _, data = cv2.imencode(".png", np.vstack(rows)[..., ::-1])
    with atomic_write(path) as file:
        file.write(data.tobytes())


def _effect_examples(views: TrainingSet, name: str, size: tuple[int, int]) -> list[Example]:
    """One image, plain, then changed by one effect alone, again and again."""
    alone = Augmentation(0, 1, 1, *(0.0,) * len(EFFECTS))
    plain_views = replace(views, views=replace(views.views, mosaic=0.0), augmentation=alone)
    with_faces = (position for position in range(200) if len(plain_views.example(position, size).truth.boxes))
    plain = plain_views.example(next(with_faces, 0), size)
    changed = replace(alone, **{name: 1.0})
    view = plain.as_view()
    effects = (draw_effects(view, changed, np.random.default_rng(seed)) for seed in range(_COLUMNS - 1))
    return [plain, *(Example(apply_effects(plain.image, effect), plain.truth) for effect in effects)]


def _strip(title: str, examples: Sequence[Example]) -> Image:
    """Up to eight examples side by side with a heading above."""
    strip = np.full((_TILE + 22, _COLUMNS * _TILE, 3), 255, np.uint8)
    cv2.putText(strip, title.replace("_", " "), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _BLACK, 1, cv2.LINE_AA)
    for index, example in enumerate(examples):
        strip[22:, index * _TILE : (index + 1) * _TILE] = _tile(example)
    return strip


def _tile(example: Example) -> Image:
    tile = cv2.resize(example.image, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    for boxes, colour in ((example.truth.boxes, _GREEN), (example.truth.ignored, _RED)):
        for cx, cy, width, height in boxes * _TILE:
            low, high = (round(cx - width / 2), round(cy - height / 2)), (round(cx + width / 2), round(cy + height / 2))
            cv2.rectangle(tile, low, high, colour, 1)
    return np.asarray(tile, np.uint8)

"""Detection in tiles: small faces of a large picture, which vanish when the whole is shrunk to the network's input.

The picture goes through the detector as a whole, for the large faces, and again tile by tile. A box that ends at the
inner edge of a tile is a piece of a face: the tile beside it, which overlaps, has the whole of it if it is smaller than
the overlap, and the whole picture if it is not. What is left of all passes is merged by non-maximum suppression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.boxes import nms as suppress
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.detector import Detector, Prepared, as_rgb
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import UsageError

#: Pixels between a box and an inner edge up to which it is taken to be cut there.
_EDGE = 2.0


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut.

    Attributes:
        width: of a tile in pixels.
        height: of a tile in pixels.
        overlap: of neighbours in pixels, at least; faces up to this size are whole in one tile.
    """

    width: int
    height: int
    overlap: int

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 32:
            raise UsageError("too small a tile", expected="at least 32x32", found=f"{self.width}x{self.height}")
        if not 0 <= self.overlap <= min(self.width, self.height) // 2:
            raise UsageError("bad overlap of tiles", expected="at most half a tile", found=self.overlap)

    def cut(self, width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
        """The tiles (x1, y1, x2, y2) of a picture, row by row; none where it is no larger than one."""
        if width <= self.width and height <= self.height:
            return
        for top in _starts(height, self.height, self.overlap):
            for left in _starts(width, self.width, self.overlap):
                yield left, top, min(left + self.width, width), min(top + self.height, height)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    # Evenly spread, so that the last one is as large as the others.
    steps = max(0, -(-(length - tile) // (tile - overlap)))
    return [round(number * (length - tile) / steps) for number in range(steps + 1)] if steps else [0]


@dataclass(frozen=True, eq=False)
class PreparedTiles:
    """What :meth:`TiledDetector.prepare` makes: the whole picture letterboxed; tiles are cut when they are due."""

    whole: Prepared
    rgb: NDArray[np.uint8]

    @property
    def letterbox(self) -> Letterbox:
        """Where the whole picture lies on the input."""
        return self.whole.letterbox


class TiledDetector:
    """A detector that looks at the whole picture and at its tiles.

    Args:
        detector: runs on the whole and on each tile.
        tiling: how pictures are cut.
    """

    def __init__(self, detector: Detector, tiling: Tiling) -> None:
        self._detector, self._tiling = detector, tiling
        self.class_names, self.size, self.network = detector.class_names, detector.size, detector.network

    def prepare(self, rgb: NDArray[np.uint8]) -> PreparedTiles:
        """As :meth:`Detector.prepare`."""
        return PreparedTiles(self._detector.prepare(rgb), as_rgb(rgb))

    def detect(self, rgb: NDArray[np.uint8] | PreparedTiles, thresh: float = THRESH, nms: float = NMS) -> Detections:
        """As :meth:`Detector.detect`."""
        whole: NDArray[np.uint8] | Prepared
        whole, image = (rgb.whole, rgb.rgb) if isinstance(rgb, PreparedTiles) else (rgb, as_rgb(rgb))
        found = [self._detector.detect(whole, thresh, nms)]
        height, width = image.shape[:2]
        for tile in self._tiling.cut(width, height):
            left, top, right, bottom = tile
            part = self._detector.detect(image[top:bottom, left:right], thresh, nms)
            found.append(_placed(part, tile, (width, height)))
        return found[0] if len(found) == 1 else _merged(found, nms)


def load(tiles: tuple[int, int, int] | None, *arguments: Any) -> Detector | TiledDetector:
    """A detector from a file: of the whole picture, or where tiles are given of them too.

    Args:
        tiles: width, height and overlap, or None.
        *arguments: as of :meth:`Detector.load`.

    Raises:
        TinierYoloError: bad tiles, and as :meth:`Detector.load`.
    """
    if tiles is None:
        return Detector.load(*arguments)
    tiling = Tiling(*tiles)
    return TiledDetector(Detector.load(*arguments), tiling)


def _placed(found: Detections, tile: tuple[int, int, int, int], size: tuple[int, int]) -> Detections:
    """The detections of a tile in the picture of (width, height), without those that are cut at an inner edge."""
    boxes = found.boxes + np.array(tile[:2] * 2, np.float32)
    near = np.abs(boxes - np.array(tile, np.float32)) < _EDGE
    inner = np.array([tile[0] > 0, tile[1] > 0, tile[2] < size[0], tile[3] < size[1]])
    whole = ~(near & inner).any(axis=1)
    return Detections(boxes[whole], found.scores[whole], found.class_ids[whole])


def _merged(found: list[Detections], threshold: float) -> Detections:
    boxes = np.concatenate([part.boxes for part in found])
    scores = np.concatenate([part.scores for part in found])
    class_ids = np.concatenate([part.class_ids for part in found])
    kept = suppress(boxes, scores, class_ids, threshold)
    return Detections(boxes[kept], scores[kept], class_ids[kept])

"""Make WIDER FACE a Darknet data set: label files, ignored faces and a list, beside its images.

    python scripts/prepare_wider.py WIDER_train/images wider_face_split/wider_face_train_bbx_gt.txt
    python scripts/prepare_wider.py WIDER_val/images wider_face_split/wider_face_val.mat

``WIDER_train/images/EVENT/NAME.jpg`` gets ``WIDER_train/labels/EVENT/NAME.txt``, and where the annotators marked faces
invalid ``WIDER_train/ignore/EVENT/NAME.txt``: they carry no loss in training. ``WIDER_train/list.txt`` names the images
for the .data file (``train = WIDER_train/list.txt``).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinier_yolo.datasets.labels import format_labels
from tinier_yolo.datasets.paths import sibling_path
from tinier_yolo.datasets.wider import WiderImage, load_wider_split, load_wider_text
from tinier_yolo.detection.boxes import xywh_to_xyxy, xyxy_to_cxcywh
from tinier_yolo.errors import DataError, TinierYoloError
from tinier_yolo.files import atomic_write
from tinier_yolo.media.images import read_image


def prepare(root: Path, annotations: Path) -> tuple[int, int, int]:
    """Write the files; returns how many images, faces and ignored faces.

    Raises:
        TinierYoloError: annotations or an image that cannot be read, or files that cannot be written.
    """
    if root.name != "images":
        raise DataError("not WIDER FACE's folder of images", path=root, expected="a folder named images")
    load = load_wider_split if annotations.suffix == ".mat" else load_wider_text
    images = load(annotations)
    faces = ignored = 0
    for image in tqdm(images, unit="image", disable=None):
        sample = _write(image, root / f"{image.name}.jpg")
        faces, ignored = faces + sample[0], ignored + sample[1]
    with atomic_write(root.parent / "list.txt", "w") as file:
        file.writelines(f"images/{image.name}.jpg\n" for image in images)
    return len(images), faces, ignored


def _write(image: WiderImage, path: Path) -> tuple[int, int]:
    stored, upright = read_image(path, upright=False), read_image(path)
    height, width = stored.shape[:2]
    # WIDER FACE annotates the stored pixels, label files are of the picture as it is seen.
    faces, ignored = (turn(boxes, stored, upright) for boxes in relative_boxes(image, (width, height)))
    _write_boxes(sibling_path(path, "labels"), faces)
    if len(ignored):
        _write_boxes(sibling_path(path, "ignore"), ignored)
    return len(faces), len(ignored)


def relative_boxes(image: WiderImage, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Its faces and its invalid faces as label files have them: (n, 4) and (m, 4), cxcywh relative to the image.

    Boxes are cut to the image, of (width, height) pixels; what has no area then is left out.
    """
    corners = np.clip(xywh_to_xyxy(image.boxes) / (size * 2), 0.0, 1.0)
    boxes = xyxy_to_cxcywh(corners)
    seen = np.all(boxes[:, 2:] > 0, axis=1)
    return boxes[seen & ~image.invalid], boxes[seen & image.invalid]


def turn(boxes: NDArray[np.float64], stored: NDArray[np.uint8], upright: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Boxes on the stored pixels -> the same on the picture that the EXIF orientation makes of them.

    Args:
        boxes: (n, 4), cx cy w h, relative.
        stored: the picture as it lies in the file, (height, width, 3).
        upright: the picture turned.
    """
    for swapped, down, right in itertools.product((False, True), repeat=3):
        picture = stored.swapaxes(0, 1) if swapped else stored
        if np.array_equal(picture[:: -1 if down else 1, :: -1 if right else 1], upright):
            turned = boxes[:, [1, 0, 3, 2]] if swapped else boxes.copy()
            turned[:, 0] = 1 - turned[:, 0] if right else turned[:, 0]
            turned[:, 1] = 1 - turned[:, 1] if down else turned[:, 1]
            return turned
    raise AssertionError("an orientation is one of eight")


def _write_boxes(path: Path, boxes: NDArray[np.float64]) -> None:
    with atomic_write(path, "w", durable=False) as file:
        file.write(format_labels(boxes, np.zeros(len(boxes), np.int32)))


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare one split; exit code 2 and one line where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="WIDER_train/images or WIDER_val/images")
    parser.add_argument("annotations", type=Path, help="wider_face_*_bbx_gt.txt or wider_face_*.mat")
    args = parser.parse_args(argv)
    try:
        images, faces, ignored = prepare(args.images, args.annotations)
    except TinierYoloError as error:
        print(f"prepare_wider: {error}", file=sys.stderr)
        return 2
    print(f"{images} images, {faces} faces, {ignored} ignored: {args.images.parent / 'list.txt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

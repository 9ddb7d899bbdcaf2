"""A data set packed for a machine that is lent by the minute: small encoded images and their labels in a few files.

A part is a NumPy .npz without pickled objects: ``codes`` (the encoded images one after the other, uint8) and
``lengths`` (bytes of each), ``boxes`` and ``ignored`` (float32 (k, 4), cx cy w h relative) with ``classes`` and with
``box_counts`` and ``ignored_counts`` for each image, ``side`` (no image is longer) and ``format``. Names of parts:
``train-000.npz``, ``valid-000.npz`` ...
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.datasets.labels import Sample
from tinier_yolo.detection.letterbox import PADDING
from tinier_yolo.errors import DataError
from tinier_yolo.files import atomic_write
from tinier_yolo.training.dataset import load_example

FORMAT = "tinier-yolo pack 1"
MAX_SIDE = 1024


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed set, decoded.

    Attributes:
        images: uint8 (n, side, side, 3), RGB, each in the top left corner, grey beyond it.
        sizes: int64 (n, 2), (width, height) of each image.
        samples: labels; ``image`` is a part's name and a number.
    """

    images: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    samples: tuple[Sample, ...]

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) of an image."""
        return int(self.sizes[index, 0]), int(self.sizes[index, 1])


def encode(sample: Sample, side: int, kind: str, quality: int) -> bytes:
    """A sample's image, its longer side at most ``side`` pixels, as JPEG (".jpg") or WebP (".webp").

    Raises:
        DataError: the image cannot be decoded.
    """
    image = load_example(sample).image
    scale = side / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(1, round(edge * scale)) for edge in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    flag = cv2.IMWRITE_WEBP_QUALITY if kind == ".webp" else cv2.IMWRITE_JPEG_QUALITY
    _, code = cv2.imencode(kind, image[..., ::-1], (flag, quality))
    return code.tobytes()


def write_parts(folder: Path, name: str, pairs: Iterator[tuple[Sample, bytes]], side: int, limit: int) -> list[Path]:
    """Write samples and their encoded images into parts of at most ``limit`` bytes (about: labels are small).

    Raises:
        TinierYoloError: a part cannot be written.
    """
    paths: list[Path] = []
    waiting: list[tuple[Sample, bytes]] = []
    size = 0

    def flush() -> None:
        paths.append(folder / f"{name}-{len(paths):03}.npz")
        with atomic_write(paths[-1]) as file:
            file.write(_part(waiting, side))
        waiting.clear()

    for sample, code in pairs:
        cost = len(code) + 16 * (len(sample.boxes) + len(sample.ignored)) + 64
        if waiting and size + cost > limit:
            flush()
            size = 0
        waiting.append((sample, code))
        size += cost
    if waiting:
        flush()
    return paths


def _part(pairs: Sequence[tuple[Sample, bytes]], side: int) -> bytes:
    samples = [sample for sample, _ in pairs]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        format=np.array(FORMAT),
        side=np.array(side),
        codes=np.frombuffer(b"".join(code for _, code in pairs), np.uint8),
        lengths=np.array([len(code) for _, code in pairs], np.int64),
        boxes=np.concatenate([sample.boxes for sample in samples]),
        classes=np.concatenate([sample.class_ids for sample in samples]),
        box_counts=np.array([len(sample.boxes) for sample in samples], np.int64),
        ignored=np.concatenate([sample.ignored for sample in samples]),
        ignored_counts=np.array([len(sample.ignored) for sample in samples], np.int64),
    )
    return buffer.getvalue()


def load_parts(folder: Path, name: str, classes: int) -> Packed | None:
    """Decode all parts of that name, on all cores; None where there is none.

    Raises:
        DataError: a part that cannot be read, is damaged, or fits neither the others nor ``classes``.
    """
    parts = [(path, _read(path)) for path in sorted(folder.glob(f"{name}-*.npz"))]
    if not parts:
        return None
    side = int(parts[0][1]["side"])
    count = sum(len(part["lengths"]) for _, part in parts)
    images = np.full((count, side, side, 3), PADDING, np.uint8)
    sizes = np.zeros((count, 2), np.int64)
    samples: list[Sample] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for path, part in parts:
            if int(part["side"]) != side:
                raise DataError("another side than the first part", path=path, expected=side, found=int(part["side"]))
            place = slice(len(samples), len(samples) + len(part["lengths"]))
            _decode(part, path, pool, images[place], sizes[place])
            samples += _samples(part, path, classes)
    return Packed(images, sizes, tuple(samples))


def _decode(
    part: Mapping[str, NDArray[Any]],
    path: Path,
    pool: ThreadPoolExecutor,
    images: NDArray[np.uint8],
    sizes: NDArray[np.int64],
) -> None:
    """Decode a part's images into their places."""
    ends = np.cumsum(part["lengths"])

    def decode(index: int) -> None:
        code = part["codes"][ends[index] - part["lengths"][index] : ends[index]]
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR) if len(code) else None
        if decoded is None or max(decoded.shape[:2]) > images.shape[1]:
            raise DataError("cannot decode an image", path=path, place=f"image {index}")
        height, width = decoded.shape[:2]
        images[index, :height, :width] = decoded[..., ::-1]
        sizes[index] = width, height

    list(pool.map(decode, range(len(ends))))


def _samples(part: Mapping[str, NDArray[Any]], path: Path, classes: int) -> Iterator[Sample]:
    if len(part["classes"]) and not 0 <= part["classes"].min() <= part["classes"].max() < classes:
        raise DataError("a class out of range", path=path, expected=f"0..{classes - 1}")
    box = ignored = 0
    for index, (boxes, hidden) in enumerate(zip(part["box_counts"], part["ignored_counts"], strict=True)):
        yield Sample(
            path.with_suffix("") / str(index),
            part["boxes"][box : box + boxes],
            part["classes"][box : box + boxes],
            part["ignored"][ignored : ignored + hidden],
        )
        box, ignored = box + boxes, ignored + hidden


_DTYPES = {
    "codes": np.uint8,
    "lengths": np.int64,
    "boxes": np.float32,
    "classes": np.int32,
    "box_counts": np.int64,
    "ignored": np.float32,
    "ignored_counts": np.int64,
}


def _read(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            part = {name: file[name] for name in (*_DTYPES, "side", "format")}
    except OSError as error:
        raise DataError("cannot read the pack", path=path, found=error.strerror or str(error)[:80]) from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError("not a pack", path=path, found=str(error)[:80]) from error
    if str(part["format"]) != FORMAT:
        raise DataError("not a pack of this version", path=path, expected=FORMAT, found=str(part["format"])[:40])
    if not _consistent(part):
        raise DataError("a damaged pack", path=path, expected="counts and lengths that fit their arrays")
    return part


def _consistent(part: Mapping[str, NDArray[Any]]) -> bool:
    if any(part[name].dtype != dtype for name, dtype in _DTYPES.items()) or part["side"].dtype.kind != "i":
        return False
    if part["side"].ndim or not 1 <= int(part["side"]) <= MAX_SIDE or part["lengths"].ndim != 1:
        return False
    counts = ("lengths", "codes"), ("box_counts", "boxes"), ("box_counts", "classes"), ("ignored_counts", "ignored")
    for count, array in counts:
        if part[count].shape != part["lengths"].shape or (part[count] < 0).any():
            return False
        if int(part[count].sum()) != len(part[array]):
            return False
    boxes = [part["boxes"], part["ignored"]]
    return all(some.shape[1:] == (4,) and bool(((some >= -0.5) & (some <= 1.5)).all()) for some in boxes)

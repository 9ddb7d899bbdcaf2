"""The images of a classifier's set: decoded once and kept, where memory allows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tinier_yolo.errors import DataError, MediaError
from tinier_yolo.media.images import read_image
from tinier_yolo.training.augment import Image, scaled_down

#: The part of the free memory that a set may take.
SHARE_OF_MEMORY = 0.5
#: Images by which the size of a set is estimated.
_SAMPLED = 64


@dataclass(frozen=True, eq=False)
class HeldImages:
    """Images by their numbers.

    Attributes:
        files: where they come from.
        stack: uint8 (n, height, width, 3) where all have one size and are held.
        kept: the images where they are held and differ in size.
        shrink: what is done to each image after it is decoded.
    """

    files: Sequence[Path]
    stack: Image | None
    kept: Sequence[Image]
    shrink: Callable[[Image], Image] = field(repr=False)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.files)

    def __getitem__(self, index: int) -> Image:
        """An image, uint8 (height, width, 3).

        Raises:
            MediaError: it is not held, and cannot be decoded any more.
        """
        if self.stack is not None:
            return cast("Image", self.stack[index])
        return self.kept[index] if self.kept else self.shrink(read_image(self.files[index]))


def hold(
    files: Sequence[Path], shrink: Callable[[Image], Image], skip_bad: bool = False, quiet: bool = False
) -> tuple[HeldImages, NDArray[np.int64]]:
    """Decode a set and keep it, or only look at every image where it would not fit into half of the free memory.

    Args:
        files: the images.
        shrink: makes a decoded image as small as it may be kept.
        skip_bad: leave images out that cannot be decoded, instead of refusing them all.
        quiet: no progress and no list of bad images.

    Returns:
        The images, and the indices of ``files`` that they have.

    Raises:
        DataError: an image cannot be decoded and ``skip_bad`` is not set, or no image can.
    """
    if not files:
        return HeldImages((), None, (), shrink), np.zeros(0, np.int64)
    needed, free = _estimate(files, shrink), _free_memory()
    # Each process of this machine (torchrun says how many) holds its own.
    fits = needed * int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= SHARE_OF_MEMORY * free
    if not fits and not quiet:
        found = f"about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of memory are free"
        print(f"images are decoded anew at each use: {found}", file=sys.stderr, flush=True)
    images: list[Image] = []
    good: list[int] = []
    bad: list[str] = []
    for index, file in enumerate(tqdm(files, "decoding images", unit="image", leave=False, disable=quiet or None)):
        try:
            image = shrink(read_image(file))
        except MediaError as error:
            bad.append(str(error))
            continue
        good.append(index)
        if fits:
            images.append(image)
    _tell_bad(bad, len(files), skip_bad, quiet)
    same = fits and len({image.shape for image in images}) == 1
    stack, kept = (np.stack(images), ()) if same else (None, images)
    return HeldImages([files[index] for index in good], stack, kept, shrink), np.array(good, np.int64)


def shrunk(image: Image, shortest: int) -> Image:
    """An image whose shorter side has at most so many pixels."""
    height, width = image.shape[:2]
    if min(height, width) <= shortest:
        return image
    scale = shortest / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return scaled_down(image, size)


def _estimate(files: Sequence[Path], shrink: Callable[[Image], Image]) -> float:
    """Bytes of a set, by some of its images; those that cannot be decoded are met later."""
    sizes = []
    for index in np.linspace(0, len(files) - 1, min(_SAMPLED, len(files)), dtype=np.int64):
        try:
            sizes.append(shrink(read_image(files[index])).nbytes)
        except MediaError:
            continue
    # Twice, since images of one size are copied into one array.
    return 2.0 * len(files) * float(np.mean(sizes)) if sizes else 0.0


def _free_memory() -> float:
    """Bytes that can be had without swapping: on Linux what the system calls available, caches among it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # a system that does not say
        return float(2**32)


def _tell_bad(bad: Sequence[str], images: int, skip_bad: bool, quiet: bool) -> None:
    if not bad:
        return
    if not quiet:
        print("\n".join(bad), file=sys.stderr, flush=True)
    if not skip_bad or len(bad) == images:
        expected = "images, or --skip-bad to train without these" if len(bad) < images else "images"
        raise DataError(f"{len(bad)} of {images} images cannot be decoded", expected=expected)

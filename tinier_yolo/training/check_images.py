"""Every image of a run is opened before its first step: a bad one is found now, not in the third hour."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tinier_yolo import __version__
from tinier_yolo.datasets.labels import Sample
from tinier_yolo.errors import DataError, TinierYoloError
from tinier_yolo.files import atomic_write
from tinier_yolo.media.opencv import OPENCV_VERSION
from tinier_yolo.training.dataset import load_example

#: What a good image is remembered by: its size in bytes and the time of its last change, nanoseconds.
Stamp = list[int]


def check_images(samples: Sequence[Sample], skip_bad: bool, quiet: bool = False) -> tuple[Sample, ...]:
    """The samples whose images can be decoded. What was found good once is not opened again until it changes.

    Args:
        samples: with distinct images or not.
        skip_bad: leave bad images out, instead of refusing them all.
        quiet: no progress and no list of bad images.

    Raises:
        DataError: some image cannot be decoded and ``skip_bad`` is not set, or no image can.
    """
    from tqdm import tqdm

    memory = _memory_path(samples)
    good = _recall(memory)
    stamps = {str(sample.image): _stamp(sample.image) for sample in samples}
    unknown = [sample for sample in samples if good.get(str(sample.image)) != stamps[str(sample.image)]]
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)) as pool:
        found = pool.map(_problem, unknown)
        shown = tqdm(found, "opening images", len(unknown), unit="image", leave=False, disable=quiet or None)
        bad = {str(sample.image): problem for sample, problem in zip(unknown, shown, strict=True) if problem}
    if len(bad) < len(unknown):
        _remember(memory, {name: stamp for name, stamp in stamps.items() if name not in bad and stamp})
    if not bad:
        return tuple(samples)
    if not quiet:
        print("\n".join(bad.values()), file=sys.stderr, flush=True)
    if not skip_bad or len(bad) == len(stamps):
        expected = "images, or --skip-bad to train without these" if len(bad) < len(stamps) else "images"
        raise DataError(f"{len(bad)} of {len(stamps)} images cannot be decoded", expected=expected)
    return tuple(sample for sample in samples if str(sample.image) not in bad)


def _problem(sample: Sample) -> str:
    try:
        load_example(sample)
    except TinierYoloError as error:
        return str(error)
    return ""


def _stamp(image: Path) -> Stamp:
    try:
        status = image.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _memory_path(samples: Sequence[Sample]) -> Path:
    """A file of the user's cache folder for this set of images, as this version reads them."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "tinier-yolo"
    paths = [os.path.abspath(sample.image) for sample in samples]  # noqa: PTH100  links stay links
    # Another version of the decoder may refuse what this one reads.
    names = "\n".join([__version__, OPENCV_VERSION, *paths])
    return folder / f"images-{hashlib.sha256(names.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.json"


def _recall(path: Path) -> dict[str, Stamp]:
    # Only a memory: whatever is wrong with it costs no more than opening the images again.
    try:
        stamps = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _remember(path: Path, stamps: dict[str, Stamp]) -> None:
    with suppress(TinierYoloError), atomic_write(path, "w", durable=False) as file:
        json.dump(stamps, file)

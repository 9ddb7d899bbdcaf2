from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.pack_dataset import main
from tinier_yolo.datasets.labels import load_samples
from tinier_yolo.errors import DataError
from tinier_yolo.training.dataset import load_example
from tinier_yolo.training.packed import encode, load_parts, write_parts


@pytest.fixture
def folder(drawings: Path, tmp_path: Path) -> Path:
    options = ["--data", str(drawings), "--out", str(tmp_path), "--side", "96", "--format", "jpg", "--quality", "95"]
    assert main(options) == 0
    return tmp_path


def test_what_is_packed_comes_back(drawings: Path, folder: Path) -> None:
    samples = load_samples(drawings.parent / "list.txt")
    for name in ("train", "valid"):
        packed = load_parts(folder, name, 1)
        assert packed is not None
        assert packed.images.shape == (12, 96, 96, 3)
        for index, (sample, kept) in enumerate(zip(samples, packed.samples, strict=True)):
            np.testing.assert_array_equal(sample.boxes, kept.boxes)
            np.testing.assert_array_equal(sample.ignored, kept.ignored)
            image = load_example(sample).image
            assert packed.size(index) == (96, 72)
            assert np.abs(packed.images[index, :72].astype(int) - image).mean() < 25  # noise and JPEG
            assert (packed.images[index, 72:] == 128).all()
    assert load_parts(folder, "other", 1) is None


def test_images_are_made_small_and_parts_are_limited(drawings: Path, tmp_path: Path) -> None:
    samples = load_samples(drawings.parent / "list.txt")
    pairs = [(sample, encode(sample, 48, ".webp", 80)) for sample in samples]
    limit = sum(len(code) for _, code in pairs) // 3
    paths = write_parts(tmp_path, "train", iter(pairs), 48, limit)
    assert len(paths) >= 3
    assert all(path.stat().st_size < limit + 3000 for path in paths)
    packed = load_parts(tmp_path, "train", 1)
    assert packed is not None
    assert (packed.sizes == (48, 36)).all()
    assert len(packed.samples) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.array([5], np.int64)}, "damaged"),
        ({"box_counts": np.full(12, -1, np.int64)}, "damaged"),
        ({"boxes": np.full((18, 4), np.nan, np.float32)}, "damaged"),
        ({"side": np.array(10**9)}, "damaged"),
        ({"side": np.array(40)}, "image 0: cannot decode"),
        ({"codes": np.array([None])}, "not a pack"),
        ({"format": np.array("other")}, "not a pack of this version"),
        ({"classes": np.full(18, 3, np.int32)}, "a class out of range"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_damaged_packs_are_refused(folder: Path, change: dict[str, np.ndarray], message: str) -> None:
    path = folder / "train-000.npz"
    with np.load(path) as file:
        part = dict(file)
    if "boxes" in change or "classes" in change:
        name = next(iter(change))
        change = {name: change[name][: len(part[name])]}
    np.savez(path, **(part | change))
    with pytest.raises(DataError, match=message):
        load_parts(folder, "train", 1)


def test_a_file_that_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "train-000.npz").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="pack"):
        load_parts(tmp_path, "train", 1)

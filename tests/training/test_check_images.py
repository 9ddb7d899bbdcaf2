from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.datasets.labels import Sample, load_samples
from tinier_yolo.errors import DataError
from tinier_yolo.training import check_images as module
from tinier_yolo.training.check_images import check_images

NONE = np.zeros((0, 4), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    names: list[Path] = []
    load = module.load_example

    def counting(sample: Sample) -> object:
        names.append(sample.image)
        return load(sample)

    monkeypatch.setattr(module, "load_example", counting)
    return names


def test_good_images_are_opened_once(drawings: Path, opened: list[Path]) -> None:
    samples = load_samples(drawings.parent / "list.txt")
    assert check_images(samples, False) == samples
    assert len(opened) == 12
    assert check_images(samples, False) == samples
    assert len(opened) == 12


def test_a_changed_image_is_opened_again(tmp_path: Path, drawings: Path, opened: list[Path]) -> None:
    good = (drawings.parent / "images" / "0.png").read_bytes()
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        path.write_bytes(good)
    samples = tuple(Sample(path, NONE, np.zeros(0, np.int32), NONE) for path in paths)
    check_images(samples, False)
    paths[1].write_bytes(b"no longer an image")
    with pytest.raises(DataError, match="1 of 2 images cannot be decoded"):
        check_images(samples, False)
    assert opened[2:] == [paths[1]]
    assert check_images(samples, True) == samples[:1]


def test_another_decoder_opens_them_again(drawings: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = load_samples(drawings.parent / "list.txt")
    check_images(samples, False)
    monkeypatch.setattr(module, "OPENCV_VERSION", "99.0")
    check_images(samples, False)
    assert len(opened) == 24


def test_nothing_but_bad_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    samples = (Sample(tmp_path / "a.png", NONE, np.zeros(0, np.int32), NONE),)
    with pytest.raises(DataError, match="1 of 1"):
        check_images(samples, True)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "[" * 100_000])
def test_a_spoilt_memory_costs_nothing_but_time(cache: Path, drawings: Path, opened: list[Path], text: str) -> None:
    samples = load_samples(drawings.parent / "list.txt")
    check_images(samples, False)
    (memory,) = (cache / "tinier-yolo").iterdir()
    memory.write_text(text)
    assert check_images(samples, False) == samples
    assert len(opened) == 24


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(cache: Path, drawings: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    samples = load_samples(drawings.parent / "list.txt")
    assert check_images(samples, False) == samples

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.training.classifiers import write_colours
from tinier_yolo.errors import DataError
from tinier_yolo.media.images import read_image
from tinier_yolo.training import held_images
from tinier_yolo.training.held_images import hold, shrunk

KEEP = partial(shrunk, shortest=100)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(write_colours(tmp_path, 2).glob("train/*/*.png"))


def test_images_of_one_size_stand_in_one_array(files: list[Path]) -> None:
    held, good = hold(files, KEEP, quiet=True)
    assert held.stack is not None
    assert held.stack.shape == (6, 8, 8, 3)
    assert good.tolist() == [0, 1, 2, 3, 4, 5]
    assert all(np.array_equal(held[index], read_image(file)) for index, file in enumerate(files))


def test_images_of_several_sizes_are_kept_shrunk(files: list[Path], tmp_path: Path) -> None:
    files += sorted(write_colours(tmp_path / "large", 1, (30, 20)).glob("train/*/*.png"))
    held, _ = hold(files, partial(shrunk, shortest=10), quiet=True)
    assert held.stack is None
    assert held[0].shape == (8, 8, 3)
    assert held[8].shape == (10, 15, 3)


def test_what_does_not_fit_is_decoded_anew(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(held_images, "_free_memory", lambda: 1000.0)
    held, good = hold(files, KEEP)
    assert held.stack is None
    assert not held.kept
    assert len(good) == len(held) == 6
    assert np.array_equal(held[5], read_image(files[5]))
    assert "images are decoded anew" in capsys.readouterr().err


def test_processes_of_a_machine_share_its_memory(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_images, "_estimate", lambda *_: 100.0)
    monkeypatch.setattr(held_images, "_free_memory", lambda: 1000.0)
    for processes, kept in (("4", True), ("6", False)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert (hold(files, KEEP, quiet=True)[0].stack is not None) == kept


def test_bad_images_are_refused_or_left_out(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    files[2].write_text("not an image")
    with pytest.raises(DataError, match=r"1 of 6 images cannot be decoded .*--skip-bad"):
        hold(files, KEEP)
    assert str(files[2]) in capsys.readouterr().err
    held, good = hold(files, KEEP, skip_bad=True, quiet=True)
    assert good.tolist() == [0, 1, 3, 4, 5]
    assert np.array_equal(held[2], read_image(files[3]))
    for file in files:
        file.write_text("not an image")
    with pytest.raises(DataError, match="6 of 6"):
        hold(files, KEEP, skip_bad=True, quiet=True)


def test_no_files_are_no_images() -> None:
    held, good = hold((), KEEP)
    assert len(held) == len(good) == 0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.eval.fakes import BrightDetector, draw
from tinier_yolo.errors import MediaError, UsageError
from tinier_yolo.eval.run import Subject, read_sizes, run_detector


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    files = {f"{n:02d}": tmp_path / f"{n}.jpg" for n in range(12)}
    for n, path in enumerate(files.values()):
        draw(path, (40 + n, 30), (5, 5, 15, 20, 100 + 10 * n))
    return files


@pytest.mark.parametrize("workers", [1, 3, None])
def test_every_image_gets_its_own_detections(images: dict[str, Path], workers: int | None) -> None:
    run = run_detector(Subject("bright", BrightDetector, workers=workers), images)
    assert list(run.detections) == list(run.sizes) == list(images)
    for n, name in enumerate(images):
        assert run.sizes[name] == (40 + n, 30)
        assert run.detections[name].boxes.tolist() == [[5, 5, 15, 20]]
        assert run.detections[name].scores[0] == np.float32((100 + 10 * n) / 255)
    assert run.problems == {}
    assert run.ms_per_image is not None


def test_thresholds_reach_the_detector(images: dict[str, Path]) -> None:
    run = run_detector(Subject("bright", BrightDetector, thresh=150 / 255), images)
    assert [len(found) for found in run.detections.values()] == [0] * 5 + [1] * 7


def test_an_image_that_cannot_be_read_does_not_stop_the_others(images: dict[str, Path]) -> None:
    images["03"].write_bytes(b"")
    images["04"].unlink()
    run = run_detector(Subject("bright", BrightDetector), images)
    assert list(run.problems) == ["03", "04"]
    assert "not an image" in run.problems["03"]
    assert len(run.detections["03"]) == 0
    assert "03" not in run.sizes
    assert len(run.detections["05"]) == 1


def test_no_images_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images to evaluate"):
        run_detector(Subject("bright", BrightDetector), {})
    with pytest.raises(UsageError, match=r"none of the 2 images can be read; the first: .*a\.jpg: cannot read"):
        run_detector(Subject("bright", BrightDetector), {"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"})


def test_sizes(images: dict[str, Path]) -> None:
    assert read_sizes(images)["03"] == (43, 30)
    images["03"].unlink()
    with pytest.raises(MediaError, match="cannot read"):
        read_sizes(images)

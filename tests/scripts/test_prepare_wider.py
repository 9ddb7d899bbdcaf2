from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scripts.prepare_wider import main, relative_boxes, turn
from tests.media.test_images import UPRIGHT
from tinier_yolo.datasets.labels import load_samples
from tinier_yolo.datasets.wider import WIDER_ATTRIBUTES, WiderImage


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    (tmp_path / "WIDER_train" / "images" / "0--Parade").mkdir(parents=True)
    for name in "ab":
        cv2.imwrite(str(tmp_path / "WIDER_train/images/0--Parade" / f"{name}.jpg"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "gt.txt").write_text(
        "0--Parade/a.jpg\n2\n20 10 40 50 0 0 0 0 0 0\n100 0 20 20 0 0 0 1 0 0\n"
        "0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    return tmp_path


def test_labels_and_invalid_faces(wider: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(wider / "WIDER_train" / "images"), str(wider / "gt.txt")]) == 0
    assert "2 images, 1 faces, 1 ignored" in capsys.readouterr().out
    a, b = load_samples(wider / "WIDER_train" / "list.txt")
    np.testing.assert_allclose(a.boxes, [[0.2, 0.35, 0.2, 0.5]], rtol=1e-5)
    np.testing.assert_allclose(a.ignored, [[0.55, 0.1, 0.1, 0.2]], rtol=1e-5)
    assert len(b.boxes) == len(b.ignored) == 0


def test_boxes_are_cut_to_the_image_and_invalid_faces_are_told_apart() -> None:
    boxes = np.array([[10.0, 20, 40, 20], [0, 0, 10, 10], [95, 50, 20, 20], [200, 200, 5, 5], [5, 5, 0, 3]])
    attributes = np.zeros((5, 6), np.int8)
    attributes[1, list(WIDER_ATTRIBUTES).index("invalid")] = 1
    faces, ignored = relative_boxes(WiderImage("e/i", boxes, attributes), (100, 100))
    np.testing.assert_allclose(faces, [[0.3, 0.3, 0.4, 0.2], [0.975, 0.6, 0.05, 0.2]], atol=1e-6)
    np.testing.assert_allclose(ignored, [[0.05, 0.05, 0.1, 0.1]], atol=1e-6)


def test_bad_input_is_one_line(wider: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(wider), str(wider / "gt.txt")]) == 2
    (wider / "WIDER_train/images/0--Parade/b.jpg").unlink()
    assert main([str(wider / "WIDER_train" / "images"), str(wider / "gt.txt")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert not (wider / "WIDER_train" / "list.txt").exists()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_turned_with_their_picture(orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    stored[5:10, 4:8] = 255
    upright = UPRIGHT[orientation](stored)
    box = np.array([[6 / 40, 7.5 / 20, 4 / 40, 5 / 20]])
    (x, y, w, h) = (turn(box, stored, upright)[0] * ([upright.shape[1], upright.shape[0]] * 2)).round(6)
    assert (upright[int(y - h / 2) : int(y + h / 2), int(x - w / 2) : int(x + w / 2)] == 255).all()
    assert w * h == 20

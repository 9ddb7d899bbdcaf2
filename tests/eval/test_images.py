from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.images import read_rgb, write_picture
from tinier_yolo.errors import MediaError


def test_colours_are_rgb(tmp_path: Path) -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[..., 0] = 250
    write_picture(tmp_path / "deep" / "red.png", rgb)
    found = read_rgb(tmp_path / "deep" / "red.png")
    assert found.shape == (4, 6, 3)
    assert found[0, 0].tolist() == [250, 0, 0]
    assert cv2.imread(str(tmp_path / "deep" / "red.png"))[0, 0].tolist() == [0, 0, 250]


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    # One entry: orientation (0x0112), a short, 6: turn by 90 degrees.
    tiff = b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    app1 = b"Exif\x00\x00" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg[2:])
    assert cv2.imread(str(path)).shape[:2] == (6, 4)
    assert read_rgb(path).shape[:2] == (4, 6)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 short"])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"bad.jpg: not an image, or a damaged one \(found \d+ bytes\)"):
        read_rgb(path)


def test_missing_images_and_formats(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot read the image"):
        read_rgb(tmp_path / "none.jpg")
    with pytest.raises(MediaError, match="no format for pictures"):
        write_picture(tmp_path / "picture.txt", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []

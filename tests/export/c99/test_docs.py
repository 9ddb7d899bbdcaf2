"""The program in docs/c99.md: it compiles without a warning, and finds what Python finds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from tests.export.c99.test_export import CROSS, compiled
from tinier_yolo.detection.detector import Detector
from tinier_yolo.export.c99.export import TARGETS, c_files, write
from tinier_yolo.ifq.program import Program
from tinier_yolo.media.images import read_image
from tinier_yolo.shipped import default_model

PHOTO = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
#: Compiler, and what runs the program.
MACHINES = {"this": (["gcc", "-O2"], []), "aarch64": CROSS["aarch64"]}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_example_finds_the_face(root: Path, machine: str, target: str, tmp_path: Path) -> None:
    compiler, runner = MACHINES[machine]
    if runner and shutil.which(runner[0]) is None:
        pytest.skip(f"no {runner[0]}")
    example = (root / "docs" / "c99.md").read_text(encoding="utf-8").partition("```c\n")[2].partition("```")[0]
    files = c_files(Program.load(default_model()), "face", target) | {"detect.c": example}
    write(files, tmp_path)
    names = ("detect.c", "face.c", "face_boxes.c", "face_letterbox.c")
    program = compiled([tmp_path / name for name in names], compiler)
    assert cv2.imwrite(str(tmp_path / "photo.ppm"), cv2.imread(str(PHOTO)))
    photo = (tmp_path / "photo.ppm").read_bytes()
    result = subprocess.run([*runner, str(program)], input=photo, capture_output=True, check=True, timeout=120)
    found = np.array([line.split() for line in result.stdout.decode().splitlines()], np.float64).reshape(-1, 5)
    expected = Detector.load().detect(read_image(PHOTO))
    np.testing.assert_allclose(found[:, :4], expected.boxes, atol=0.1)
    np.testing.assert_allclose(found[:, 4], expected.scores, atol=0.001)
    assert len(found) == 1
    cut = subprocess.run([*runner, str(program)], input=photo[:-1], capture_output=True, check=False, timeout=120)
    assert (cut.returncode, cut.stdout) == (2, b"")

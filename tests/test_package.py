from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tinier_yolo
from tinier_yolo import shipped
from tinier_yolo.errors import UsageError


def test_importing_the_package_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys, tinier_yolo\n"
        "assert {'Detector', 'Detections', 'Network', 'Program'} <= set(dir(tinier_yolo))\n"
        "heavy = {'numpy', 'numba', 'cv2', 'torch', 'onnx', 'safetensors'}\n"
        "assert not heavy & set(sys.modules)\n"
        "assert tinier_yolo.Detector.__name__ == 'Detector'\n"
        "assert 'numba' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


def test_the_names_of_the_package_are_those_of_its_modules() -> None:
    for name in tinier_yolo.__all__:
        assert getattr(tinier_yolo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        tinier_yolo.Detektor  # noqa: B018


@pytest.mark.parametrize("place", [0, 1])
def test_the_default_model_is_in_the_package_or_beside_it(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = (tmp_path / "tinier_yolo" / "weights", tmp_path / "weights")
    monkeypatch.setattr(shipped, "_FOLDERS", folders)
    with pytest.raises(UsageError, match="--model FILE"):
        shipped.default_model()
    folders[place].mkdir(parents=True)
    (folders[place] / shipped.DEFAULT_MODEL).touch()
    assert shipped.default_model() == folders[place] / shipped.DEFAULT_MODEL

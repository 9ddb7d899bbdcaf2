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


def test_cfgs_of_the_package_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tinier-yolo-face", "tinier-yolo-face.cfg"):
        assert shipped.cfg_file(name).read_bytes() == (root / "cfg" / "tinier-yolo-face.cfg").read_bytes()
    for path in ("other", "other.cfg", "folder/tinier-yolo-face.cfg", "./x/../tinier-yolo-face"):
        assert shipped.cfg_file(path) == Path(path)
    (tmp_path / "tinier-yolo-face.cfg").touch()
    assert shipped.cfg_file("tinier-yolo-face.cfg") == Path("tinier-yolo-face.cfg"), "a file of the user's comes first"


def test_the_cfgs_beside_the_package_where_it_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "tinier_yolo")
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg" / "a.cfg").touch()
    assert shipped.cfg_file("a") == tmp_path / "cfg" / "a.cfg"


def test_load_without_an_argument_loads_the_model_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    detector = tinier_yolo.Detector.load()
    assert (detector.class_names, detector.size) == (("face",), (416, 416))
    with pytest.raises(UsageError, match="a cfg without its weights"):
        tinier_yolo.Detector.load(cfg="x.cfg")

"""A wheel, built and installed: it has every package under one top-level name, and it detects and evaluates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import red_detector
from tinier_yolo.media.images import write_image

SOURCES = ("tinier_yolo", "eval", "weights", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
BUILD = "import sys\nfrom setuptools.build_meta import build_wheel\nprint(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel of this checkout is installed."""
    pytest.importorskip("setuptools", minversion="77")
    copy, wheels = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheels")
    for name in SOURCES:
        if (root / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.weights")
            shutil.copytree(root / name, copy / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy(root / name, copy)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(wheels)], cwd=copy, capture_output=True, text=True, timeout=120, check=True
    )
    installed = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheels / built.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(installed)
    return installed


def run(site: Path, folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_it_has_every_module_and_one_top_level_name(site: Path, root: Path) -> None:
    assert {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")} == {"tinier_yolo"}
    package = root / "tinier_yolo"
    expected = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    expected |= {f"eval/{path.relative_to(root / 'eval')}" for path in (root / "eval").rglob("*.py")}
    assert {str(path.relative_to(site / "tinier_yolo")) for path in site.rglob("*.py")} == expected
    assert (site / "tinier_yolo" / "weights" / "ifq-tinier-yolo-face.ifq").is_file()
    assert not list(site.rglob("*.weights"))
    web = Path("tinier_yolo", "export", "web")
    shipped = {path.relative_to(root) for path in (root / web).rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path for path in shipped if not (site / path).is_file()} == set()
    assert {Path("module.wasm"), Path("page", "page.html")} <= {path.relative_to(web) for path in shipped}


def test_it_detects_and_evaluates(site: Path, tmp_path: Path) -> None:
    where = "import tinier_yolo.eval as e, importlib.util as u\nprint(e.__file__, u.find_spec('eval'))"
    assert run(site, tmp_path, "-c", where).split() == [str(site / "tinier_yolo" / "eval" / "__init__.py"), "None"]
    assert "fddb" in run(site, tmp_path, "-m", "tinier_yolo", "eval", "--help")
    model = red_detector.write_model(tmp_path)
    write_image(tmp_path / "images" / "a.png", red_detector.picture((128, 128), (32, 32, 64, 64)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.375 0.375 0.25 0.25\n")
    (tmp_path / "val.txt").write_text("images/a.png\n")
    (tmp_path / "red.data").write_text("valid = val.txt\n")
    run(site, tmp_path, "-m", "tinier_yolo", "eval", "labelled", "--data", "red.data", *model, "--out", "out")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["rate"] == 1

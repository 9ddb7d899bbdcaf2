"""A wheel, built from a source distribution and installed: one top-level name with every package, and what it can do.

``scripts/check_package.sh`` does the same in an environment of its own, with other versions of Python and libraries.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests import red_detector
from tinier_yolo.media.images import write_image

SOURCES = (
    "tinier_yolo",
    "eval",
    "weights",
    "cfg",
    "scripts",
    "docs",
    "pyproject.toml",
    "requirements.txt",
    "README.md",
)
FILES = ("LICENSE", "MANIFEST.in", "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "SECURITY.md")
BUILD = "import sys\nfrom setuptools.build_meta import build_{0}\nprint(build_{0}(sys.argv[1]))"


def build(kind: str, folder: Path, into: Path) -> Path:
    command = [sys.executable, "-c", BUILD.format(kind), str(into)]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    return into / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def unpacked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source distribution of this checkout."""
    pytest.importorskip("setuptools", minversion="77")
    copy, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("sdist")
    for name in (*SOURCES, *FILES):
        if (root / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.weights")
            shutil.copytree(root / name, copy / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy(root / name, copy)
    with tarfile.open(build("sdist", copy, folder)) as archive:
        archive.extractall(folder, filter="data")
    (content,) = (path for path in folder.iterdir() if path.is_dir())
    return content


@pytest.fixture(scope="module")
def site(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of the source distribution is installed."""
    installed = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path_factory.mktemp("wheels"))) as wheel:
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
    cfgs = {path.name for path in (root / "cfg").iterdir()}
    assert {path.name for path in (site / "tinier_yolo" / "cfg").iterdir()} == cfgs
    web = Path("tinier_yolo", "export", "web")
    shipped = {path.relative_to(root) for path in (root / web).rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path for path in shipped if not (site / path).is_file()} == set()
    assert {Path("module.wasm"), Path("page", "page.html")} <= {path.relative_to(web) for path in shipped}


def test_the_source_distribution_has_what_a_checkout_has(unpacked: Path, root: Path) -> None:
    for name in (*FILES, "docs/training.md", "scripts/check_package.sh", "cfg/face.data", "eval/run.py"):
        assert (unpacked / name).read_bytes() == (root / name).read_bytes()


def data_set(folder: Path) -> None:
    """An image with a red square, and its label."""
    write_image(folder / "images" / "a.png", red_detector.picture((128, 128), (32, 32, 64, 64)))
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0.375 0.375 0.25 0.25\n")
    (folder / "val.txt").write_text("images/a.png\n")
    (folder / "red.data").write_text("train = val.txt\nvalid = val.txt\n")


@pytest.mark.train
def test_it_trains_and_converts_by_the_name_of_a_cfg(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    data_set(tmp_path)
    name = "ifq-tinier-yolo-face"
    short = ["--max-batches", "1", "--batch", "2", "--size", "96", "--workers", "0", "--threads", "1"]
    run(site, tmp_path, "-m", "tinier_yolo", "train", name, "--data", "red.data", "--out", "runs", *short)
    run(site, tmp_path, "-m", "tinier_yolo", "convert", name, f"runs/{name}.weights", "-o", "face.ifq")
    line = run(site, tmp_path, "-m", "tinier_yolo", "detect", "images/a.png", "--model", "face.ifq", "--no-save")
    assert json.loads(line)["width"] == 128


def test_it_detects_and_evaluates(site: Path, tmp_path: Path) -> None:
    where = "import tinier_yolo.eval as e, importlib.util as u\nprint(e.__file__, u.find_spec('eval'))"
    assert run(site, tmp_path, "-c", where).split() == [str(site / "tinier_yolo" / "eval" / "__init__.py"), "None"]
    assert "fddb" in run(site, tmp_path, "-m", "tinier_yolo", "eval", "--help")
    model = red_detector.write_model(tmp_path)
    data_set(tmp_path)
    run(site, tmp_path, "-m", "tinier_yolo", "eval", "labelled", "--data", "red.data", *model, "--out", "out")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["rate"] == 1

"""What the documentation shows runs: Python examples, the notebook, and the options of every command line."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tinier_yolo import cli

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What an example may need that is not always there.
OPTIONAL = ("trackers", "supervision", "pandas", "torch")


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> Iterator[list[str]]:
    """The command lines of a page that are to be copied: indented, without a choice or a placeholder in capitals."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^    (tinier-yolo .*)$", text, re.MULTILINE):
        words = shlex.split(re.sub(r"\s+>.*$", "", line), comments=True)
        if not any(re.fullmatch(r"\[?[A-Z.]{3,}\]?|.*[\[\]|].*", word) for word in words):
            yield words[1:]


EXAMPLES = [(page, number) for page in PAGES for number in range(len(blocks(page)))]
COMMANDS = [(page, words) for page in PAGES for words in commands(page)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the examples name: a photograph and a film of it."""
    import matplotlib

    from tinier_yolo.media.images import read_image
    from tinier_yolo.media.video_writer import VideoWriter

    photo = tmp_path / "photo.jpg"
    shutil.copy(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"), photo)
    rgb = read_image(photo)
    with VideoWriter(tmp_path / "film.mp4", 25, (rgb.shape[1], rgb.shape[0])) as writer:
        for _ in range(3):
            writer.write(rgb)
    return tmp_path


def run(folder: Path, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "number"), EXAMPLES, ids=lambda part: getattr(part, "name", str(part)))
def test_an_example_runs(page: Path, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = blocks(page)[number]
    for name in OPTIONAL:
        if re.search(rf"^import {name}|^from {name}", code, re.MULTILINE) and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    run(folder, code)


def test_the_notebook_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells as one program; ``make docs`` runs it in Jupyter and shows what comes out."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads((ROOT / "docs" / "first-steps.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(not cell.get("outputs") for cell in cells), "a notebook is committed without its outputs"
    run(folder, "\n".join(code))


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda part: getattr(part, "name", "") or " ".join(part))
def test_a_command_line_is_understood(page: Path, words: list[str]) -> None:
    verb = next(word for word in words if not word.startswith("-"))
    args = cli._parser(verb).parse_args(words)
    assert callable(args.run)


def test_command_lines_and_examples_are_found() -> None:
    assert len(COMMANDS) > 15
    assert {page.name for page, _ in EXAMPLES} >= {"README.md", "index.md", "tracking.md", "how-it-works.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    """Also those of the README, which is no page of the site; mkdocs checks the site's with their anchors."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")]
    assert [name for name in pages if f": {name}\n" not in contents] == []

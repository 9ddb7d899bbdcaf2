"""``tinier-yolo export``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import small_ifq
from tinier_yolo.cli import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(small_ifq.write_model(tmp_path)[0])


def test_c99_writes_the_files_and_names_them(model: str, capsys: Run) -> None:
    assert main(["export", "c99", model, "-o", "out"]) == 0
    names = ["small.h", "small.c", "small_test.c"]
    names += [f"small_{pair}.{kind}" for pair in ("boxes", "letterbox") for kind in "hc"]
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(names)
    assert all(f"out/{name}: " in capsys.readouterr().out for name in names[:1])


REFUSED = {
    "not an .ifq": (["text.ifq", "-o", "out"], "text.ifq: not an .ifq file"),
    "no such file": (["gone.ifq", "-o", "out"], "gone.ifq: cannot read the model"),
    "no identifier": (["small.ifq", "-o", "out", "--name", "my-face"], "not a name for C functions"),
    "a keyword": (["small.ifq", "-o", "out", "--name", "int"], "not a name for C functions"),
    "a file as the folder": (["small.ifq", "-o", "text.ifq"], "text.ifq: not a folder"),
    "below a file": (["small.ifq", "-o", "text.ifq/out"], "text.ifq/out: cannot write into the output folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_use_is_one_line_and_nothing_is_written(model: str, case: str, capsys: Run) -> None:
    Path("text.ifq").write_text("This is a letter, not a model.\n" * 20)
    before = sorted(Path.cwd().rglob("*"))
    arguments, message = REFUSED[case]
    assert main(["export", "c99", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"tinier-yolo: [^\n]+\n", captured.err)
    assert message in captured.err
    assert sorted(Path.cwd().rglob("*")) == before

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tinier_yolo import __version__
from tinier_yolo.cli import VERBS, main


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"tinier-yolo {verb}" in capsys.readouterr().out


def test_the_overview_names_all_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"tinier-yolo {__version__}"


@pytest.mark.parametrize(
    ("words", "prog", "found"),
    [
        (["detekt"], "tinier-yolo", "'detekt'"),
        (["train", "x.cfg"], "tinier-yolo train", "--data"),
        (["export", "onyx"], "tinier-yolo export", "'onyx'"),
        (["export", "c99"], "tinier-yolo export c99", "required"),
        (["summary", "x.cfg", "--two\nlines"], "tinier-yolo summary", r"--two\nlines"),
        (["--colour"], "tinier-yolo", "--colour"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(
    words: list[str], prog: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{prog}: ")
    assert line.endswith(f" (see {prog} --help)")
    assert found in line


def test_a_traceback_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "none.cfg"]) == 2
    quiet = capsys.readouterr().err
    assert quiet.splitlines() == ["tinier-yolo: none.cfg: cannot read the cfg (found No such file or directory)"]
    assert main(["--debug", "summary", "none.cfg"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_stdout_is_one_line(root: Path) -> None:
    command = [sys.executable, "-m", "tinier_yolo", "summary", "cfg/ifq-tinier-yolo-face.cfg"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "tinier-yolo: standard output: No space left on device\n")


def test_the_module_runs(root: Path) -> None:
    command = [sys.executable, "-m", "tinier_yolo", "--version"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"tinier-yolo {__version__}\n"

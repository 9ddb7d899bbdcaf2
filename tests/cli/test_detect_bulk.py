"""Bulk runs from the command line: the rows of plain detection, whatever ends a run in between."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.bulk.pictures import Held, red_model, rows, write_list, write_pictures
from tinier_yolo.cli import main

Run = pytest.CaptureFixture[str]
MODEL = ["--model", "red.weights", "--cfg", "red.cfg"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    red_model(Path())


@pytest.fixture
def pictures() -> list[Path]:
    """23 pictures, and a list of them."""
    found = write_pictures(Path("p"), 23)
    write_list(Path("list.txt"), found)
    return found


def bulk(*arguments: str) -> int:
    return main(["detect", "list.txt", *MODEL, "--shard", "5", "--out", "r", *arguments])


def plain(capsys: Run, *sources: str) -> list[str]:
    capsys.readouterr()
    main(["detect", *sources, *MODEL, "--no-save"])
    return capsys.readouterr().out.splitlines()


def test_rows_are_those_of_plain_detection(pictures: list[Path], capsys: Run) -> None:
    assert bulk() == 0
    assert rows(Path("r")) == plain(capsys, "list.txt")
    assert [len(part.read_text().splitlines()) for part in sorted(Path("r").glob("part*"))] == [5, 5, 5, 5, 3]
    assert json.loads(Path("r/manifest.json").read_text())["images"] == 23


def test_a_run_is_gone_on_with(pictures: list[Path], capsys: Run) -> None:
    assert bulk() == 0
    first = rows(Path("r"))
    for number in (1, 4):
        Path(f"r/part-00000{number}.jsonl").unlink()
    kept = Path("r/part-000000.jsonl").stat().st_mtime_ns
    Path("r/.part-000001.jsonl.abc.tmp").write_text("half a ro")
    capsys.readouterr()
    assert bulk("--resume", "--workers", "2") == 0
    assert re.search(r"pictures: 8, detections: \d+, done before: 15", capsys.readouterr().err)
    assert rows(Path("r")) == first
    assert Path("r/part-000000.jsonl").stat().st_mtime_ns == kept
    assert sorted(path.name for path in Path("r").iterdir())[0] == "manifest.json"
    assert bulk("--resume") == 0
    assert bulk() == 2
    assert "expected --resume" in capsys.readouterr().err
    assert bulk("--resume", "--thresh", "0.5") == 2
    assert "thresh: the folder holds the results of another run (expected 0.25, found 0.5)" in capsys.readouterr().err


def test_a_bad_picture_is_a_row(pictures: list[Path], capsys: Run) -> None:
    pictures[7].write_bytes(b"no picture")
    assert bulk() == 1
    assert "not read: 1" in capsys.readouterr().err
    found = [json.loads(row) for row in rows(Path("r"))]
    assert [row["source"] for row in found] == [str(path) for path in pictures]
    assert [number for number, row in enumerate(found) if "error" in row] == [7]


def test_a_wrong_folder_writes_nothing(pictures: list[Path], capsys: Run) -> None:
    Path("list.txt").write_text("gone/a.jpg\ngone/b.jpg\n")
    assert bulk() == 2
    assert "none of the first 2 images can be read" in capsys.readouterr().err
    assert not Path("r").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives(kind: str, pictures: list[Path]) -> None:
    if kind == "zip":
        with zipfile.ZipFile("p.zip", "w") as archive:
            for path in pictures:
                archive.write(path)
    else:
        with tarfile.open("p.tar", "w") as tar:
            for path in pictures:
                tar.add(path)
    assert bulk() == 0
    assert main(["detect", f"p.{kind}", *MODEL, "--shard", "9", "--out", "a"]) == 0
    expected = [row.replace('"p/', f'"{kind}://p/').replace('.png"', f'.png::p.{kind}"') for row in rows(Path("r"))]
    assert rows(Path("a")) == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--resume"], "--resume goes with --shard"),
        (["--workers", "2"], "--workers goes with --shard"),
        (["--dask", "tcp://h:1"], "--dask goes with --shard"),
        (["--format", "parquet"], "expected --shard N"),
        (["--shard", "5", "--show"], "--show does not go with --shard"),
        (["--shard", "5", "--format", "csv"], "expected jsonl or parquet, found csv"),
        (["--shard", "5", "--dask", "tcp://h:1", "--workers", "2"], "--workers are processes"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], told: str, capsys: Run) -> None:
    assert main(["detect", "list.txt", *MODEL, *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "arguments"), [("distributed", ["--dask", "tcp://h:1"]), ("pyarrow", ["--format", "parquet"])]
)
def test_packages_that_are_missing_are_named(
    module: str, arguments: list[str], pictures: list[Path], capsys: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert bulk(*arguments) == 2
    assert f"pip install {module}" in capsys.readouterr().err
    assert not Path("r").exists()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGKILL, 1), (signal.SIGTERM, 2), (signal.SIGINT, 2)])
def test_a_client_that_is_ended_is_gone_on_with(
    number: signal.Signals, workers: int, pictures: list[Path], capsys: Run, root: Path
) -> None:
    held = Held(pictures[17])
    command = [sys.executable, "-m", "tinier_yolo", "detect", "list.txt", *MODEL, "--shard", "5", "--out", "r"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    client = subprocess.Popen([*command, "--workers", str(workers)], env=environment, stderr=subprocess.PIPE)
    end = held.wait()
    client.send_signal(number)
    _, error = client.communicate()
    os.close(end)
    assert client.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert len(error.splitlines()) == (0 if number == signal.SIGKILL else 1)
    leftover = list(Path("r").glob(".part*"))
    assert not leftover or number == signal.SIGKILL
    assert not Path("r/part-000003.jsonl").exists()
    held.restore()
    assert bulk("--resume") == 0
    assert rows(Path("r")) == plain(capsys, "list.txt")
    assert not list(Path("r").glob(".part*"))

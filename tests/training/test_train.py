from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import tiny_cfg
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.training.checkpoint import Checkpoint
from tinier_yolo.training.train import Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[False, True], ids=["float", "ifq"])
def cfg(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.cfg"
    path.write_text(tiny_cfg(binary=request.param))
    return path


def arguments(cfg: Path, data: Path, out: Path, *more: str) -> list[str]:
    options = ["--threads", "1", "--workers", "0", "--keep-every", "5", "--log-every", "5"]
    options += ["--device", "cpu", "--precision", "float32"]
    return ["train", str(cfg), "--data", str(data), "--out", str(out), *options, *more]


def read_columns(path: Path) -> dict[str, list[float]]:
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    return {name: [float(row[index]) for row in rows] for index, name in enumerate(header)}


def weights_of(out: Path) -> bytes:
    return (out / "tiny.weights").read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_equals_one_that_never_stopped(
    cfg: Path, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(cfg, drawings, tmp_path / "whole")) == 0
    assert Checkpoint.load(tmp_path / "whole" / "tiny.checkpoint").values["iteration"] == 50

    steps = 0

    def stop_at_23(run: Run, *rest: Any) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == 24:
            raise KeyboardInterrupt
        return step(run, *rest)

    step = Run.step
    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", stop_at_23)
        assert main(arguments(cfg, drawings, tmp_path / "parts")) == 130
    assert Checkpoint.load(tmp_path / "parts" / "tiny.checkpoint").values["iteration"] == 20
    assert main(arguments(cfg, drawings, tmp_path / "parts", "--resume")) == 0
    for name in ("tiny.weights", "tiny_last.weights", "tiny_ema.weights", "tiny_training.csv", "tiny_validation.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name


def test_training_learns_the_drawings(drawings: Path, tmp_path: Path) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    more = ["--max-batches", "150", "--learning-rate", "0.01", "--keep-every", "50"]
    assert main(arguments(cfg, drawings, tmp_path / "out", *more)) == 0
    training = read_columns(tmp_path / "out" / "tiny_training.csv")
    validation = read_columns(tmp_path / "out" / "tiny_validation.csv")
    assert np.mean(training["iou"][-3:]) > 1.7 * np.mean(training["iou"][:3])
    assert validation["loss"][-1] < 0.75 * training["loss"][0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        ".tiny.lock",
        "tiny.checkpoint", "tiny.weights", "tiny_curves.png", "tiny_ema.weights",
        "tiny_last.weights", "tiny_training.csv", "tiny_validation.csv",
    }  # fmt: skip
    load_weights(tmp_path / "out" / "tiny.weights", Network.load(cfg))


#: Runs of the same command, one after the other, each but the last one killed at a moment of its own.
KILLED_RUNS = """
import os, random, signal, sys, time
import tinier_yolo.training.train  # Once: what is forked has it.
from tinier_yolo.cli import main
def start():
    if (pid := os.fork()) == 0:
        os._exit(main(sys.argv[3:]))
    return pid
moments = random.Random(0)
for _ in range(int(sys.argv[1])):
    pid = start()
    time.sleep(moments.random() * float(sys.argv[2]))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
"""


@pytest.mark.usefixtures("undrawn")
def test_a_run_killed_again_and_again_ends_with_the_same_bits(drawings: Path, tmp_path: Path) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=True))
    begun = time.monotonic()
    assert main(arguments(cfg, drawings, tmp_path / "whole")) == 0
    whole = time.monotonic() - begun
    kills = os.environ.get("TINIER_YOLO_KILLS", "3")
    command = [sys.executable, "-c", KILLED_RUNS, kills, str(whole)]
    command += arguments(cfg, drawings, tmp_path / "killed", "--resume", "--keep-every", "10")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    # 2: it had finished already, nothing is left to train.
    assert done.stdout.splitlines()[-1] in ("0", "2"), done.stderr
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")


@pytest.mark.usefixtures("undrawn")
def test_a_finished_run_has_nothing_to_resume(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    assert main(arguments(cfg, drawings, tmp_path, "--max-batches", "5")) == 0
    assert main(arguments(cfg, drawings, tmp_path, "--max-batches", "5", "--resume")) == 2
    assert "nothing to train" in capsys.readouterr().err
    assert main(arguments(cfg, drawings, tmp_path, "--max-batches", "10", "--resume")) == 0
    assert "starting at iteration 5 of 10" in capsys.readouterr().err
    cfg.write_text(tiny_cfg(binary=False).replace("jitter=.2", "jitter=.3"))
    assert main(arguments(cfg, drawings, tmp_path, "--max-batches", "15", "--resume")) == 2
    assert "another cfg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "none.data"], "none.data: cannot read the .data file"),
        (["--size", "60"], "multiple of the network's stride"),
        (["--batch", "3", "--subdivisions", "2"], "batch cannot be divided"),
        (["--batch", "1", "--size", "8"], "batch normalisation over a single value"),
        (
            ["--batch", "2", "--subdivisions", "2", "--size", "8"],
            "one image and a map of 1x1, for an input of 8x8",
        ),
        (["--keep-every", "7"], "does not fit --log-every"),
        (["--init", "none.weights"], "none.weights: cannot read the weights"),
    ],
)
def test_bad_usage_is_one_line(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    assert main(arguments(cfg, drawings, tmp_path / "out", *more)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tinier-yolo:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--batch", "0"],
        ["--max-batches", "0"],
        ["--keep-every", "0"],
        ["--threads", "-1"],
        ["--seed", "-1"],
        ["--learning-rate", "nan"],
        ["--policy", "fast"],
    ],
    ids=" ".join,
)
def test_a_bad_value_is_refused(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments(tmp_path / "tiny.cfg", drawings, tmp_path / "out", *more))
    assert ended.value.code == 2
    assert f"argument {more[0]}: " in capsys.readouterr().err.splitlines()[-1]


def test_an_output_folder_that_cannot_be_written(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    assert main(arguments(cfg, drawings, cfg)) == 2
    assert capsys.readouterr().err.startswith(f"tinier-yolo: {cfg}: cannot write into the output folder")


@pytest.fixture
def spoilt(drawings: Path, tmp_path: Path) -> Path:
    """The drawings with two images that are none, in a folder of their own."""
    shutil.copytree(drawings.parent, tmp_path / "data")
    for name in ("4", "7"):
        (tmp_path / "data" / "images" / f"{name}.png").write_text("not an image")
    return tmp_path / "data" / "drawings.data"


def test_bad_images_are_all_found_before_the_first_step(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    assert main(arguments(cfg, spoilt, tmp_path / "out", "--max-batches", "5")) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path}/data/images/4.png: not an image" in err
    assert f"{tmp_path}/data/images/7.png: not an image" in err
    assert "2 of 12 images cannot be decoded (expected images, or --skip-bad" in err.splitlines()[-1]
    assert "starting at iteration" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("undrawn")
def test_bad_images_can_be_left_out(spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    assert main(arguments(cfg, spoilt, tmp_path / "out", "--max-batches", "5", "--skip-bad")) == 0
    assert "10 images, 10 for validation" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_not_lost_by_starting_another(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    command = arguments(cfg, drawings, tmp_path / "out", "--max-batches", "5")
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    assert main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"tinier-yolo: {tmp_path}/out: the folder holds a run already")
    assert "--resume" in last
    assert "--overwrite" in last
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.usefixtures("undrawn")
def test_two_runs_do_not_share_a_folder(drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    code = "import sys; from pathlib import Path; from tinier_yolo.training.folder import locked\n"
    code += "with locked(Path(sys.argv[1]), 'tiny'): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # It holds the lock until it is killed, however long the run takes.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert main(arguments(cfg, drawings, tmp_path / "out", "--max-batches", "5")) == 2
        assert "another training writes into this folder" in capsys.readouterr().err
        holder.kill()
    assert main(arguments(cfg, drawings, tmp_path / "out", "--max-batches", "5")) == 0

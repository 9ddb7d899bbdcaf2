"""The command for a lent GPU, run on the CPU: a tiny network, a few seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from scripts.pack_dataset import main as pack
from tests.training.conftest import drawings, tiny_cfg  # noqa: F401
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.errors import TinierYoloError, UsageError
from tinier_yolo.training import learner as learners
from tinier_yolo.training.learner import half_cosine
from tinier_yolo.training.muon import Muon
from tinier_yolo.training.options import override
from tinier_yolo.training.timed import TimedRun
from tinier_yolo.training.timed_options import TimedOptions, Trainee

ROOT = Path(__file__).resolve().parents[2]
#: What such a machine may lack.
LACKING = ("safetensors", "tqdm", "matplotlib", "scipy", "onnx")


@pytest.fixture
def packs(drawings: Path, tmp_path: Path) -> Path:  # noqa: F811
    assert pack(["--data", str(drawings), "--out", str(tmp_path / "packs"), "--side", "96"]) == 0
    return tmp_path / "packs"


def write_cfg(folder: Path, binary: bool) -> Path:
    (folder / "tiny.cfg").write_text(tiny_cfg(binary))
    return folder / "tiny.cfg"


def test_the_command_trains_without_what_such_a_machine_may_lack(packs: Path, tmp_path: Path) -> None:
    cfg = write_cfg(tmp_path, True)
    (tmp_path / "site").mkdir()
    block = f"import sys\nfor name in {LACKING}: sys.modules[name] = None\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(block)
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "scripts" / "train_on_gpu.sh"), "5", str(cfg), str(packs), str(tmp_path / "out")]
    command += ["--batch", "4", "--workers", "1", "--keep-seconds", "0.5", "--device", "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"tiny.weights", "tiny_last.weights", "tiny_ema.weights", "tiny_training.csv"}
    load_weights(tmp_path / "out" / "tiny.weights", Network.load(cfg))


def test_too_few_arguments_say_how_to_use_it() -> None:
    done = subprocess.run([str(ROOT / "scripts" / "train_on_gpu.sh"), "6"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "scripts/train_on_gpu.sh 780" in done.stderr


def timed_run(packs: Path, tmp_path: Path, **changes: object) -> TimedRun:
    options = replace(TimedOptions(packs, tmp_path / "out", 1, workers=0, device="cpu"), **changes)  # type: ignore[arg-type]
    return TimedRun([Trainee(override(Network.load(write_cfg(tmp_path, False)), learning_rate=0.02))], options)


def test_it_learns_and_the_rate_falls(packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "RISE", 5)
    run = timed_run(packs, tmp_path)
    rates, (learner,) = [], run.learners
    for number, batch in zip(range(100), run._batches(), strict=False):
        run._step(batch, number / 100)
        rates.append(learner.rate)
    learner.check_fall()
    assert sum(learner.losses[-10:]) < 0.8 * sum(learner.losses[:10])
    assert 0 < rates[-1] < max(rates)


def test_a_loss_that_does_not_fall_ends_the_run(packs: Path, tmp_path: Path) -> None:
    (learner,) = timed_run(packs, tmp_path).learners
    for losses in ([5.0] * 40, [5.0] * 20 + [float("nan")] * 20):
        learner.losses = [torch.tensor(loss) for loss in losses]
        with pytest.raises(TinierYoloError, match="the loss is not falling"):
            learner.check_fall()


def test_missing_packs_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(TinierYoloError, match="no packed training images"):
        timed_run(tmp_path, tmp_path)


def test_half_a_cosine() -> None:
    assert [round(half_cosine(progress), 6) for progress in (0, 0.5, 1, 2)] == [1, 0.5, 0, 0]


def test_two_networks_learn_from_the_same_images_and_the_last_part_is_larger(packs: Path, tmp_path: Path) -> None:
    trainees = []
    for name, binary in (("one", False), ("two", True)):
        (tmp_path / f"{name}.cfg").write_text(tiny_cfg(binary))
        muon = 0.02 if binary else 0.0
        trainees.append(Trainee(override(Network.load(tmp_path / f"{name}.cfg"), batch=4, muon=muon)))
    options = TimedOptions(packs, tmp_path / "out", 4, workers=0, device="cpu", last_size=96, last_share=0.5)
    run = TimedRun(trainees, options)
    run.loop()
    assert run.planned.views.sizes == ((96, 96),)
    one, two = run.learners
    assert one.state.next == two.state.next == run.next >= 3
    assert isinstance(two.state.optimizer, Muon)
    assert not isinstance(one.state.optimizer, Muon)
    assert {group["lr"] for group in two.state.optimizer.param_groups} == {two.rate}
    assert [path.name for path in run.finish()] == ["one.weights", "two.weights"]


def test_networks_that_do_not_see_the_same_are_refused(packs: Path, tmp_path: Path) -> None:
    network = Network.load(write_cfg(tmp_path, False))
    for other, message in ((override(network, size=96), "differ"), (network, "the same name")):
        with pytest.raises(UsageError, match=message):
            TimedRun([Trainee(network), Trainee(other)], TimedOptions(packs, tmp_path / "out", 1, device="cpu"))

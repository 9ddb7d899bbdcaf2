from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.classifiers import CONVOLUTION, tiny_classifier, write_colours
from tests.training.test_train import arguments as detector_arguments
from tests.training.test_train import read_columns
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.training.train import Run


def arguments(cfg: Path, data: Path, out: Path, *more: str) -> list[str]:
    """As for detectors, but with PyTorch's own layers, which need not be compiled."""
    return [*detector_arguments(cfg, data, out), "--no-fused", *more]


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("colours"))


def test_training_learns_the_colours(colours: Path, tmp_path: Path) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_classifier(60, "label_smooth_eps=.1\nhue=.01\nsaturation=1.1\nexposure=1.1\n"))
    assert main(arguments(cfg, colours, tmp_path / "out")) == 0
    validation = read_columns(tmp_path / "out" / "tiny_validation.csv")
    assert list(validation) == ["iteration", "loss", "top1"]
    assert validation["top1"][-1] > 0.9
    assert validation["loss"][-1] < 0.6
    assert (tmp_path / "out" / "tiny_curves.png").is_file()
    load_weights(tmp_path / "out" / "tiny.weights", Network.load(cfg))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "more", ["muon=.02\n", "min_crop=9\nmax_crop=12\naspect=1.3\nangle=10\n"], ids=["moved, by muon", "cropped"]
)
def test_a_resumed_run_equals_one_that_never_stopped(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    cfg = tmp_path / "tiny.cfg"
    # Two convolutions: Muon leaves the first to SGD.
    cfg.write_text(tiny_classifier(20, more).replace(CONVOLUTION, 2 * CONVOLUTION))
    assert main(arguments(cfg, colours, tmp_path / "whole")) == 0

    steps, step = 0, Run.step

    def stop_at_13(run: Run, *rest: Any) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == 14:
            raise KeyboardInterrupt
        return step(run, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", stop_at_13)
        assert main(arguments(cfg, colours, tmp_path / "parts")) == 130
    assert main(arguments(cfg, colours, tmp_path / "parts", "--resume")) == 0
    for name in ("tiny.weights", "tiny_last.weights", "tiny_ema.weights", "tiny_training.csv", "tiny_validation.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (tiny_classifier(), ["--mosaic", ".5"], "--mosaic is for detectors"),
        (tiny_classifier(), ["--hard", "x.txt"], "--hard is for detectors"),
        (tiny_classifier(), ["--preview"], "--preview is for detectors"),
        (tiny_classifier().replace("output=3", "output=4"), [], "classes differ from the cfg's (expected 4, found 3)"),
        (tiny_classifier(more="min_crop=7\n"), [], "min_crop: bad crop (expected 8 <= min_crop <= max_crop"),
        (tiny_classifier(more="label_smooth_eps=.6\n"), [], "label_smooth_eps: bad value"),
        (tiny_classifier().replace("[dropout]", "[dropout]\n#").partition("[connected]")[0] + "[softmax]\n", [],
         "the map of a classifier has one cell"),
        (tiny_classifier().partition("[connected]")[0], [], "not a detector"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, more: list[str], message: str
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(text)
    assert main(arguments(cfg, colours, tmp_path / "out", *more)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tinier-yolo:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()

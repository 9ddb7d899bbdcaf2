"""Short runs with a part of the recipe changed: what reaches training, and the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from scripts import ablate
from tests import red_detector
from tests.networks import random_parameters
from tests.training.conftest import drawings, tiny_cfg  # noqa: F401
from tinier_yolo.darknet.layers import Convolutional
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.training.options import TrainingOptions, TrainingResult


@pytest.fixture
def words(drawings: Path, tmp_path: Path) -> list[str]:  # noqa: F811
    """A command line of runs of two steps each, on drawings and one image of FDDB's form."""
    (tmp_path / "tiny.cfg").write_text(tiny_cfg(True))
    red_detector.write_fddb(tmp_path)
    (tmp_path / "dev_images.txt").write_text("d/a\n")
    given = {
        "init": "float.weights",
        "annotations": "folds",
        "images": "images",
        "list": "dev_images.txt",
        "out": "out",
    }
    paths = [word for name, value in given.items() for word in (f"--{name}", str(tmp_path / value))]
    return [
        str(tmp_path / "tiny.cfg"),
        "--data",
        str(drawings),
        *paths,
        "--passes",
        "8",
        "--batch",
        "4",
        "--size",
        "64",
    ]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Network, TrainingOptions]]:
    """What every run is asked to train; nothing is trained."""
    calls: list[tuple[Network, TrainingOptions]] = []

    def record(network: Network, options: TrainingOptions) -> TrainingResult:
        calls.append((network, options))
        return TrainingResult(options.out / "tiny.weights", 0.0, 1)

    monkeypatch.setattr(ablate, "train", record)
    monkeypatch.setattr(ablate, "evaluate", lambda *_: {"dev": 0.5, "together": 0.25})
    return calls


def test_every_run_differs_from_the_recipe_in_one_part(
    words: list[str], trained: list[tuple[Network, TrainingOptions]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate.main([*words, "--only", "all,sizes,blur,rescore,seed,muon"]) == 0
    recipe, seed, sizes, blur, rescore, muon = trained
    assert (seed[1].seed, recipe[1].seed) == (1, 0)
    assert recipe[1].views is not None
    assert sizes[1].views is not None
    assert (recipe[1].views.scenes, sizes[1].views.scenes) == (0.2, 1.0)
    assert blur[1].augmentation is not None
    assert (blur[1].augmentation.defocus, blur[1].augmentation.patches) == (0.0, 0.12)
    assert (recipe[0].region.rescore, rescore[0].region.rescore) == (True, False)
    assert (recipe[0].options.muon, muon[0].options.muon) == (0.0, 0.02)
    assert all(network.options.max_batches == 2 for network, _ in trained)
    assert "| no blur, no low resolution | 0.500 | 0.250 |" in capsys.readouterr().out


def test_two_steps_quantise_the_maps_first(words: list[str], trained: list[tuple[Network, TrainingOptions]]) -> None:
    assert ablate.main([*words, "--only", "two-step"]) == 0
    (maps, first), (whole, second) = trained
    assert not any(layer.binary for layer in maps.layers if isinstance(layer, Convolutional))
    assert any(layer.binary for layer in whole.layers if isinstance(layer, Convolutional))
    assert second.init == first.out / "tiny.weights"
    assert maps.options.max_batches + whole.options.max_batches == 2


def test_runs_that_are_done_are_not_run_again(words: list[str], trained: list[tuple[Network, TrainingOptions]]) -> None:
    for _ in range(2):
        assert ablate.main([*words, "--only", "all"]) == 0
    assert len(trained) == 1


def test_rates_of_other_options_are_refused(
    words: list[str], trained: list[tuple[Network, TrainingOptions]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate.main([*words, "--only", "all"]) == 0
    assert ablate.main([*words, "--only", "all", "--passes", "16"]) == 2
    assert "rates.json: the rates of a run with other options" in capsys.readouterr().err
    assert ablate.main([*words, "--only", "sizes", "--annotations", "nowhere"]) == 2
    assert len(trained) == 1


def test_an_unknown_run_is_refused(
    words: list[str], trained: list[tuple[Network, TrainingOptions]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate.main([*words, "--only", "all,size"]) == 2
    assert not trained
    assert "no such run (expected all, seed, sizes" in capsys.readouterr().err


def test_hard_images_need_their_file(words: list[str], trained: list[tuple[Network, TrainingOptions]]) -> None:
    assert ablate.main([*words, "--only", "hard"]) == 0
    assert not trained


def test_a_run_from_images_to_rates(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = Network.load(words[0])
    parameters = random_parameters(network, np.random.default_rng(1))
    save_weights(tmp_path / "float.weights", network, parameters)
    assert ablate.main([*words, "--only", "two-step", "--threads", "1", "--json", str(tmp_path / "rates.json")]) == 0
    assert (tmp_path / "out/two-step/tiny.weights").is_file()
    rates = json.loads((tmp_path / "rates.json").read_text())["rates"]["maps quantised first, then weights too"]
    assert sorted(rates) == ["dev", "together"]
    assert "8 passes at 64 pixels from float.weights" in capsys.readouterr().out

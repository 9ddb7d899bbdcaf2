"""The tables of IFQ-Net that need no training, against the paper's figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.ifq_tables import PAPER_IFQ, PAPER_TABLE_2, main, table_3, with_bits
from tests import fixed_point_detector, small_ifq
from tests.networks import random_image, random_parameters
from tests.quantization.test_partial import alexnet as alexnet_cfg
from tests.training.classifiers import write_colours
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.ifq.substructures import divide
from tinier_yolo.quantization.partial import convert_partially

Run = pytest.CaptureFixture[str]


@pytest.fixture
def alexnet(root: Path) -> Network:
    return Network.load(root / "cfg" / "ifq-alexnet.cfg")


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_bits_are_those_of_table_3(alexnet: Network, k: int) -> None:
    rows = table_3(with_bits(alexnet, k))
    *named, last = rows
    assert last.weight_bits is None
    found = {row.name: (str(row.weight_bits), str(row.map_bits).replace(str(k), "k")) for row in named}
    assert found == PAPER_IFQ
    assert sum(row.weights for row in named) == 58_271_776  # The paper: 58.3 million.


def test_the_sizes_are_those_of_table_4(tmp_path: Path, capsys: Run) -> None:
    assert main(["--json", str(tmp_path / "tables.json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Table 1: 7 substructures (paper: 7; 2 to 6 quantised)\n")
    assert "| k = 2 | 58.84 | 58.8 | 0.58 | 0.6 |" in out
    assert "| k = 4 | 58.84 | 58.8 | 1.16 | 1.1 |" in out
    sizes = json.loads((tmp_path / "tables.json").read_text())["sizes"]
    assert [own["largest_map"] for own in sizes] == [55 * 55 * 96 * 2, 55 * 55 * 96 * 4]
    weights = 9 * 11 * 11 * 3 * 96 + 25 * 96 * 256 + 9 * (256 * 384 + 384 * 384 + 384 * 256) + 9216 * 4096 + 4096**2
    assert [own["weights"] for own in sizes] == [weights] * 2


def test_table_2_of_a_detector(tmp_path: Path, capsys: Run) -> None:
    data = fixed_point_detector.write_set(tmp_path, 2)
    _, weights, cfg = small_ifq.write_model(tmp_path)
    options = ["--model", str(cfg), str(weights), "--data", data, "--json", str(tmp_path / "tables.json")]
    assert main(options) == 0
    rows = json.loads((tmp_path / "tables.json").read_text())["conversions"]["2"]
    assert list(rows) == ["float", *list(PAPER_TABLE_2)[1:]]
    assert rows["float"] == rows["integrated"]
    assert f"| float | {rows['float']:.4f} | 0.5214 |" in capsys.readouterr().out


def test_table_2_of_a_classifier_whose_first_and_last_substructures_are_float(tmp_path: Path, capsys: Run) -> None:
    data = write_colours(tmp_path / "data", 6, (12, 12))
    (tmp_path / "partial.cfg").write_text(alexnet_cfg().replace("output=5", "output=3"))
    network = Network.load(tmp_path / "partial.cfg")
    parameters = random_parameters(network, np.random.default_rng(1))
    save_weights(tmp_path / "partial.weights", network, parameters)
    options = ["--model", str(tmp_path / "partial.cfg"), str(tmp_path / "partial.weights"), "--metric", "top1"]
    assert main([*options, "--data", str(data), "--json", str(tmp_path / "tables.json")]) == 0
    rows = json.loads((tmp_path / "tables.json").read_text())["conversions"]["2"]
    assert rows["float"] == rows["integrated"] > 0
    printed = capsys.readouterr().out
    assert "Table 2: top1, 18 images" in printed
    assert "k = 2: images of which float and integrated give other outputs: 0\n" in printed
    image = random_image(np.random.default_rng(2), 12, 12)
    quantized = [number for number, part in enumerate(divide(network)) if part.quantized]
    exact, coarse, fine = (
        convert_partially(network, parameters, how).run(image)
        for how in (None, dict.fromkeys(quantized, 2), dict.fromkeys(quantized, 20))
    )
    assert np.abs(coarse - exact).max() > 10 * np.abs(fine - exact).max()


def test_a_bad_cfg_is_one_line(root: Path, capsys: Run) -> None:
    assert main(["--model", "a.cfg", "a.weights"]) == 2
    assert capsys.readouterr().err == "ifq_tables: Table 2 needs images (expected --data DATA)\n"
    assert main(["--cfg", "missing.cfg"]) == 2
    assert capsys.readouterr().err == "ifq_tables: missing.cfg: cannot read the cfg (found No such file or directory)\n"
    assert main(["--cfg", str(root / "cfg" / "tinier-yolo-face.cfg")]) == 2
    assert "a network without quantised maps" in capsys.readouterr().err

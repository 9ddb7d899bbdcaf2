"""``tinier-yolo convert``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.networks import REGION, Block, ifq_cfg, random_parameters
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.ifq.program import Program
from tinier_yolo.quantization.convert import convert

Run = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with ``a.cfg``, its ``a.weights`` and ``names``."""
    monkeypatch.chdir(tmp_path)
    text = ifq_cfg([Block(9, pool=(2, 2)), Block(12, bits=3)], 32, 32) + REGION
    Path("a.cfg").write_text(text)
    network = Network.parse(text)
    save_weights("a.weights", network, random_parameters(network, np.random.default_rng(0)), images_seen=640)
    Path("names").write_text("visage\n")
    return tmp_path


def test_it_writes_the_program_and_prints_the_proof(folder: Path, capsys: Run) -> None:
    assert main(["convert", "a.cfg", "a.weights", "-o", "out/a.ifq", "--names", "names"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"layer  0: +9 channels x accumulators -6885\.\.6885: equal", lines[0])
    assert re.match(r"layer  4: +12 channels x accumulators -243\.\.243: equal", lines[1])
    values = 9 * (2 * 6885 + 1) + 12 * (2 * 243 + 1)
    assert lines[2].startswith(f"proved: {values:,} levels of 21 channels, integer == float64")
    assert lines[3] == f"out/a.ifq: {Path('out/a.ifq').stat().st_size:,} bytes"
    program = Program.load("out/a.ifq")
    assert program.class_names == ("visage",)
    assert program.fraction_bits == 14
    assert program.proof["values"] == values
    digest = hashlib.sha256(Path("a.weights").read_bytes()).hexdigest()
    assert (program.provenance["weights"], program.provenance["sha256"]) == ("a.weights", digest)
    assert program.provenance["images_seen"] == "640"


def test_the_program_is_that_of_the_library(folder: Path) -> None:
    assert main(["convert", "a.cfg", "a.weights", "-o", "a.ifq", "--fraction-bits", "9"]) == 0
    network = Network.load("a.cfg")
    parameters = random_parameters(network, np.random.default_rng(0))
    program = Program.load("a.ifq")
    expected = convert(network, parameters, fraction_bits=9, provenance=program.provenance).program
    assert program.to_bytes() == expected.to_bytes()


def test_separated_conversion_is_told_in_the_program(folder: Path, capsys: Run) -> None:
    assert main(["convert", "a.cfg", "a.weights", "-o", "a.ifq", "--separated", "8"]) == 0
    network, program = Network.load("a.cfg"), Program.load("a.ifq")
    parameters = random_parameters(network, np.random.default_rng(0))
    expected = convert(
        network, parameters, provenance=program.provenance, separated_m=dict.fromkeys(range(3), 8)
    ).program
    assert program.to_bytes() == expected.to_bytes()
    assert program.provenance["separated"] == "m = 8"
    assert not np.array_equal(program.layers[0].thresholds, convert(network, parameters).program.layers[0].thresholds)


def refused(arguments: list[str], capsys: Run) -> str:
    before = {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}
    assert main(["convert", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"tinier-yolo: [^\n]+\n", captured.err), captured.err
    assert {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()} == before
    return captured.err


def test_bad_input_is_refused_in_one_line(folder: Path, root: Path, capsys: Run) -> None:
    output = ["-o", "a.ifq"]
    assert "no.cfg: cannot read" in refused(["no.cfg", "a.weights", *output], capsys)
    assert "no.weights: cannot read" in refused(["a.cfg", "no.weights", *output], capsys)
    Path("short.weights").write_bytes(Path("a.weights").read_bytes()[:-4])
    assert "short.weights" in refused(["a.cfg", "short.weights", *output], capsys)
    Path("empty.weights").touch()
    assert "empty.weights" in refused(["a.cfg", "empty.weights", *output], capsys)
    assert "expected a name that ends in .ifq" in refused(["a.cfg", "a.weights", "-o", "a.weights"], capsys)
    assert "fraction bits" in refused(["a.cfg", "a.weights", *output, "--fraction-bits", "31"], capsys)
    assert "bad m of --separated (expected 1..30, found 0)" in (
        refused(["a.cfg", "a.weights", *output, "--separated", "0"], capsys)
    )
    assert "cannot write" in refused(["a.cfg", "a.weights", "-o", "names/a.ifq"], capsys)
    Path("two").write_text("face\nhand\n")
    assert "expected 1, found 2" in refused(["a.cfg", "a.weights", *output, "--names", "two"], capsys)
    Path("float.cfg").write_text(Path("a.cfg").read_text().replace("binary=1", "binary=0"))
    assert "float.cfg: line 6, [convolutional]: not a quantised substructure: its convolution lacks binary=1" in (
        refused(["float.cfg", "a.weights", *output], capsys)
    )

"""``tinier-yolo summary``: the tables of the shipped cfgs word for word, and what else it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import small_ifq
from tinier_yolo.cli import main
from tinier_yolo.ifq.program import Program

Run = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["tiny-yolo-face", "tinier-yolo-face", "ifq-tiny-yolo-face", "ifq-tinier-yolo-face"])
def test_the_shipped_networks(root: Path, name: str, capsys: Run) -> None:
    cfg = root / "cfg" / f"{name}.cfg"
    assert main(["summary", str(cfg)]) == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first == f"{cfg}: {cfg.stat().st_size:,} bytes on disk"
    assert rest == (root / "tests" / "golden" / f"summary_{name}.txt").read_text()


def test_substructures_of_a_network_that_is_quantised_in_part(root: Path, capsys: Run) -> None:
    assert main(["summary", str(root / "cfg" / "ifq-alexnet.cfg")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-8] == "7 substructures, of which 2, 3, 4, 5, 6 are quantised"
    assert lines[-1] == "substructure 7: connected, batchnorm, activation, connected"


def test_program_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Run) -> None:
    monkeypatch.chdir(tmp_path)
    small_ifq.write_model(tmp_path)
    table = {}
    for arguments in (["small.ifq"], ["small.weights", "--cfg", "small.cfg"], ["small.cfg"]):
        assert main(["summary", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{arguments[0]}: {Path(arguments[0]).stat().st_size:,} bytes on disk"
        end = next(i for i, line in enumerate(lines) if line.startswith("maps: "))
        table[arguments[0]] = lines[1:end]
        if arguments[0] == "small.ifq":
            assert lines[end + 1] == "classes: face; images: letterbox, rgb"
            assert lines[end + 2] == "output in units of 2^-14"
            assert lines[end + 3].startswith("proof: channels 40, ")
            assert lines[-1] == f"sha256: {Program.load('small.ifq').metadata['sha256']}"
        elif arguments[0] == "small.weights":
            assert lines[-1].endswith("0 images seen")
    assert table["small.ifq"] == table["small.weights"] == table["small.cfg"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["small.weights"], "small.weights: weights without their cfg (expected --cfg FILE)"),
        (["small.ifq", "--cfg", "small.cfg"], "small.ifq: an .ifq needs no cfg"),
        (["no.ifq"], "no.ifq: cannot read the model"),
        (["broken.ifq"], "broken.ifq: truncated"),
        (["small.ifq", "--cfg", "no.cfg"], "small.ifq: an .ifq needs no cfg"),
        (["small.weights", "--cfg", "other.cfg"], "small.weights"),
    ],
)
def test_bad_input_is_refused(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    model, _, _ = small_ifq.write_model(tmp_path)
    Path("broken.ifq").write_bytes(model.read_bytes()[:-9])
    Path("other.cfg").write_text(small_ifq.CFG.replace("filters=8", "filters=9", 1))
    assert main(["summary", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tinier-yolo: {problem}")
    assert captured.err.count("\n") == 1

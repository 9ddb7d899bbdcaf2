"""``tinier-yolo export``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import small_ifq
from tinier_yolo.benchmark.network import random_parameters
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights

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


def test_onnx_and_qonnx_write_one_file(model: str, capsys: Run) -> None:
    assert main(["export", "onnx", model, "-o", "out/a.onnx"]) == 0
    assert main(["export", "qonnx", model, "-o", "out/q.onnx", "--size", "64x96"]) == 0
    assert main(["export", "onnx", "small.cfg", "--weights", "small.weights", "-o", "out/w.onnx"]) == 0
    captured = capsys.readouterr()
    assert [line.partition(":")[0] for line in captured.out.splitlines()] == ["out/a.onnx", "out/q.onnx", "out/w.onnx"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.onnx", "q.onnx", "w.onnx"]
    assert Path("out/a.onnx").read_bytes() == Path("out/w.onnx").read_bytes()
    # Half of the small model's scales are negative.
    assert "pooled before their thresholds" in captured.err


def test_onnx_of_a_float_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = Network.parse(FLOAT_CFG)
    Path("float.cfg").write_text(FLOAT_CFG)
    save_weights("float.weights", network, random_parameters(network))
    assert main(["export", "onnx", "float.cfg", "--weights", "float.weights", "-o", "float.onnx"]) == 0
    assert Path("float.onnx").stat().st_size > 300


FLOAT_CFG = (
    "[net]\nwidth=64\nheight=32\nchannels=3\n\n[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=2\npad=1\n"
    "activation=leaky\n\n[maxpool]\nsize=2\nstride=1\n\n[convolutional]\nfilters=6\nsize=1\nactivation=linear\n\n"
    "[region]\nanchors=1,1.2\nclasses=1\ncoords=4\nnum=1\nsoftmax=1\n"
)


def test_web_writes_one_page(model: str, capsys: Run) -> None:
    assert main(["export", "web", model, "-o", "out"]) == 0
    assert [path.name for path in Path("out").iterdir()] == ["index.html"]
    assert "out/index.html: " in capsys.readouterr().out
    assert "small.ifq" in Path("out/index.html").read_text()


REFUSED_ONNX = {
    "not an .ifq": (["onnx", "text.ifq", "-o", "out.onnx"], "text.ifq: not an .ifq file"),
    "no such file": (["qonnx", "gone.ifq", "-o", "out.onnx"], "gone.ifq: cannot read the model"),
    "another suffix": (["qonnx", "small.ifq", "-o", "out.txt"], "expected a name that ends in .onnx"),
    "below a file": (["onnx", "small.ifq", "-o", "text.ifq/out.onnx"], "text.ifq/out.onnx: cannot write"),
    "a size": (["onnx", "small.ifq", "-o", "out.onnx", "--size", "100"], "not a multiple of the network's stride"),
    "web: not an .ifq": (["web", "text.ifq", "-o", "out"], "text.ifq: not an .ifq file"),
    "web: a file as the folder": (["web", "small.ifq", "-o", "text.ifq"], "text.ifq: not a folder"),
    "no weights": (["onnx", "small.cfg", "-o", "out.onnx"], "small.cfg: a cfg without its weights"),
    "two weights": (["onnx", "small.ifq", "--weights", "small.weights", "-o", "out.onnx"], "has its own weights"),
    "other weights": (["onnx", "small.cfg", "--weights", "text.ifq", "-o", "out.onnx"], "text.ifq: "),
}

REFUSED = {
    "not an .ifq": (["text.ifq", "-o", "out"], "text.ifq: not an .ifq file"),
    "no such file": (["gone.ifq", "-o", "out"], "gone.ifq: cannot read the model"),
    "no identifier": (["small.ifq", "-o", "out", "--name", "my-face"], "not a name for C functions"),
    "a keyword": (["small.ifq", "-o", "out", "--name", "int"], "not a name for C functions"),
    "a file as the folder": (["small.ifq", "-o", "text.ifq"], "text.ifq: not a folder"),
    "below a file": (["small.ifq", "-o", "text.ifq/out"], "text.ifq/out: cannot write into the output folder"),
}


@pytest.mark.parametrize("case", [*REFUSED.values(), *REFUSED_ONNX.values()], ids=[*REFUSED, *REFUSED_ONNX])
def test_bad_use_is_one_line_and_nothing_is_written(model: str, case: tuple[list[str], str], capsys: Run) -> None:
    Path("text.ifq").write_text("This is a letter, not a model.\n" * 20)
    before = sorted(Path.cwd().rglob("*"))
    arguments, message = case
    if case in REFUSED.values():
        arguments = ["c99", *arguments]
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"tinier-yolo: [^\n]+\n", captured.err)
    assert message in captured.err
    assert sorted(Path.cwd().rglob("*")) == before

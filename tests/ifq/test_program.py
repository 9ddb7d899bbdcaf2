"""The .ifq file: both directions, its size, and that no bit of it can change unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from tests.networks import REGION, Block, ifq_cfg, random_image, random_parameters, random_program
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError, ProgramError
from tinier_yolo.ifq import container
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.quantization.convert import convert


def small_program(bits: int = 2) -> Program:
    network = Network.parse(ifq_cfg([Block(5, pool=(2, 2), bits=bits), Block(11, bits=bits)], 32, 32) + REGION)
    parameters = random_parameters(network, np.random.default_rng(0))
    return convert(network, parameters, class_names=("Gesicht \u00e4",), provenance={"weights": "x"}).program


@pytest.fixture(scope="module")
def tinier(root: Path) -> Program:
    network = Network.load(root / "cfg" / "ifq-tinier-yolo-face.cfg")
    provenance = {"weights": "ifq-tinier-yolo-face.weights", "sha256": "0" * 64, "converter": "tinier-yolo 0.1.0"}
    return convert(network, random_parameters(network, np.random.default_rng(1)), provenance=provenance).program


def assert_same(a: Program, b: Program) -> None:
    assert (a.class_names, a.fraction_bits, a.network.text) == (b.class_names, b.fraction_bits, b.network.text)
    assert (a.provenance, a.proof) == (b.provenance, b.proof)
    for mine, yours in zip((*a.layers, a.output), (*b.layers, b.output), strict=True):
        np.testing.assert_array_equal(mine.signs, yours.signs)
        assert mine.input_bits == yours.input_bits
        if isinstance(mine, QuantizedLayer):
            assert isinstance(yours, QuantizedLayer)
            assert (mine.pool is None, mine.bits) == (yours.pool is None, yours.bits)
            np.testing.assert_array_equal(mine.thresholds, yours.thresholds)
            np.testing.assert_array_equal(mine.flips, yours.flips)
        elif isinstance(mine, OutputLayer):
            assert isinstance(yours, OutputLayer)
            np.testing.assert_array_equal(mine.multipliers, yours.multipliers)
            np.testing.assert_array_equal(mine.biases, yours.biases)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_what_is_saved_is_loaded(tmp_path: Path, bits: int) -> None:
    program = small_program(bits)
    program.save(tmp_path / "model.ifq")
    loaded = Program.load(tmp_path / "model.ifq")
    assert_same(program, loaded)
    assert loaded.to_bytes() == program.to_bytes() == (tmp_path / "model.ifq").read_bytes()


def test_ifq_tinier_yolo_is_at_most_246000_bytes(tinier: Program) -> None:
    assert len(tinier.to_bytes()) <= 246_000


def test_metadata(tinier: Program) -> None:
    metadata = tinier.metadata
    assert (metadata["format"], metadata["version"]) == ("ifq", "1")
    assert metadata["cfg"] == tinier.network.text
    assert json.loads(metadata["names"]) == ["face"]
    assert (metadata["resize"], metadata["colours"], metadata["fraction_bits"]) == ("letterbox", "rgb", "14")
    assert json.loads(metadata["provenance"])["weights"] == "ifq-tinier-yolo-face.weights"
    assert json.loads(metadata["proof"])["channels"] == 1528
    assert len(metadata["sha256"]) == 64


def test_the_shapes_of_its_maps_are_those_of_the_network(tinier: Program) -> None:
    for height, width in ((416, 416), (32, 320), (224, 160)):
        resized = tinier.network.resized(width, height)
        chain = integer_chain(resized)
        expected = (resized.input, *(part.layers[-1].output for part in chain[:-1]), chain[-1].convolution.output)
        shapes = tinier.shapes(height, width)
        assert shapes == expected
        for part, layer, shape in zip(chain, (*tinier.layers, tinier.output), shapes, strict=False):
            assert layer.convolved(shape) == part.convolution.output
            assert layer.macs(shape) == part.convolution.macs


def test_sizes_that_the_network_cannot_take(tinier: Program) -> None:
    for height, width, problem in (
        (416, 400, "multiple of the network's stride"),
        (0, 416, "bad size"),
        (1 << 20, 32, "bad size"),
    ):
        with pytest.raises(CfgError, match=problem):
            tinier.shapes(height, width)
    rng = np.random.default_rng(0)
    text = ifq_cfg([Block(4, padding=0), Block(4, padding=0)], 16, 16)
    program = random_program(text, rng, random_image(rng, 16, 16))
    assert program.shapes(5, 6)[-1] == (6, 1, 2)
    with pytest.raises(CfgError, match=r"line \d+.*: the map has become too small or too large \(found 3x2x4 -> 1x0x4"):
        program.shapes(4, 5)


def test_it_is_a_safetensors_file(tmp_path: Path, tinier: Program) -> None:
    tinier.save(tmp_path / "model.ifq")
    with safe_open(tmp_path / "model.ifq", "numpy") as file:
        assert file.metadata() == tinier.metadata
        assert file.get_tensor("0.thresholds").dtype == np.int16
        np.testing.assert_array_equal(file.get_tensor("7.thresholds"), tinier.layers[7].thresholds)
        assert file.get_tensor("6.weights").nbytes == 9 * 256 * 512 // 8


def test_int32_thresholds_where_int16_is_too_narrow() -> None:
    blocks = [Block(250, size=1, padding=0, bits=4), Block(3, bits=4)]
    network = Network.parse(ifq_cfg(blocks, 4, 4) + REGION)
    program = convert(network, random_parameters(network, np.random.default_rng(3))).program
    tensors, _ = container.unpack(program.to_bytes())
    assert (tensors["0.thresholds"].dtype, tensors["1.thresholds"].dtype) == (np.int16, np.int32)
    assert_same(Program.from_bytes(program.to_bytes()), program)


def refusal(data: bytes) -> str:
    with pytest.raises(ProgramError) as caught:
        Program.from_bytes(data, "model.ifq")
    message = str(caught.value)
    assert message.startswith("model.ifq: ")
    assert "\n" not in message
    return message


def test_every_flipped_bit_of_a_small_file_is_found() -> None:
    data = small_program().to_bytes()
    for position in range(len(data)):
        for bit in (0, 3, 5, 7) if position % 3 else range(8):
            refusal(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])


def test_flipped_bits_of_a_real_file_are_found(tinier: Program) -> None:
    data = tinier.to_bytes()
    rng = np.random.default_rng(2)
    for position in rng.choice(len(data), 300, replace=False).tolist():
        refusal(data[:position] + bytes([data[position] ^ 1 << int(rng.integers(8))]) + data[position + 1 :])


def test_truncated_and_longer_files_are_refused() -> None:
    data = small_program().to_bytes()
    assert "an empty file" in refusal(b"")
    for length in (*range(1, 40), *range(40, len(data), 17), len(data) - 1):
        refusal(data[:length])
    for more in (b"\0", b" ", data):
        refusal(data + more)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for data in (
        b"This is a letter, not a model.\n" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(4096),
        b"\xff" * 64,
    ):
        assert "not an .ifq file" in refusal(data)
    deep = b"[" * 100_000
    assert "header cannot be read" in refusal(len(deep).to_bytes(8, "little") + b'{"' + deep)
    with pytest.raises(ProgramError, match=r"no\.ifq: cannot read the model \(found No such file"):
        Program.load(tmp_path / "no.ifq")
    with pytest.raises(ProgramError, match="cannot read the model"):
        Program.load(tmp_path)


def test_a_safetensors_file_of_somebody_else_is_refused() -> None:
    serialized = container._serialize({"a": np.zeros(3, np.uint8)}, {"format": "pt"})
    assert "not a file that this version reads (expected ifq 1, found pt None)" in refusal(serialized)
    _, metadata = container.unpack(small_program().to_bytes())
    assert "expected ifq 1, found ifq 2" in refusal(container._serialize({}, {**metadata, "version": "2"}))


def test_the_same_content_in_another_order_is_refused() -> None:
    data = small_program().to_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    shuffled = json.dumps(dict(reversed(header.items())), separators=(",", ":"), ensure_ascii=False).encode()
    assert "checksum" in refusal(data[:8] + shuffled.ljust(size) + data[8 + size :])


def test_forged_content_is_refused() -> None:
    tensors, metadata = container.unpack(small_program().to_bytes())
    thresholds, multipliers = tensors["0.thresholds"], tensors["2.multipliers"]

    def said(change_tensors: dict[str, object], change_metadata: dict[str, str]) -> str:
        changed = {
            name: np.asarray(value) for name, value in {**tensors, **change_tensors}.items() if value is not None
        }
        return refusal(container.pack(changed, {**metadata, **change_metadata}))

    assert "out of order or range" in said({"0.thresholds": thresholds[:, ::-1].copy()}, {})
    assert "out of order or range" in said({"0.thresholds": np.full_like(thresholds, 32_000)}, {})
    assert "leave int32" in said({"2.multipliers": np.full_like(multipliers, 1 << 30)}, {})
    assert "0.thresholds is int16" in said({"0.thresholds": thresholds[:-1]}, {})
    assert "0.weights" in said({"0.weights": None}, {})
    assert "tensor 9.weights belongs to no layer" in said({"9.weights": np.zeros(1, np.uint8)}, {})
    assert "line 1: not a program: unknown section [nett]" in said({}, {"cfg": "[nett]\n"})
    assert "contradict" in said({}, {"resize": "stretch"})
    assert "contradict" in said({}, {"colours": "bgr"})
    assert "contradict" in said({}, {"note": "hello"})
    for key, value in (("names", "["), ("fraction_bits", "many"), ("proof", "x"), ("cfg", "")):
        said({}, {key: value})

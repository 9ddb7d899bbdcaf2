from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import small_ifq
from tests.random_fixed_point import random_program
from tinier_yolo.errors import ProgramError
from tinier_yolo.ifq import container
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram, pack_integers, unpack_integers
from tinier_yolo.ifq.load import load_program
from tinier_yolo.ifq.program import Program


@pytest.mark.parametrize("bits", [2, 3, 8, 11, 16])
def test_integers_of_any_width_come_back_and_take_their_bits(bits: int) -> None:
    numbers = np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), (3, 5, 7)).astype(np.int16)
    packed = pack_integers(numbers, bits)
    assert packed.size == -(-105 * bits // 8)
    assert (unpack_integers(packed, (3, 5, 7), bits) == numbers).all()


def test_a_program_comes_back(tmp_path: Path) -> None:
    program = random_program(np.random.default_rng(5), layers=3)
    program.save(tmp_path / "a.ifq")
    loaded = load_program(tmp_path / "a.ifq")
    assert isinstance(loaded, FixedPointProgram)
    assert loaded.to_bytes() == program.to_bytes()
    for one, other in zip(loaded.layers, program.layers, strict=True):
        assert (one.weights == other.weights).all()
        assert (one.biases == other.biases).all()
        assert (one.formats, one.read) == (other.formats, other.read)
    assert loaded.fraction_bits == program.layers[-1].formats.maps.fraction


def test_binary_programs_are_loaded_too(tmp_path: Path) -> None:
    path, _, _ = small_ifq.write_model(tmp_path)
    assert isinstance(load_program(path), Program)
    with pytest.raises(ProgramError, match="the arithmetic is another one"):
        FixedPointProgram.load(path)


def changed(**texts: str) -> bytes:
    """A valid container of a program whose metadata say something else."""
    program = random_program(np.random.default_rng(5), layers=2)
    tensors, metadata = container.unpack(program.to_bytes())
    return container.pack(tensors, {**metadata, **texts})


def formats(*path: Any, value: object) -> bytes:
    """The same with one number of the formats replaced."""
    program = random_program(np.random.default_rng(5), layers=2)
    content = json.loads(program.metadata["formats"])
    where = content
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    return changed(formats=json.dumps(content, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize(
    "data",
    [
        changed(formats="[]"),
        changed(formats="{}"),
        changed(formats="[1, 2]"),
        changed(formats="[" * 100_000),
        changed(names="[1]"),
        changed(names='["face", "' + "x" * 2000 + '"]'),
        changed(provenance="[1]"),
        changed(provenance="7"),
        changed(cfg="[net]\nwidth=8\nheight=8\n"),
        changed(arithmetic="floating"),
        changed(extra="1"),
        formats(0, "weights", 0, value=17),
        formats(0, "weights", 0, value=True),
        formats(0, "weights", 0, value=15),
        formats(0, "weights", 1, value=1000),
        formats(0, "weights", 2, value=0),
        formats(0, "weights", 2, value=3),
        formats(0, "maps", 1, value=-60),
        formats(0, "biases", 1, value=60),
        formats(1, "maps", 1, value=63),
        formats(0, "maps", value=[8]),
        formats(0, value={}),
    ],
)
def test_hostile_metadata_are_one_clear_error(data: bytes) -> None:
    with pytest.raises(ProgramError, match=r"^x\.ifq"):
        FixedPointProgram.from_bytes(data, "x.ifq")


def test_weights_that_could_overflow_are_refused() -> None:
    text = (
        "[net]\nwidth=1\nheight=1\nchannels=512\n[convolutional]\nfilters=1\nsize=1\nactivation=linear\n"
        "[convolutional]\nfilters=1\nsize=1\nactivation=linear\n"
    )
    names = {"cfg": text, "arithmetic": "fixed-point", "names": '["face"]', "provenance": "{}"}
    names |= {"colours": "rgb", "resize": "letterbox"}
    layers = [{"biases": [2, 0, 1], "maps": [8, 0, 1], "weights": [16, 0, 1]}] * 2
    names["formats"] = json.dumps(layers, separators=(",", ":"))
    tensors = {
        "0.weights": pack_integers(np.full((1, 512, 1, 1), 32767, np.int16), 16),
        "0.biases": pack_integers(np.zeros(1, np.int16), 2),
        "1.weights": pack_integers(np.zeros((1, 1, 1, 1), np.int16), 16),
        "1.biases": pack_integers(np.zeros(1, np.int16), 2),
    }
    with pytest.raises(ProgramError, match="an accumulator that reaches 4278059"):
        FixedPointProgram.from_bytes(container.pack(tensors, names))
    tensors["0.weights"] = pack_integers(np.full((1, 512, 1, 1), 16000, np.int16), 16)
    assert len(FixedPointProgram.from_bytes(container.pack(tensors, names)).layers) == 2


@pytest.mark.parametrize(
    ("side", "channels", "pool"), [(16384, 8, ""), (4096, 1, "[maxpool]\nsize=31\nstride=1\n")], ids=["maps", "pool"]
)
def test_a_program_that_asks_for_too_much_memory_is_refused(side: int, channels: int, pool: str) -> None:
    text = f"[net]\nwidth={side}\nheight={side}\nchannels={channels}\n[convolutional]\nfilters={channels}\nsize=1\n"
    names = {"cfg": f"{text}activation=linear\n{pool}", "arithmetic": "fixed-point", "names": '["face"]'}
    names |= {"provenance": "{}", "formats": '[{"biases":[2,0,1],"maps":[8,0,1],"weights":[2,0,1]}]'}
    tensors = {"0.weights": np.zeros(channels * channels // 4 or 1, np.uint8)}
    tensors["0.biases"] = np.zeros(channels // 4 or 1, np.uint8)
    with pytest.raises(ProgramError, match="maps too large for a program"):
        FixedPointProgram.from_bytes(container.pack(tensors, names))


@pytest.mark.parametrize("name", ["\\ud800", "two\\nlines"])
def test_names_that_are_no_text_of_one_line_are_refused(name: str) -> None:
    data = random_program(np.random.default_rng(5), layers=3).to_bytes()
    tensors, names = container.unpack(data, "x.ifq")
    names = {**names, "provenance": f'{{"weights":"{name}"}}'}
    with pytest.raises(ProgramError, match=r"^x\.ifq: not a fixed-point program"):
        FixedPointProgram.from_bytes(container.pack(tensors, names), "x.ifq")

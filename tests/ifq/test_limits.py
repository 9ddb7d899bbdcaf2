"""What a program may ask for is worked out from its shapes, and refused before anything is allocated."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.networks import REGION, Block, ifq_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import CfgError, ProgramError
from tinier_yolo.ifq import container, limits
from tinier_yolo.ifq.program import Program
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import bit_tensor, input_bits, substructure_tensors


def file_of(cfg: str) -> bytes:
    """A file with this cfg, all of whose weights are -1; the checksum is right."""
    chain = integer_chain(Network.parse(cfg))
    tensors = {
        f"{number}.{name}": np.zeros(kind.shape, kind.kind)
        for number, (part, bits) in enumerate(zip(chain, input_bits(chain), strict=True))
        for name, kind in substructure_tensors(part, bits).items()
    }
    filters = sum(part.convolution.filters for part in chain[:-1])
    tensors["flips"] = np.zeros(bit_tensor(filters).shape, np.uint8)
    texts = {"names": '["face"]', "fraction_bits": "14", "provenance": "{}", "proof": "{}"}
    fixed = {"cfg": cfg, "resize": "letterbox", "colours": "rgb", "thresholds": "explicit"}
    return container.pack(tensors, {**fixed, **texts})


TABLES = ifq_cfg([Block(5461, 1, padding=0), Block(128, 2, padding=0)], 12402, 3) + REGION
IMAGE = ifq_cfg([], 16384, 16384) + REGION
POOL = ifq_cfg([Block(8, 1, padding=0, pool=(31, 1))], 4096, 4096) + REGION
WEIGHTS = ifq_cfg([Block(16384, 1, padding=0), Block(16384, 1, padding=0, bits=1)], 1, 1) + REGION
PLANE = ifq_cfg([Block(1024, 1, padding=0)], 16384, 1024) + REGION


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (TABLES, r"line 21, .*: tables too large for a program \(expected at most 134217728 bytes, found \d{10}\)"),
        (IMAGE, r"line 6, .*: too much memory for images of 16384x16384x3 \(expected at most 4096 MiB, found \d+ MiB"),
        (POOL, "too much memory for images of 4096x4096x3"),
        (PLANE, r"a map too large for a program \(expected at most 2147483647 bytes, found 2147483720\)"),
        (WEIGHTS, r"too many weights for a program \(expected at most 134217728, found \d+\)"),
    ],
    ids=["tables", "image", "pool", "plane", "weights"],
)
def test_files_that_ask_for_too_much_are_refused(cfg: str, message: str) -> None:
    data = file_of(cfg)
    tracemalloc.start()
    with pytest.raises(ProgramError, match=message) as caught:
        Program.from_bytes(data, "x.ifq")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith("x.ifq: line ")
    assert peak < 8 * len(data) + (4 << 20)


def test_a_size_asked_for_later_is_decided_anew() -> None:
    program = Program.from_bytes(file_of(ifq_cfg([Block(8)], 64, 64) + REGION))
    assert program.shapes(2048, 2048)[-1] == (6, 2048, 2048)
    with pytest.raises(CfgError, match="too much memory for images of 16384x16384x3"):
        program.shapes(16384, 16384)


def test_bounds_at_their_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program.from_bytes(file_of(ifq_cfg([Block(70, pool=(3, 2)), Block(9)], 64, 64) + REGION))
    works = program.works(64, 64)
    needed = sum(map(limits.kept_bytes, works)) + max(map(limits.passing_bytes, works))
    edges = {
        "MAX_MEMORY": needed,
        "MAX_OFFSET": max(limits._plane(work.read, work.convolution.padding) for work in works),
        "MAX_TABLES": max(map(limits._tables, works)),
        "MAX_SIGNS": sum(limits._signs(work.convolution) for work in works),
    }
    edges["MAX_OFFSET"] = max(edges["MAX_OFFSET"], *(limits._plane(work.convolved, 0) for work in works))
    for name, edge in edges.items():
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, edge)
            program.shapes(64, 64)
            patch.setattr(limits, name, edge - 1)
            with pytest.raises(CfgError):
                program.shapes(64, 64)


def test_thresholds_that_have_no_absolute_value_are_refused() -> None:
    program = Program.from_bytes(file_of(ifq_cfg([Block(250, 1, padding=0, bits=4), Block(3)], 4, 4) + REGION))
    tensors, metadata = container.unpack(program.to_bytes())
    assert [tensors[f"{number}.thresholds"].itemsize for number in (0, 1)] == [2, 4]
    for name in ("0.thresholds", "1.thresholds"):
        least, most = np.iinfo(tensors[name].dtype).min, np.iinfo(tensors[name].dtype).max
        for value in (least, most):
            forged = {**tensors, name: np.full_like(tensors[name], value)}
            with pytest.raises(ProgramError, match="out of order or range"):
                Program.from_bytes(container.pack(forged, metadata))
        forged = {**tensors, name: tensors[name].copy()}
        forged[name][:, 0], forged[name][:, -1] = most, least  # Their difference wraps around to a positive number.
        with pytest.raises(ProgramError, match="out of order or range"):
            Program.from_bytes(container.pack(forged, metadata))

"""The figures of the shipped networks, and that the bytes are those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import small_ifq
from tests.networks import Block, ifq_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq import container
from tinier_yolo.ifq.table import rows


def test_the_figures_of_the_design(root: Path) -> None:
    for name, macs, weights in (("tiny", 3.469e9, 15_758_256), ("tinier", 0.5327e9, 1_850_200)):
        for prefix in ("", "ifq-"):
            table = rows(Network.load(root / "cfg" / f"{prefix}{name}-yolo-face.cfg"))
            assert sum(row.macs for row in table) == pytest.approx(macs, rel=5e-4)
        packed = sum(row.size for row in table if row.weight_bits == 1)
        assert packed == weights // 8 + 8 * 30


def test_bytes_are_those_of_the_tensors(tmp_path: Path) -> None:
    model, _, _ = small_ifq.write_model(tmp_path)
    tensors, _ = container.unpack(model.read_bytes())
    # The table rounds the flips of each layer up to bytes, the file those of all together.
    assert sum(row.size for row in rows(Network.parse(small_ifq.CFG))) == sum(t.nbytes for t in tensors.values())


def test_a_network_that_is_only_partly_quantised() -> None:
    text = ifq_cfg([Block(8, pool=(2, 2)), Block(8)], 32, 32).replace("binary=1", "binary=0", 1)
    table = rows(Network.parse(text))
    assert [row.weight_bits for row in table if row.weight_bits] == [32, 1, 1]
    assert table[0].size == 4 * table[0].parameters
    assert np.prod([row.macs for row in table if row.macs]) > 0

"""What was measured of the machine is found again, and nothing absurd is believed."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.small_ifq import CFG, parameters
from tinier_yolo.darknet.network import Network
from tinier_yolo.quantization.convert import convert
from tinier_yolo.runtime import background
from tinier_yolo.runtime.kernels import costs as costs_module
from tinier_yolo.runtime.kernels.costs import Costs, bounded, costs, store, stored, usual
from tinier_yolo.runtime.kernels.primitives.measure import measure


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(costs_module, "cache_folder", lambda: tmp_path)
    costs.cache_clear()
    yield tmp_path
    costs.cache_clear()


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("costs-*.json")
    return path


def test_what_is_stored_is_found_and_what_is_not_is_usual(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (stored(), costs()) == (None, usual())
    mine = Costs(0.25, usual().word * 0.3, usual().lookup * 0.2, usual().pair * 0.3)
    store(mine)
    assert (stored(), costs()) == (mine, mine)
    monkeypatch.setattr(costs_module, "target", lambda: ("another", "+cpu"))
    assert stored() is None
    store(usual())
    assert len(list(folder.iterdir())) == 2  # machines of two kinds share the folder


def test_nothing_breaks_where_nothing_can_be_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs_module, "cache_folder", lambda: folder / "file" / "kernels")
    (folder / "file").touch()
    store(usual())
    assert stored() is None
    monkeypatch.setattr(costs_module, "cache_folder", lambda: None)
    store(usual())
    assert (stored(), costs()) == (None, usual())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 3000, "[1, 2]", "null", "{}", '{"slot": 1.0, "word": 6.0, "lookup": 2.0, "pair": 2.0}', "\0\xff"],
)
def test_a_bad_file_counts_as_none(text: str, folder: Path) -> None:
    store(usual())
    the_file(folder).write_bytes(text.encode("latin-1"))
    assert (stored(), costs()) == (None, usual())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slot", 0.0),
        ("slot", -1.0),
        ("word", math.nan),
        ("word", math.inf),
        ("word", 1e6),
        ("lookup", 1e-6),
        ("lookup", "2.0"),
        ("pair", None),
        ("pair", [2.0]),
        ("cpu", "another"),
        ("kernels", "kernels-0"),
    ],
)
def test_a_file_with_one_bad_value_counts_as_none(key: str, value: object, folder: Path) -> None:
    store(usual())
    path = the_file(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert stored() is None
    measure()
    assert stored() is not None


def test_a_long_file_is_not_read(folder: Path) -> None:
    store(usual())
    path = the_file(folder)
    path.write_text(" " * 10_000 + path.read_text())
    assert stored() is None


def test_a_stall_or_a_clock_that_stands_do_not_decide() -> None:
    usually = usual()
    for word in (0.0, -1.0, math.nan, math.inf, 1e-9, 1e9):
        assert 0.1 < bounded(replace(usually, word=word)).word / usually.word < 10
    for slot in (0.0, math.nan, math.inf):
        assert bounded(replace(usually, slot=slot)).slot == 1
    assert bounded(usually) == usually


def test_the_machine_is_measured(folder: Path) -> None:
    found = measure()
    assert found == bounded(found) == stored() == costs()
    assert found != usual()


def test_the_process_that_compiles_measures_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network.parse(CFG)
    program = convert(network, parameters(network)).program
    monkeypatch.setattr("os.nice", lambda _: None, raising=False)
    for part, files in (("1", 0), ("0", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(program.to_bytes())))
        background.main([part, "128", "128", "1"])
        assert len(list(folder.glob("costs-*.json"))) == files
    before = the_file(folder).stat().st_mtime_ns
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(program.to_bytes())))
    background.main(["0", "128", "128", "1"])
    assert the_file(folder).stat().st_mtime_ns == before

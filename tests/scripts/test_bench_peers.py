"""The comparison with other engines: that it runs, and that it notices an engine that computes something else."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import bench_peers
from scripts.peer_runners import PEERS
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.ifq import reference

Run = pytest.CaptureFixture[str]
QUICK = ["--quick", "--networks", "Tinier-YOLO"]


@pytest.fixture
def ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the peer that comes with the package, so that nothing heavy is loaded."""
    monkeypatch.setattr(bench_peers, "PEERS", PEERS[:1])


@pytest.mark.timeout(900)  # It imports every engine there is, and on a busy machine that takes long.
def test_a_quick_run_with_whatever_is_installed(root: Path, tmp_path: Path) -> None:
    # A process of its own: the engines change settings of the whole process.
    arguments = [*QUICK, "--threads", "1", "--json", str(tmp_path / "peers.json")]
    command = [sys.executable, str(root / "scripts/bench_peers.py"), *arguments]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    report = json.loads((tmp_path / "peers.json").read_text())
    assert (report["width"], report["height"], report["rounds"], report["burst"]) == (32, 32, 1, 1)
    rows = {row["engine"]: row for row in report["rows"]}
    assert set(rows) | set(report["missing"]) == {bench_peers.OURS} | {peer.name for peer in PEERS}
    for name, row in rows.items():
        assert (row["network"], row["threads"]) == ("Tinier-YOLO", 1)
        assert 0 < row["best_ms"] <= row["median_ms"]
        assert row["times_ours"] == row["median_ms"] / rows[bench_peers.OURS]["median_ms"]
        assert f"| {name} | {row['median_ms']:.2f} | {row['times_ours']:.1f} | {row['after_pause_ms']:.2f} |" in out
    for name, why in report["missing"].items():
        assert f"Missing: {name} ({why})." in out
    assert "--yunet" in next(why for name, why in report["missing"].items() if "YuNet" in name)
    # Quantised to eight bits, and still about the same map.
    assert all(row["difference"] < 0.3 for row in rows.values() if row["difference"] is not None)
    assert {"numba", "numpy", "opencv-python"} <= set(report["versions"])


def test_a_column_for_each_number_of_threads(ours_alone: None, capsys: Run) -> None:
    assert bench_peers.main([*QUICK, "--threads", "2"]) == 0
    out = capsys.readouterr().out
    one, two = (f"ms, {threads} | times ours | after a pause |" for threads in ("1 thread", "2 threads"))
    assert f"| Tinier-YOLO | {one} {two}\n|---|{'---:|' * 6}\n" in out
    assert bench_peers.main([*QUICK, "--threads", "1"]) == 0
    assert f"| Tinier-YOLO | {one}\n|---|{'---:|' * 3}\n" in capsys.readouterr().out


def test_kernels_that_differ_from_the_reference_end_it(
    ours_alone: None, monkeypatch: pytest.MonkeyPatch, capsys: Run
) -> None:
    right = reference.run_maps

    def wrong(*arguments: Any) -> Any:
        maps, output = right(*arguments)
        output[0, 0, 0] += 1
        return maps, output

    monkeypatch.setattr(reference, "run_maps", wrong)
    assert bench_peers.main(QUICK) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "map 8, 1 threads: the kernels and the reference differ" in captured.err


def test_a_peer_that_computes_another_map_ends_it() -> None:
    first, second = (peer.name for peer in PEERS[:2])
    expected = np.arange(6.0).reshape(1, 6, 1, 1)
    assert bench_peers.check_maps({first: lambda: expected, second: lambda: expected + 1e-4})[second] > 0
    with pytest.raises(TinierYoloError, match="computes another map"):
        bench_peers.check_maps({first: lambda: expected, second: lambda: expected + 0.1})


def test_bursts_are_interleaved_and_of_equal_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []
    monkeypatch.setattr(bench_peers.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(bench_peers.time, "sleep", lambda _: calls.append("-"))

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        clock[0] += seconds

    runs = {"a": partial(run, "a", 0.25), "b": partial(run, "b", 0.5), "c": partial(run, "c", 8.0)}
    turns = bench_peers.interleave(runs, rounds=2, burst=1.0)
    assert "".join(calls) == "-aaaaa-bbb-cc" * 2
    assert turns["a"] == ([0.25] * 2, [0.25] * 8)
    assert turns["c"] == ([8.0] * 2, [8.0] * 2)


def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Run) -> None:
    assert bench_peers.main(["--size", "100"]) == 2
    assert "not a multiple of the network's stride" in capsys.readouterr().err
    monkeypatch.setattr(bench_peers, "PEERS", (PEERS[0], PEERS[-1]))
    assert bench_peers.main([*QUICK, "--yunet", str(tmp_path / "no.onnx")]) == 2
    assert "no.onnx: OpenCV cannot read this as YuNet" in capsys.readouterr().err

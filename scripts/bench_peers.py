"""The speed of the integer engine beside what a user would pick instead, on the same layers and the same machine.

All engines run in this one process, in rounds, a burst each in turn: what disturbs the machine disturbs them all.
Bursts have equal durations, not equal numbers of runs: a CPU takes some milliseconds to reach its clock after a pause,
and of few runs the shortest would pay most for it. What a single frame after a pause takes, as of a camera, is a column
of its own. The weights are random; no engine here is faster or slower for it. The float engines run the float network
of the same layers. In the same run the integer engine's maps are compared with the reference, to the last bit, and the
float maps with each other. An engine that is not installed is named as missing.

    python scripts/bench_peers.py [--size 416] [--threads 2] [--yunet face_detection_yunet.onnx] [--json peers.json]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import reporting  # noqa: E402
from scripts.peer_runners import PEERS, Run, Workload, integer_engine, versions  # noqa: E402
from tinier_yolo.benchmark.network import Timing, random_parameters  # noqa: E402
from tinier_yolo.benchmark.peak import machine  # noqa: E402
from tinier_yolo.cli.options import count, size  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.errors import TinierYoloError  # noqa: E402
from tinier_yolo.ifq import reference  # noqa: E402
from tinier_yolo.quantization.convert import convert  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402

OURS = "tinier-yolo (integers)"
NETWORKS = {"Tinier-YOLO": "tinier-yolo-face", "Tiny-YOLO": "tiny-yolo-face"}
#: Two float engines' maps differ by less than this part of the largest value.
TOLERANCE = 1e-3
#: Seconds before an engine's turn: the other engines' threads, which wait awake for a while, fall asleep, and the CPU's
#: clock sinks, as between frames of a camera.
PAUSE = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write the JSON file if one is named."""
    args = _parser().parse_args(argv)
    if args.quick:
        args.size, args.rounds, args.burst = (32, 32), 1, 1
    return reporting.run("bench_peers", args, measure, markdown)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the tables show.

    Raises:
        TinierYoloError: bad input, or an engine that computes something else.
    """
    width, height = (args.size, args.size) if isinstance(args.size, int) else args.size
    counts = sorted({1, args.threads})
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for title in args.networks:
            workload = _workload(title, width, height, Path(folder) / title, args.yunet)
            missing |= {peer.name: why for peer in PEERS if (why := peer.missing(workload))}
            for threads in counts:
                found = _measure_network(workload, threads, args.rounds, args.burst)
                rows += [{"network": title, "threads": threads, **row} for row in found]
    return {
        "machine": {**machine(), "name": _cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": versions(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "width": width,
        "height": height,
        "rounds": args.rounds,
        "burst": args.burst,
        "rows": rows,
        "missing": missing,
    }


def _workload(title: str, width: int, height: int, folder: Path, yunet: Path | None) -> Workload:
    folder.mkdir()
    cfg, integer_cfg = (ROOT / "cfg" / f"{prefix}{NETWORKS[title]}.cfg" for prefix in ("", "ifq-"))
    network, integer = Network.load(cfg).resized(width, height), Network.load(integer_cfg)
    program = convert(integer, random_parameters(integer)).program
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Workload(cfg, network, random_parameters(network), program, image, folder, yunet)


def _measure_network(workload: Workload, threads: int, rounds: int, burst: int) -> list[dict[str, Any]]:
    check_bits(workload, threads)
    runs: dict[str, Run] = {OURS: integer_engine(workload, threads)}
    runs |= {peer.name: peer.make(workload, threads) for peer in PEERS if not peer.missing(workload)}
    differences = check_maps(runs)
    turns = interleave(runs, rounds, burst / 1e3)
    timings = {name: Timing.of(turn.steady) for name, turn in turns.items()}
    ours = timings[OURS].median
    return [
        {
            "engine": name,
            "median_ms": timing.median,
            "best_ms": timing.best,
            "times_ours": timing.median / ours,
            "after_pause_ms": Timing.of(turns[name].after_pause).median,
            "difference": differences.get(name),
        }
        for name, timing in timings.items()
    ]


class Turns(NamedTuple):
    """Seconds of an engine's runs: the first one after each pause, and those that follow it."""

    after_pause: list[float]
    steady: list[float]


def interleave(runs: Mapping[str, Run], rounds: int, burst: float) -> dict[str, Turns]:
    """Time the engines in turns: in every round each gets a run after a pause, and then runs for ``burst`` seconds."""
    turns = {name: Turns([], []) for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE)
            turns[name].after_pause.append(_seconds(run))
            end = time.perf_counter() + burst
            turns[name].steady.append(_seconds(run))
            while time.perf_counter() < end:
                turns[name].steady.append(_seconds(run))
    return turns


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def check_bits(workload: Workload, threads: int) -> None:
    """Compare every map of the integer engine with the reference.

    Raises:
        TinierYoloError: they differ.
    """
    found, output = Engine(workload.program, threads).run_maps(workload.image)
    expected, expected_output = reference.run_maps(workload.program, workload.image)
    equal = [np.array_equal(mine, wanted) for mine, wanted in zip(found, expected, strict=True)]
    equal.append(np.array_equal(output, expected_output))
    if not all(equal):
        place = f"map {equal.index(False)}, {threads} threads"
        raise TinierYoloError("the kernels and the reference differ", place=place)


def check_maps(runs: Mapping[str, Run]) -> dict[str, float]:
    """The largest difference of each peer's map from the first peer's, as a part of the largest value.

    Raises:
        TinierYoloError: a float map that differs by more than rounding explains.
    """
    networks = {peer.name: peer for peer in PEERS if peer.name in runs and "YuNet" not in peer.name}
    maps = {name: np.squeeze(np.array(runs[name](), np.float32)) for name in networks}
    expected = maps[PEERS[0].name]
    differences = {}
    for name, found in maps.items():
        differences[name] = float(np.abs(found.reshape(expected.shape) - expected).max() / np.abs(expected).max())
        if networks[name].exact and not differences[name] < TOLERANCE:
            raise TinierYoloError(f"{name} computes another map", expected=TOLERANCE, found=differences[name])
    return differences


def markdown(report: dict[str, Any]) -> Iterator[str]:
    """The tables, what they were measured on, and who is missing."""
    about = report["machine"]
    installed = ", ".join(f"{package} {number}" for package, number in report["versions"].items())
    yield f"{about['name']} ({about['cpu']}, {about['vectors']}), {about['cores']} cores;"
    yield f"Python {about['python']}, {installed}."
    yield f"Network only, batch 1, {report['width']}x{report['height']}, random weights, medians of"
    yield f"{report['rounds']} interleaved rounds of {report['burst']} ms each; a frame after {PAUSE * 1e3:.0f} ms."
    yield "The integer maps equal the reference."
    for network in dict.fromkeys(row["network"] for row in report["rows"]):
        yield ""
        yield from _table(network, [row for row in report["rows"] if row["network"] == network])
    if report["missing"]:
        yield ""
        yield from (f"Missing: {name} ({why})." for name, why in report["missing"].items())


def _table(network: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    counts = sorted({row["threads"] for row in rows})
    heads = [f"ms, {threads} thread{'s' * (threads > 1)} | times ours | after a pause" for threads in counts]
    yield f"| {network} | " + " | ".join(heads) + " |"
    yield "|---|" + "---:|---:|---:|" * len(counts)
    for name in dict.fromkeys(row["engine"] for row in rows):
        own = [row for row in rows if row["engine"] == name]
        cells = [f"{row['median_ms']:.2f} | {row['times_ours']:.1f} | {row['after_pause_ms']:.2f}" for row in own]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Our speed beside other engines' on the same layers.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: both")
    parser.add_argument("--size", type=size, default=416, metavar="N|WxH", help="the networks' input (default 416)")
    parser.add_argument(
        "--threads", type=count, default=os.cpu_count() or 1, metavar="N", help="beside 1 (default: one a core)"
    )
    parser.add_argument("--rounds", type=count, default=20, metavar="N", help="rounds (default 20)")
    parser.add_argument(
        "--burst", type=count, default=100, metavar="MS", help="how long an engine runs in a round (default 100 ms)"
    )
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="OpenCV's YuNet too, from its .onnx")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--quick", action="store_true", help="one run at 32x32: does it work?")
    return parser


if __name__ == "__main__":
    sys.exit(main())

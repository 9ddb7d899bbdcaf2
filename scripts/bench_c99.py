"""The exported C beside the Numba kernels: the shipped model's frame, in one process, in interleaved rounds.

Every build is first proven: its golden maps, all layers, and at the measured size its output map against the reference.
What is counted is the CPU time of the one thread, so that other work on the machine disturbs little.

    python scripts/bench_c99.py [--size 416] [--rounds 20] [--burst 5] [--json c99.json]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import reporting  # noqa: E402
from scripts.exported_c import NAME, Exported, call  # noqa: E402
from tinier_yolo.benchmark.network import Timing  # noqa: E402
from tinier_yolo.benchmark.peak import machine  # noqa: E402
from tinier_yolo.cli.options import count, size  # noqa: E402
from tinier_yolo.errors import TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.ifq import reference  # noqa: E402
from tinier_yolo.ifq.program import Program  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402
from tinier_yolo.shipped import default_model  # noqa: E402

NUMBA = "Numba kernels, 1 thread"
OPTIONS = {"portable": ["-O2"], "simd": ["-O2", "-march=native"]}


@dataclass(frozen=True)
class Build:
    """One way of compiling the exported C.

    Attributes:
        target: portable or simd.
        compiler: the compiler's command.
        options: its options.
    """

    target: str
    compiler: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the table shows it."""
        return " ".join((self.target + ":", self.compiler, *self.options))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the JSON file if one is named."""
    args = _parser().parse_args(argv)
    return reporting.run("bench_c99", args, measure, markdown)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the table shows.

    Raises:
        TinierYoloError: no compiler is there, or a build computes something else.
    """
    width, height = (args.size, args.size) if isinstance(args.size, int) else args.size
    program = Program.load(default_model())
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    builds = [build for build in _builds(args) if shutil.which(build.compiler)]
    if not builds:
        raise UsageError("no C compiler", expected=" or ".join(args.compilers))
    engine = Engine(program)
    runs: dict[str, Callable[[], Any]] = {NUMBA: lambda: engine.run(image)}
    with tempfile.TemporaryDirectory() as folder:
        for number, build in enumerate(builds):
            exported = compile_and_prove(program, build, Path(folder) / str(number), (width, height))
            runs[build.name] = partial(exported.run, image)
        expected = reference.run_maps(program, image)[1]
        for name, run in runs.items():
            if not np.array_equal(run(), expected):
                raise TinierYoloError(f"{name} computes another map", place=f"{width}x{height}")
        seconds = interleave(runs, args.rounds, args.burst)
    timings = {name: Timing.of(values) for name, values in seconds.items()}
    numba = timings[NUMBA]
    return {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "width": width,
        "height": height,
        "rounds": args.rounds,
        "burst": args.burst,
        "rows": [
            {
                "build": name,
                "median_ms": timing.median,
                "best_ms": timing.best,
                "median_ratio": timing.median / numba.median,
                "best_ratio": timing.best / numba.best,
            }
            for name, timing in timings.items()
        ],
    }


def compile_and_prove(program: Program, build: Build, folder: Path, size: tuple[int, int]) -> Exported:
    """The build as a library.

    Raises:
        TinierYoloError: it does not compile, or the golden maps differ.
    """
    command = [build.compiler, *build.options]
    exported = Exported(program, folder, command, size, build.target)
    sources = [str(folder / f"{NAME}.c"), str(folder / f"{NAME}_test.c")]
    call([*command, "-std=c99", f"-D{NAME.upper()}_TRACE", *sources, "-o", str(folder / "proof")])
    if ", 0 differences" not in call([str(folder / "proof")]):
        raise TinierYoloError(f"{build.name} computes other maps")
    return exported


def interleave(runs: Mapping[str, Callable[[], Any]], rounds: int, burst: int) -> dict[str, list[float]]:
    """Seconds of CPU time: in every round each gets a run that warms its caches, and ``burst`` timed ones."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(burst):
                start = time.thread_time()
                run()
                seconds[name].append(time.thread_time() - start)
    return seconds


def markdown(report: dict[str, Any]) -> Iterator[str]:
    """The table, and what it was measured on."""
    about = report["machine"]
    yield f"{about['cpu']} ({about['vectors']}), load {report['load']:.1f}. The shipped model's network, one thread,"
    yield f"{report['width']}x{report['height']}, {report['rounds']} interleaved rounds of {report['burst']} runs;"
    yield "CPU time. All maps are the reference's."
    yield ""
    yield "| | median ms | best ms | median / Numba's | best / Numba's |"
    yield "|---|---:|---:|---:|---:|"
    for row in report["rows"]:
        numbers = [row[key] for key in ("median_ms", "best_ms", "median_ratio", "best_ratio")]
        yield f"| {row['build']} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |"


def _builds(args: argparse.Namespace) -> list[Build]:
    return [
        Build(target, compiler, tuple(args.options.split() if args.options else OPTIONS[target]))
        for target in args.targets
        for compiler in args.compilers
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The exported C beside the Numba kernels.")
    parser.add_argument("--targets", nargs="+", choices=OPTIONS, default=list(OPTIONS), help="default: both")
    parser.add_argument("--compilers", nargs="+", default=["gcc", "clang"], help="default: gcc clang")
    parser.add_argument("--options", help="for all builds, in one word (default: -O2, with -march=native for simd)")
    parser.add_argument("--size", type=size, default=416, metavar="N|WxH", help="the network's input (default 416)")
    parser.add_argument("--rounds", type=count, default=20, metavar="N", help="rounds (default 20)")
    parser.add_argument("--burst", type=count, default=5, metavar="N", help="runs of a build in a round (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

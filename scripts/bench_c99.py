"""The exported C beside the Numba kernels: the shipped model's frame, in one process, in interleaved rounds.

Every build is first proven: its golden maps, all layers, and at the measured size its output map against the reference.
What is counted is the CPU time of the one thread, so that other work on the machine disturbs little.

    python scripts/bench_c99.py [--size 416] [--rounds 20] [--burst 5] [--json c99.json]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import reporting  # noqa: E402
from tinier_yolo.benchmark.network import Timing  # noqa: E402
from tinier_yolo.benchmark.peak import machine  # noqa: E402
from tinier_yolo.cli.options import count, size  # noqa: E402
from tinier_yolo.errors import TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.export.c99.export import c_files, write  # noqa: E402
from tinier_yolo.ifq import reference  # noqa: E402
from tinier_yolo.ifq.program import Program  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402
from tinier_yolo.shipped import default_model  # noqa: E402

Image = NDArray[np.uint8]
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
        for target in {build.target: None for build in builds}:
            write(c_files(program, "face", target), Path(folder) / target)
        for number, build in enumerate(builds):
            runs[build.name] = compile_and_prove(build, Path(folder) / build.target, number, image)
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


def compile_and_prove(build: Build, folder: Path, number: int, image: Image) -> Callable[[], NDArray[np.int32]]:
    """A function that runs the build on an image; returns the output map.

    Raises:
        TinierYoloError: it does not compile, or the golden maps differ.
    """
    proof, library = folder / f"proof{number}", folder / f"library{number}.so"
    command = [build.compiler, "-std=c99", *build.options]
    _call([*command, "-DFACE_TRACE", str(folder / "face.c"), str(folder / "face_test.c"), "-o", str(proof)])
    if ", 0 differences" not in _call([str(proof)]):
        raise TinierYoloError(f"{build.name} computes other maps")
    _call([*command, "-shared", "-fPIC", str(folder / "face.c"), "-o", str(library)])
    face = ctypes.CDLL(str(library))
    face.face_arena_bytes.restype = ctypes.c_size_t
    height, width, _ = image.shape
    arena = np.zeros(face.face_arena_bytes(width, height) // 8 + 1, np.uint64)
    output = np.zeros((30, height // 32, width // 32), np.int32)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (arena, image, output)]

    def run() -> NDArray[np.int32]:
        status = face.face_run(pointers[0], ctypes.c_size_t(arena.nbytes), pointers[1], width, height, pointers[2])
        if status != 0:
            raise TinierYoloError(f"{build.name}: status {status}")
        return output

    return run


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


def _call(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TinierYoloError(f"{' '.join(command)}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


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

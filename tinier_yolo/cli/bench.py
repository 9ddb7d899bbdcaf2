"""``tinier-yolo bench``: how fast an integer program is on this machine, step by step."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinier_yolo.cli.options import count, size
from tinier_yolo.models import default_model

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.quantization.program import Program

_EPILOG = """
"median" and "best" are of repeated runs; the best is disturbed least by other work on the machine. "of peak" is the
share of the rate that the kernels' three instructions (xor, popcount, add) reach alone, measured here and now; the
first layer counts bytes, not bits. Start-up is the whole process: Python, imports, loading, one image; cold compiles
the kernels into an empty cache, cached finds them there.
"""
#: A process that runs one image; its arguments are the model and the size.
_START = """
import sys
import numpy as np
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.program import Program
Engine(Program.load(sys.argv[1])).run(np.zeros((int(sys.argv[2]), int(sys.argv[3]), 3), np.uint8))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", metavar="MODEL.ifq", help="an integer program (default: the shipped model)")
    model.add_argument("--cfg", metavar="CFG", help="an IFQ network, with random weights")
    parser.add_argument("--size", type=size, metavar="N|WxH", help="the network's input (default: the model's own)")
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="threads for one image (default 1)")
    parser.add_argument("--runs", type=count, default=200, metavar="N", help="how often (default 200)")
    parser.add_argument("--no-startup", action="store_true", help="do not measure start-up, which takes some seconds")
    parser.add_argument("--json", action="store_true", help="JSON in place of the table")


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        TinierYoloError: a file or an option is bad.
    """
    import json

    program = _random_program(args.cfg) if args.cfg else _load(args.model)
    network = _resized(program.network, args.size)
    report = _measure(program, network, args.threads, args.runs)
    report["model"] = f"{args.cfg}, random weights" if args.cfg else str(args.model or default_model())
    if not args.no_startup:
        report["start"] = _start_up(program, network)
    print(json.dumps(report, indent=2) if args.json else "\n".join(_table(report)))
    return 0


def _load(path: str | None) -> Program:
    from tinier_yolo.quantization.program import Program

    return Program.load(path or default_model())


def _random_program(cfg: str) -> Program:
    import numpy as np

    from tinier_yolo.darknet.network import Network
    from tinier_yolo.quantization.convert import convert

    network, rng = Network.load(cfg), np.random.default_rng(0)
    parameters = tuple(
        {
            name: (np.ones(shape) if name == "variances" else rng.normal(0, 1, shape)).astype(np.float32)
            for name, shape in layer.parameters
        }
        for layer in network.layers
    )
    names = [f"class {number}" for number in range(network.region.classes)]
    return convert(network, parameters, class_names=names).program


def _resized(network: Network, given: int | tuple[int, int] | None) -> Network:
    if given is None:
        return network
    return network.resized(*((given, given) if isinstance(given, int) else given))


def _measure(program: Program, network: Network, threads: int, runs: int) -> dict[str, Any]:
    import numpy as np

    from tinier_yolo.runtime.benchmark import time_network
    from tinier_yolo.runtime.engine import Engine
    from tinier_yolo.runtime.kernels_peak import machine, popcount_peak

    channels, height, width = network.input
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(np.uint8)
    engine = Engine(program, threads)
    whole, steps = time_network(engine, image, runs)
    return {
        "machine": machine(),
        "threads": threads,
        "width": width,
        "height": height,
        "runs": runs,
        "peak": popcount_peak(),
        "whole": asdict(whole),
        "steps": [asdict(step) for step in steps],
        "map_bytes": engine.plan(height, width).map_bytes,
    }


def _start_up(program: Program, network: Network) -> dict[str, float]:
    # Seconds of two processes after each other, with a cache of their own that is empty for the first.
    import os
    import subprocess
    import sys
    import tempfile
    import time

    seconds = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = Path(folder) / "model.ifq"
        program.save(model)
        command = [sys.executable, "-c", _START, str(model), str(network.input.height), str(network.input.width)]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for name in ("cold", "cached"):
            start = time.perf_counter()
            subprocess.run(command, check=True, env=environment)
            seconds[name] = time.perf_counter() - start
    return seconds


def _table(report: dict[str, Any]) -> Iterator[str]:
    about, peak, whole = report["machine"], report["peak"], report["whole"]
    threads = f"{report['threads']} thread" + "s" * (report["threads"] > 1)
    yield f"{report['model']}, {report['width']}x{report['height']}, {threads}, {report['runs']} runs"
    yield f"{about['cpu']} ({about['vectors']}, counts {about['counts']}), numba {about['numba']}, LLVM {about['llvm']}"
    yield f"peak of one core: {peak / 1e12:.3f} T binary multiply-accumulates a second"
    yield ""
    form = "{:>5}  {:<20} {:>10} {:>10} {:>14} {:>8} {:>8}"
    yield form.format("layer", "step", "median ms", "best ms", "MACs", "GMAC/s", "of peak")
    for step in report["steps"]:
        best, macs = step["timing"]["best"], step["macs"]
        share = macs * step["planes"] / (best * 1e-3) / peak
        yield form.format(
            step["layer"],
            step["name"],
            f"{step['timing']['median']:.4f}",
            f"{best:.4f}",
            f"{macs:,}" if macs else ".",
            f"{macs / best / 1e6:.1f}" if macs else ".",
            f"{share:.0%}" if macs and "image" not in step["name"] else ".",
        ).rstrip()
    macs = sum(step["macs"] for step in report["steps"])
    rate = f"{macs / whole['best'] / 1e6:.1f}"
    yield form.format("", "network", f"{whole['median']:.4f}", f"{whole['best']:.4f}", f"{macs:,}", rate, "").rstrip()
    yield ""
    yield f"maps: {report['map_bytes']:,} bytes"
    if "start" in report:
        yield f"start to first output: {report['start']['cold']:.2f} s cold, {report['start']['cached']:.2f} s cached"

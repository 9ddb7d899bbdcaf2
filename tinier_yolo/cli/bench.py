"""``tinier-yolo bench``: how fast an integer program is on this machine, step by step."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tinier_yolo.cli.options import count, size
from tinier_yolo.errors import UsageError
from tinier_yolo.shipped import cfg_file, default_model

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.ifq.load import AnyProgram
    from tinier_yolo.ifq.program import Program

_EPILOG = """
"median" and "best" are of repeated runs; the best is disturbed least by other work on the machine. "of peak" is the
share of the rate that a kernel's few instructions reach alone, measured here and now: xor, popcount and addition; for
an image the load and addition of sums of three bytes. Steps that look sums up, or count them otherwise, can exceed it.
Start-up is the whole of a process with one image: Python, imports, loading, detecting. "tinier-yolo detect" needs no
kernels for its first pictures; the other two compile the kernels into an empty cache, and find them there. Of a video
the first frames are measured: decoding (with the change to RGB), letterboxing, the network, and everything after it.
The first two are done in a thread, ahead of the others, so that frames/s is more than the sum of the parts allows;
their times are those without the others beside them. "possible" is the speed of decoding and letterboxing alone, in one
thread.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", metavar="MODEL.ifq", help="an integer program (default: the shipped model)")
    model.add_argument("--cfg", metavar="CFG", help="an IFQ network, with random weights")
    parser.add_argument(
        "--size",
        type=size,
        metavar="N|WxH",
        help="the network's input (default: the model's own); a larger one finds smaller faces, in more time",
    )
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="threads for one image (default 1)")
    parser.add_argument("--runs", type=count, default=200, metavar="N", help="how often (default 200)")
    parser.add_argument(
        "--video", metavar="FILE", help="measure the frames of this video from the file to the boxes too"
    )
    parser.add_argument("--no-startup", action="store_true", help="do not measure start-up, which takes some seconds")
    parser.add_argument(
        "--choices", action="store_true", help="time every family of kernels on every layer, against the one chosen"
    )
    parser.add_argument("--json", action="store_true", help="JSON in place of the table")


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        TinierYoloError: a file or an option is bad.
    """
    import json

    from tinier_yolo.runtime.kernels.costs import stored
    from tinier_yolo.runtime.kernels.primitives.measure import measure

    program = _random_program(args.cfg) if args.cfg else _load(args.model)
    if stored() is None:
        measure()  # as the processes do that compile kernels, so that the choice is theirs
    network = _resized(program.network, args.size)
    report = _measure(program, network, args.threads, args.runs)
    report["model"] = f"{args.cfg}, random weights" if args.cfg else str(args.model or default_model())
    if args.video:
        report["video"] = _video(args.video, program, network, args.threads)
    if args.choices:
        report["choices"] = _choices(program, network, args.runs)
    if not args.no_startup:
        from tinier_yolo.benchmark.start_up import start_up

        report["start"] = start_up(program, network)
    print(json.dumps(report, indent=2) if args.json else "\n".join(_table(report)))
    return 0


def _load(path: str | None) -> AnyProgram:
    from tinier_yolo.ifq.load import load_program

    return load_program(path or default_model())


def _random_program(cfg: str) -> Program:
    from tinier_yolo.benchmark.network import random_parameters
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.quantization.convert import convert

    network = Network.load(cfg_file(cfg))
    names = [f"class {number}" for number in range(network.region.classes)]
    return convert(network, random_parameters(network), class_names=names).program


def _resized(network: Network, given: int | tuple[int, int] | None) -> Network:
    if given is None:
        return network
    return network.resized(*((given, given) if isinstance(given, int) else given))


def _measure(program: AnyProgram, network: Network, threads: int, runs: int) -> dict[str, Any]:
    import numpy as np

    from tinier_yolo.benchmark.network import time_network
    from tinier_yolo.benchmark.peak import machine, pattern_peak, popcount_peak
    from tinier_yolo.runtime.engine import Engine
    from tinier_yolo.runtime.kernels.costs import costs

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
        "image_peak": pattern_peak(),
        "costs": asdict(costs()),
        "whole": asdict(whole),
        "steps": [asdict(step) for step in steps],
        "map_bytes": engine.plan(height, width).map_bytes,
        "scratch_bytes": engine.plan(height, width).scratch_bytes,
    }


def _choices(program: AnyProgram, network: Network, runs: int) -> list[dict[str, Any]]:
    from tinier_yolo.benchmark.choices import time_choices
    from tinier_yolo.ifq.program import Program

    if not isinstance(program, Program):
        raise UsageError("--choices: a fixed-point program has one family of kernels")
    _, height, width = network.input
    return [{**asdict(choice), "loss": choice.loss} for choice in time_choices(program, height, width, runs)]


def _video(path: str, program: AnyProgram, network: Network, threads: int) -> dict[str, Any]:
    from tinier_yolo.benchmark.video import time_video
    from tinier_yolo.runtime.engine import Engine

    engine = Engine(program, threads)
    return asdict(time_video(path, engine, network, program.class_names, program.fraction_bits))


def _table(report: dict[str, Any]) -> Iterator[str]:
    about, peak = report["machine"], report["peak"]
    threads = f"{report['threads']} thread" + "s" * (report["threads"] > 1)
    yield f"{report['model']}, {report['width']}x{report['height']}, {threads}, {report['runs']} runs"
    variant = f"{about['vectors']}, counts {about['counts']}, looks up {about['looks_up']}"
    yield f"{about['cpu']} ({variant}), numba {about['numba']}, LLVM {about['llvm']}"
    peaks = f"{peak / 1e12:.3f} T binary multiply-accumulates a second, {report['image_peak'] / 1e12:.3f} T of an image"
    yield f"peak of one core: {peaks}"
    if "choices" in report:
        shown = ", ".join(f"{name} {nanoseconds:.3f}" for name, nanoseconds in report["costs"].items())
        yield f"primitives that the choice of kernels rests on, ns: {shown}"
    yield ""
    yield from _steps(report)
    yield ""
    yield f"maps: {report['map_bytes']:,} bytes; tables and sums: {report['scratch_bytes']:,} bytes a thread"
    if "choices" in report:
        yield ""
        yield from _choices_table(report["choices"])
    if "start" in report:
        start = report["start"]
        yield f"start to first detection: {start['first']:.2f} s"
        yield f"the same with the kernels: {start['cold']:.2f} s compiled, {start['cached']:.2f} s loaded"
        if start["peak_memory"]:
            yield f"peak memory of the last one: {start['peak_memory'] / 2**20:.0f} MiB"
    if "video" in report:
        yield ""
        yield from _video_table(report["video"])


def _steps(report: dict[str, Any]) -> Iterator[str]:
    form = "{:>5}  {:<20} {:>10} {:>10} {:>14} {:>8} {:>8}"
    yield form.format("layer", "step", "median ms", "best ms", "MACs", "GMAC/s", "of peak")
    steps, whole, limit = report["steps"], report["whole"], 0.0
    for step in steps:
        best, macs = step["timing"]["best"], step["macs"]
        least = macs / report["image_peak"] if "image" in step["name"] else macs * step["planes"] / report["peak"]
        limit += least * 1e3
        of_peak = f"{least * 1e3 / best:.0%}" if least else "."  # None is measured for products of whole numbers.
        yield form.format(
            step["layer"],
            step["name"],
            f"{step['timing']['median']:.4f}",
            f"{best:.4f}",
            f"{macs:,}" if macs else ".",
            f"{macs / best / 1e6:.1f}" if macs else ".",
            of_peak,
        ).rstrip()
    macs = sum(step["macs"] for step in steps)
    rate = f"{macs / whole['best'] / 1e6:.1f}"
    yield form.format("", "network", f"{whole['median']:.4f}", f"{whole['best']:.4f}", f"{macs:,}", rate, "").rstrip()
    if limit:
        times = f"{whole['best'] / limit:.2f}"
        yield f"at its peaks one core would take {limit:.4f} ms; the network takes {times} times that"


def _choices_table(choices: list[dict[str, Any]]) -> Iterator[str]:
    families = list(dict.fromkeys(name for choice in choices for name in choice["milliseconds"]))
    form = "{:>5}  {:<20}" + " {:>10}" * len(families)
    yield form.format("layer", "chosen", *families)
    for choice in choices:
        times = choice["milliseconds"]
        shown = (f"{times[name]:.4f}" if name in times else "." for name in families)
        yield form.format(choice["layer"], choice["chosen"], *shown)
    best = sum(min(choice["milliseconds"].values()) for choice in choices)
    lost = sum(choice["loss"] for choice in choices)
    yield f"ms; the best family of every layer together {best:.4f}, the chosen ones {lost / best:.1%} more"


def _video_table(video: dict[str, Any]) -> Iterator[str]:
    total = sum(video["milliseconds"].values())
    yield f"{video['frames']} frames of {video['width']}x{video['height']}, {video['detections']} detections"
    for name, milliseconds in video["milliseconds"].items():
        yield f"  {name:<12} {milliseconds:>8.3f} ms {milliseconds / total:>6.1%}"
    rate, limit = video["frames_per_second"], video["limit"]
    yield f"  {rate:.1f} frames/s; possible: {limit:.1f} frames/s, reached: {rate / limit:.0%}"

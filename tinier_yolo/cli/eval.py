"""``tinier-yolo eval``: score a detector or a classifier on a benchmark of :mod:`tinier_yolo.eval.benchmarks`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinier_yolo.cli.options import count, named_file, pixel_range, size, tiles
from tinier_yolo.defaults import EVALUATION_THRESH, NETWORK_SIZE, NMS, THRESH
from tinier_yolo.errors import UsageError
from tinier_yolo.eval.benchmarks import BENCHMARKS, Benchmark, Request

if TYPE_CHECKING:
    from tinier_yolo.eval.figure import FigureOptions
    from tinier_yolo.eval.report import Source
    from tinier_yolo.eval.subjects import Chosen

_EPILOG = """
The threshold is low on purpose: a curve needs the detections of low scores too. The images of FDDB
and WIDER FACE are read as they are stored; labelled turns photographs as EXIF says.
ms_per_image in summary.json is the median of one detector on one thread while the other workers run too: --workers 1 on
an idle machine for a time to quote.

Exit code: 0 fine; 1 some images could not be read (their faces count as missed, summary.json names them); 2 bad usage
or bad input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and their options."""
    names = "|".join(row.name for row in BENCHMARKS)
    children = parser.add_subparsers(title="benchmarks", dest="benchmark", metavar=names, required=True)
    for row in BENCHMARKS:
        about = row.about[0].upper() + row.about[1:] + "."
        child = children.add_parser(row.name, aliases=row.aliases, help=row.about, description=about, epilog=_EPILOG)
        child.formatter_class = argparse.RawDescriptionHelpFormatter
        child.set_defaults(row=row)
        _add_benchmark(child, row)
        if row.detector:
            _add_detector(child)
        else:
            child.add_argument("--name", help="what the summary calls it")
        if row.figure:
            _add_figure(child)


def run(args: argparse.Namespace) -> int:
    """Run one benchmark; returns 1 where images could not be read.

    Raises:
        TinierYoloError: bad options, bad input, or results that cannot be written.
    """
    from tinier_yolo.output_folder import OutputFolder

    OutputFolder(args.out).check()
    from_files = getattr(args, "detections", None) is not None
    if from_files:
        _check_files(args)
    row: Benchmark = args.row
    result = row.evaluate(_request(args))
    print(result.text())
    if result.source.ms_per_image is not None:
        print(f"{result.source.ms_per_image:.2f} ms an image (median, one thread)")
    print(f"results: {args.out}", file=sys.stderr)
    return _report_missing(result.source, from_files)


def _request(args: argparse.Namespace) -> Request:
    names = (option.flag.removeprefix("--").replace("-", "_") for option in args.row.options)
    return Request(
        Path(args.out),
        {name: getattr(args, name) for name in names},
        lambda: _chosen(args),
        args.name,
        tuple((name, Path(path)) for name, path in getattr(args, "compare", ())),
        _figure(args) if args.row.figure else None,
        getattr(args, "errors", False),
    )


def _chosen(args: argparse.Namespace) -> Chosen:
    # The detector that the options name.
    from tinier_yolo.datasets.labels import load_names
    from tinier_yolo.detection.detector import check_thresholds
    from tinier_yolo.eval.subjects import own_detector, peer
    from tinier_yolo.shipped import default_model

    check_thresholds(args.thresh, args.nms)
    how = {"name": args.name, "thresh": args.thresh, "nms": args.nms, "workers": args.workers}
    if args.detector is None:
        names = load_names(args.names) if args.names else None
        return own_detector(
            args.model or default_model(), args.cfg, args.size, class_names=names, tiles=args.tiles, **how
        )
    if args.cfg or args.names or args.tiles:
        option = next(f"--{name}" for name in ("cfg", "names", "tiles") if getattr(args, name))
        raise UsageError(f"{option} goes with our own detector", found=f"--detector {args.detector}")
    if args.size and not args.row.sized_peers:
        raise UsageError("a peer runs at each image's own size", found=f"--detector {args.detector} with --size")
    chosen = peer(args.detector, args.model, **how)
    size = args.size or NETWORK_SIZE
    return replace(chosen, network_size=(size, size) if isinstance(size, int) else size)


def _report_missing(source: Source, from_files: bool) -> int:
    from tinier_yolo.eval.report import named

    missing = source.missing_images
    if not missing:
        return 0
    if from_files:
        # An image that a file of detections does not mention has none: worth a word, not a failure.
        print(f"tinier-yolo: no detections for {len(missing)} images: {named(missing)}", file=sys.stderr)
        return 0
    print(f"tinier-yolo: {len(missing)} images cannot be read: {named(missing)}", file=sys.stderr)
    return 1


def _check_files(args: argparse.Namespace) -> None:
    for option in ("model", "cfg", "names", "size", "tiles", "detector"):
        if getattr(args, option) is not None:
            raise UsageError(f"--detections and --{option} do not go together")


def _figure(args: argparse.Namespace) -> FigureOptions | None:
    from tinier_yolo.eval.figure import FigureOptions

    if not (args.figure or args.pick or args.pictures):
        return None
    return FigureOptions(args.figure or 0, tuple(args.pick), args.face_height, args.figure_thresh, args.pictures)


def _add_benchmark(parser: argparse.ArgumentParser, row: Benchmark) -> None:
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    for option in row.options:
        if option.switch:
            parser.add_argument(option.flag, action="store_true", help=option.help)
        elif option.repeated:
            parser.add_argument(option.flag, action="append", default=[], metavar=option.metavar, help=option.help)
        else:
            parser.add_argument(
                option.flag, required=option.required, metavar=option.metavar, help=option.help,
                choices=option.choices or None,
            )  # fmt: skip
    if row.compare:
        parser.add_argument(
            "--compare", type=named_file, action="append", default=[], metavar="NAME=DISCROC",
            help="draw the curve of a DiscROC.txt too; may be repeated",
        )  # fmt: skip
    if row.errors:
        parser.add_argument(
            "--errors", action="store_true",
            help="kinds of misses and false alarms at the operating point: errors.json, crops in errors.png",
        )  # fmt: skip


def _add_detector(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("detector")
    group.add_argument("--model", metavar="FILE", help=".ifq, or .weights with --cfg (default: the shipped model)")
    group.add_argument("--cfg", metavar="FILE", help="the cfg of .weights")
    group.add_argument(
        "--names", metavar="FILE",
        help="class names of .weights, one a line; of several classes the one called face counts, if there is one",
    )  # fmt: skip
    group.add_argument(
        "--size",
        type=size,
        metavar="N|WxH",
        help="the network's input (default: the model's own); a larger one finds smaller faces, in more time",
    )
    group.add_argument("--tiles", type=tiles, metavar="WxH[:OVERLAP]", help="look at images in tiles too")
    group.add_argument(
        "--detector", choices=("haar", "yunet"),
        help="OpenCV's instead of ours: haar (opencv-python < 5; --model: another cascade), yunet (--model: its .onnx)",
    )  # fmt: skip
    group.add_argument(
        "--thresh", type=float, default=EVALUATION_THRESH, help=f"least score, 0..1 (default {EVALUATION_THRESH})"
    )
    group.add_argument("--nms", type=float, default=NMS, help=f"largest IoU of two boxes, 0..1 (default {NMS})")
    group.add_argument("--workers", type=count, metavar="N", help="images at a time (default: one a core)")
    group.add_argument("--name", help="what legends and the summary call it")


def _add_figure(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pictures")
    group.add_argument("--figure", type=count, metavar="N", help="draw N images with detections and misses: figure.png")
    group.add_argument("--pick", action="append", default=[], metavar="NAME", help="this image; may be repeated")
    group.add_argument(
        "--face-height", type=pixel_range, default=(0.0, float("inf")), metavar="LOW-HIGH",
        help="images with a face of such a height, in pixels of the image",
    )  # fmt: skip
    group.add_argument("--figure-thresh", type=float, default=THRESH, help=f"least score drawn (default {THRESH})")
    group.add_argument("--pictures", action="store_true", help="draw every image too: pictures/NAME.jpg")

"""``tinier-yolo eval``: score a detector on FDDB, WIDER FACE or a YOLO-labelled set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinier_yolo.cli.options import count, named_file, pixel_range, size
from tinier_yolo.cli.subject import subject_of
from tinier_yolo.errors import UsageError

if TYPE_CHECKING:
    from eval.figure import FigureOptions

# As in eval.run, which is not imported for --help.
_THRESH, _NMS = 0.01, 0.45
_ABOUT = {
    "fddb": "discrete and continuous ROC as FDDB's official program computes them",
    "wider": "AP on WIDER FACE's easy, medium and hard faces as the official toolbox computes it",
    "voc": "AP at IoU 0.5 and rate at 0.1 false positives an image for the valid list of a .data file",
}
_EPILOG = """
The threshold is low on purpose: a curve needs the detections of low scores too. Images are read as they are stored,
EXIF orientation ignored. ms_per_image in summary.json is the median of one detector on one thread while the other
workers run too: --workers 1 on an idle machine for a time to quote.

Exit code: 0 fine; 1 some images could not be read (their faces count as missed, summary.json names them); 2 bad usage
or bad input.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks and their options."""
    benchmarks = parser.add_subparsers(title="benchmarks", dest="benchmark", metavar="fddb|wider|voc", required=True)
    parsers = {}
    for name, about in _ABOUT.items():
        child = benchmarks.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", epilog=_EPILOG)
        child.formatter_class = argparse.RawDescriptionHelpFormatter
        child.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        child.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
        parsers[name] = child
    _add_fddb(parsers["fddb"])
    _add_wider(parsers["wider"])
    _add_voc(parsers["voc"])
    for name, child in parsers.items():
        _add_detector(child)
        if name != "fddb":
            _add_figure(child, name)


def run(args: argparse.Namespace) -> int:
    """Run one benchmark; returns 1 where images could not be read.

    Raises:
        TinierYoloError: bad options, bad input, or results that cannot be written.
    """
    from tinier_yolo.output_folder import OutputFolder

    OutputFolder(args.out).check()
    summary = {"fddb": _fddb, "wider": _wider, "voc": _voc}[args.benchmark](args)
    if "ms_per_image" in summary:
        print(f"{summary['ms_per_image']:.2f} ms an image (median, one thread)")
    print(f"results: {args.out}", file=sys.stderr)
    return _report_missing(summary, from_files=getattr(args, "detections", None) is not None)


def _fddb(args: argparse.Namespace) -> dict[str, Any]:
    from eval.fddb.benchmark import FddbSet, evaluate_detector, evaluate_files, load_sizes

    compare = [(name, Path(path)) for name, path in args.compare]
    if args.detections is None:
        if args.sizes:
            raise UsageError("--sizes goes with --detections; a detector needs --images ROOT")
        _check_images(args)
        subject = subject_of(args).subject
        fddb = FddbSet.load(args.annotations, args.list)
        summary = evaluate_detector(fddb, subject, args.images, args.out, compare=compare)
    else:
        _check_files(args)
        if (args.images is None) == (args.sizes is None):
            raise UsageError("--detections needs the sizes of the images", expected="either --images or --sizes")
        fddb = FddbSet.load(args.annotations, args.list)
        sizes = load_sizes(args.sizes) if args.sizes else None
        name = args.name or Path(args.detections).stem
        summary = evaluate_files(
            fddb, args.detections, args.out, name=name, sizes=sizes, root=args.images, compare=compare
        )
    print(_rate_line("FDDB" + (" (a subset)" if summary["subset"] else ""), summary))
    return summary


def _wider(args: argparse.Namespace) -> dict[str, Any]:
    from eval.wider.benchmark import WiderSet, evaluate_detector, evaluate_files

    figure = _figure(args)
    if args.detections is None:
        _check_images(args)
        subject = subject_of(args).subject
        summary = evaluate_detector(WiderSet.load(args.ground_truth), subject, args.images, args.out, figure=figure)
    else:
        _check_files(args)
        if figure and args.images is None:
            raise UsageError("pictures need the images", expected="--images ROOT")
        name = args.name or Path(args.detections).name
        summary = evaluate_files(
            WiderSet.load(args.ground_truth), args.detections, args.out, name=name, root=args.images, figure=figure
        )
    print(f"WIDER FACE validation, {summary['name']}: AP " + _aps(summary))
    return summary


def _voc(args: argparse.Namespace) -> dict[str, Any]:
    from eval.labelled.benchmark import evaluate_detector, load_set

    figure, samples, chosen = _figure(args), load_set(args.data), subject_of(args)
    network = chosen.network_size
    summary = evaluate_detector(
        samples,
        chosen.subject,
        args.out,
        network_size=network,
        letter_box=chosen.letter_box,
        compare=[(name, Path(path)) for name, path in args.compare],
        figure=figure,
    )
    print(f"AP {summary['ap']:.4f}")
    print(_rate_line(str(args.data), summary))
    print(f"faces by height at {network[0]}x{network[1]} (pixels)   faces      AP    rate")
    for row in summary["by_height"]:
        values = ["     -" if row[key] is None else f"{row[key]:.4f}" for key in ("ap", "rate")]
        print(f"{row['height']:>38} {row['faces']:>7}  {values[0]}  {values[1]}")
    return summary


def _rate_line(what: str, summary: dict[str, Any]) -> str:
    return (
        f"{what}, {summary['name']}: rate {summary['rate']:.6f} at {summary['false_positives']} false positives "
        f"(0.1 an image; {summary['images']} images, {summary['faces']} faces); "
        f"end {summary['end']['rate']:.6f} at {summary['end']['false_positives']}"
    )


def _aps(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {summary[name]:.6f}" for name in ("easy", "medium", "hard"))


def _report_missing(summary: dict[str, Any], from_files: bool) -> int:
    from eval.report import named

    missing = summary["missing_images"]
    if not missing:
        return 0
    if from_files:
        # An image that a file of detections does not mention has none: worth a word, not a failure.
        print(f"tinier-yolo: no detections for {len(missing)} images: {named(missing)}", file=sys.stderr)
        return 0
    print(f"tinier-yolo: {len(missing)} images cannot be read: {named(missing)}", file=sys.stderr)
    return 1


def _check_images(args: argparse.Namespace) -> None:
    if args.images is None:
        raise UsageError("a detector needs images", expected="--images ROOT, or --detections PATH")


def _check_files(args: argparse.Namespace) -> None:
    for option in ("model", "cfg", "size", "detector"):
        if getattr(args, option) is not None:
            raise UsageError(f"--detections and --{option} do not go together")


def _figure(args: argparse.Namespace) -> FigureOptions | None:
    from eval.figure import FigureOptions
    from eval.selection import parse_attribute

    if not (args.figure or args.pick or args.pictures):
        return None
    return FigureOptions(
        args.figure or 0,
        tuple(args.pick),
        args.face_height,
        tuple(parse_attribute(text) for text in getattr(args, "attribute", ())),
        args.figure_thresh,
        args.pictures,
    )


def _add_fddb(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--annotations", required=True, metavar="DIR", help="folder of FDDB-fold-*-ellipseList.txt")
    parser.add_argument("--list", metavar="FILE", help="evaluate these images alone: a name a line, without .jpg")
    parser.add_argument("--images", metavar="ROOT", help="FDDB's originalPics")
    parser.add_argument("--detections", metavar="PATH", help="score a file, or a folder of fold-*-out.txt, instead")
    parser.add_argument("--sizes", metavar="FILE", help='with --detections: JSON of "name": [width, height]')
    _add_compare(parser)


def _add_wider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ground-truth", required=True, metavar="DIR", help="folder of wider_{face,easy,...}_val.mat")
    parser.add_argument("--images", metavar="ROOT", help="WIDER_val/images")
    parser.add_argument("--detections", metavar="DIR", help="score a folder of EVENT/NAME.txt instead")


def _add_voc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="DATA", help=".data file; its valid list is evaluated")
    _add_compare(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compare", type=named_file, action="append", default=[], metavar="NAME=DISCROC",
        help="draw the curve of a DiscROC.txt too; may be repeated",
    )  # fmt: skip


def _add_detector(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("detector")
    group.add_argument("--model", metavar="FILE", help=".ifq, or .weights with --cfg (default: the shipped model)")
    group.add_argument("--cfg", metavar="FILE", help="the cfg of .weights")
    group.add_argument("--size", type=size, metavar="N|WxH", help="the network's input (default: the model's own)")
    group.add_argument(
        "--detector", choices=("haar", "yunet"),
        help="OpenCV's instead of ours: haar (--model: another cascade), yunet (--model: its .onnx)",
    )  # fmt: skip
    group.add_argument("--thresh", type=float, default=_THRESH, help=f"least score, 0..1 (default {_THRESH})")
    group.add_argument("--nms", type=float, default=_NMS, help=f"largest IoU of two boxes, 0..1 (default {_NMS})")
    group.add_argument("--workers", type=count, metavar="N", help="images at a time (default: one a core)")
    group.add_argument("--name", help="what legends and the summary call it")


def _add_figure(parser: argparse.ArgumentParser, benchmark: str) -> None:
    group = parser.add_argument_group("pictures")
    group.add_argument("--figure", type=count, metavar="N", help="draw N images with detections and misses: figure.png")
    group.add_argument("--pick", action="append", default=[], metavar="NAME", help="this image; may be repeated")
    group.add_argument(
        "--face-height", type=pixel_range, default=(0.0, float("inf")), metavar="LOW-HIGH",
        help="images with a face of such a height, in pixels of the image",
    )  # fmt: skip
    if benchmark == "wider":
        group.add_argument(
            "--attribute", action="append", default=[], metavar="NAME=VALUE",
            help="that such a face has: blur=heavy, illumination=extreme, occlusion=partial, event=Parade, ...",
        )  # fmt: skip
    group.add_argument("--figure-thresh", type=float, default=0.25, help="least score drawn (default 0.25)")
    group.add_argument("--pictures", action="store_true", help="draw every image too: pictures/NAME.jpg")

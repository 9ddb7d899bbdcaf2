"""``tinier-yolo quantize``: a trained float network -> a fixed-point program."""

from __future__ import annotations

import argparse

from tinier_yolo.cli.options import count, share, size

_EPILOG = """
Methods. uniform: the same bits for the weights and maps of all layers. lin: bits by layer from the SQNR (Lin et al.
2016): a layer that costs more gets fewer. goyal: a search, tensor by tensor, each seeing the others as they are
quantised (Goyal et al. 2021); interrupted, it goes on where it was when it is called again with the same options.
Without --bits the fewest bits are taken whose metric on the calibration images stays within --budget of the float
network's. With uniform and lin, biases and the output map keep 16 bits.

Weights are rounded to the nearest integer, or, with --rounding compensated, each makes up for the errors of those
before it, in channels that were brought to like sizes before: better below 8 bits, and what goyal does by default.

The metric: rate (of faces found at 0.1 false positives an image) or ap, on images of the valid list of DATA. For
classifiers: top1, on that list or on the images of a folder's valid/CLASS, val/CLASS or test/CLASS.
The result is measured on as many other images of the list too, if it has any: these have chosen nothing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("cfg", metavar="CFG", help="the float network")
    parser.add_argument("weights", metavar="WEIGHTS", help="its trained .weights")
    parser.add_argument("-o", "--output", metavar="MODEL.ifq", required=True, help="the program to write")
    parser.add_argument(
        "--data", required=True, help="a .data file, its valid list, or a classifier's folder of folders of images"
    )
    parser.add_argument("--method", choices=("uniform", "lin", "goyal"), required=True, help="how bits are chosen")
    parser.add_argument("--bits", type=int, metavar="N", help="2..16 (uniform), or what they would cost (lin)")
    parser.add_argument("--budget", type=share, default=0.01, help="part of the metric that may be lost (default 0.01)")
    parser.add_argument("--metric", default="rate", metavar="rate|ap|top1", help="what is measured (default rate)")
    parser.add_argument("--images", type=count, default=100, metavar="N", help="calibration images (default 100)")
    parser.add_argument(
        "--kappa", default="fit", help="lin: decibels a bit, a number, fit (a Gaussian's, the default) or measure"
    )
    parser.add_argument(
        "--rounding",
        choices=("nearest", "compensated"),
        help="of the weights (default nearest, but compensated for goyal)",
    )
    parser.add_argument("--objective", choices=("size", "work"), default="size", help="lin: what shall be small")
    parser.add_argument("--size", type=size, metavar="N|WxH", help="the network's input (default: the cfg's)")
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="write JSON, CSV and plots there: accuracy over size for both sweeps; for goyal, costs over the budget",
    )


def run(args: argparse.Namespace) -> int:
    """Quantise, print the table, write the program.

    Raises:
        TinierYoloError: a file or an option is bad.
    """
    from pathlib import Path

    from tinier_yolo.calibration.run import Options, quantize

    given = {name: value for name, value in vars(args).items() if name not in ("run", "debug", "size")}
    sides = (args.size, args.size) if isinstance(args.size, int) else args.size
    _, report = quantize(Options(**given, size=sides))
    print("\n".join(report.table()))
    print(f"{args.output}: {Path(args.output).stat().st_size:,} bytes")
    return 0

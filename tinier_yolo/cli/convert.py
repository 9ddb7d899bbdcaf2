"""``tinier-yolo convert``: a trained IFQ network -> an integer program."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tinier_yolo.defaults import FRACTION_BITS

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("cfg", metavar="CFG", help="the network: binary convolutions, quantised maps")
    parser.add_argument("weights", metavar="WEIGHTS", help="its trained .weights")
    parser.add_argument("-o", "--output", metavar="MODEL.ifq", required=True, help="the program to write")
    parser.add_argument(
        "--names", metavar="FILE", help="class names, one a line (default: face; numbers of a classifier)"
    )
    parser.add_argument(
        "--fraction-bits",
        type=int,
        default=FRACTION_BITS,
        metavar="M",
        help=f"fraction bits of the output map (default {FRACTION_BITS})",
    )
    parser.add_argument(
        "--separated",
        type=int,
        metavar="M",
        help="convert every substructure separately (IFQ-Net, Eq. 5) with Q = 2^M: with losses, to compare",
    )


def run(args: argparse.Namespace) -> int:
    """Convert, print the proof, write the program.

    Raises:
        TinierYoloError: a file is bad, or the network has no integer program.
    """
    import hashlib
    from pathlib import Path

    from tinier_yolo import __version__
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.darknet.weights import parse_weights, read_header, read_weights
    from tinier_yolo.errors import UsageError
    from tinier_yolo.quantization.convert import convert
    from tinier_yolo.shipped import cfg_file

    if Path(args.output).suffix != ".ifq":
        raise UsageError("not a name for a program", path=args.output, expected="a name that ends in .ifq")
    if not 0 <= args.fraction_bits <= 30:
        raise UsageError("bad number of fraction bits", expected="0..30", found=args.fraction_bits)
    if args.separated is not None and not 1 <= args.separated <= 30:
        raise UsageError("bad m of --separated", expected="1..30", found=args.separated)
    network = Network.load(cfg_file(args.cfg))
    data = read_weights(args.weights, network)
    parameters = parse_weights(data, network, args.weights)
    provenance = {
        "weights": Path(args.weights).name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "images_seen": str(read_header(data, args.weights).images_seen),
        "converter": f"tinier-yolo {__version__}",
    }
    separated_m = None
    if args.separated is not None:
        separated_m = dict.fromkeys(range(len(network.layers)), args.separated)
        provenance["separated"] = f"m = {args.separated}"
    conversion = convert(
        network,
        parameters,
        class_names=_class_names(args.names, network),
        provenance=provenance,
        fraction_bits=args.fraction_bits,
        separated_m=separated_m,
    )
    conversion.program.save(args.output)
    print(conversion.proof)
    print(f"{args.output}: {Path(args.output).stat().st_size:,} bytes")
    return 0


def _class_names(file: str | None, network: Network) -> tuple[str, ...]:
    from tinier_yolo.datasets.labels import load_names

    if file:
        return load_names(file)
    return tuple(f"class {number}" for number in range(network.classes)) if network.is_classifier else ("face",)

"""``tinier-yolo summary``: the table of layers of a cfg, a .weights or an .ifq."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.ifq.load import AnyProgram
    from tinier_yolo.ifq.table import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "file",
        metavar="CFG|MODEL.ifq|WEIGHTS",
        help="what to summarise; weights need --cfg; a cfg of the package by its name",
    )
    parser.add_argument("--cfg", metavar="FILE", help="the cfg of the weights")


def run(args: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        TinierYoloError: a file is bad.
    """
    from pathlib import Path

    from tinier_yolo.darknet.network import Network
    from tinier_yolo.darknet.weights import parse_weights, read_header, read_weights
    from tinier_yolo.errors import UsageError
    from tinier_yolo.ifq.fixed_point.table import program_rows
    from tinier_yolo.ifq.load import load_program
    from tinier_yolo.shipped import cfg_file

    suffix = Path(args.file).suffix
    if suffix == ".ifq":
        if args.cfg:
            raise UsageError("an .ifq needs no cfg: it holds its own", path=args.file, found=f"cfg {args.cfg}")
        program = load_program(args.file)
        lines = [*table(program.network, program_rows(program)), *_facts(program)]
    elif args.cfg:
        network = Network.load(cfg_file(args.cfg))
        data = read_weights(args.file, network)
        parse_weights(data, network, args.file)
        header = read_header(data, args.file)
        version = ".".join(map(str, header.version))
        lines = [*table(network), f"weights of version {version}, {header.images_seen:,} images seen"]
    elif suffix in (".weights", ".backup"):
        raise UsageError("weights without their cfg", path=args.file, expected="--cfg FILE")
    else:
        args.file = cfg_file(args.file)
        lines = list(table(Network.load(args.file)))
    print(f"{args.file}: {Path(args.file).stat().st_size:,} bytes on disk")
    print("\n".join(lines))
    return 0


def table(network: Network, layers: Sequence[Row] | None = None) -> Iterator[str]:
    """The lines of the table; ``layers`` are its rows, if they are not those of the cfg."""
    import math

    from tinier_yolo.darknet.layers import Connected, Convolutional
    from tinier_yolo.ifq.table import rows

    yield f"input {network.input}, output {network.output}, stride {network.stride}"
    yield ""
    yield _line("", "layer", "output", "weight", "map", "parameters", "bytes", "MACs")
    yield _line("", "", "", "bits", "bits", "", "", "")
    layers = layers or rows(network)
    for index, row in enumerate(layers):
        bits = (str(bits or ".") for bits in (row.weight_bits, row.map_bits))
        yield _line(index, row.name, row.output, *bits, *map(_grouped, (row.parameters, row.size, row.macs)))
    totals = (sum(getattr(row, name) for row in layers) for name in ("parameters", "size", "macs"))
    yield _line("", "total", "", "", "", *map(_grouped, totals))
    yield ""
    # A connected layer is a convolution over the whole map.
    heads = [layer for layer in network.layers if isinstance(layer, Convolutional | Connected)]
    weights = sum(math.prod(layer.weight_shape) for layer in heads)
    yield f"convolution weights {weights:,}: {weights * 4 / 1e6:.2f} MB as float32, {-(-weights // 8):,} bytes at 1 bit"
    maps = [row.map_size for row in layers]
    yield f"maps: the largest {max(maps):,} bytes, all {sum(maps):,} bytes"
    yield from _substructures(network)


def _substructures(network: Network) -> Iterator[str]:
    # Of a network that is quantised in part: an integer program has its own rows, a float network no substructures.
    from tinier_yolo.errors import ConversionError
    from tinier_yolo.ifq.substructures import divide, integer_chain

    parts = divide(network)
    if not any(part.quantized for part in parts):
        return
    try:
        integer_chain(network)
    except ConversionError:
        quantized = ", ".join(str(number) for number, part in enumerate(parts, start=1) if part.quantized)
        yield f"{len(parts)} substructures, of which {quantized} are quantised"
        for number, part in enumerate(parts, start=1):
            yield f"substructure {number}: " + ", ".join(layer.kind for layer in part.layers)


def _line(*cells: object) -> str:
    form = "{:>2}  {:<22} {:<13} {:>6} {:>4} {:>12} {:>11} {:>13}"
    return form.format(*cells).rstrip()


def _grouped(number: int) -> str:
    return f"{number:,}" if number else "."


def _facts(program: AnyProgram) -> Iterator[str]:
    from tinier_yolo.ifq.fixed_point.program import FixedPointProgram

    metadata = program.metadata
    yield f"classes: {', '.join(program.class_names)}; images: {metadata['resize']}, {metadata['colours']}"
    yield f"output in units of 2^-{program.fraction_bits}"
    facts = {"provenance": program.provenance}
    if isinstance(program, FixedPointProgram):
        for number, layer in enumerate(program.layers):
            own = layer.formats
            yield f"formats of convolution {number}: weights {own.weights}, biases {own.biases}, maps {own.maps}"
    else:
        facts = {"proof": program.proof, **facts}
    for title, values in facts.items():
        yield f"{title}: " + (", ".join(f"{key} {value}" for key, value in values.items()) or "none")
    yield f"sha256: {metadata['sha256']}"

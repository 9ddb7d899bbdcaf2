"""``tinier-yolo summary``: the table of layers of a cfg, a .weights or an .ifq."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinier_yolo.darknet.layers import Layer
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.quantization.program import Program

_FLOAT_BITS = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("file", metavar="CFG|MODEL.ifq|WEIGHTS", help="what to summarise; weights need --cfg")
    parser.add_argument("--cfg", metavar="FILE", help="the cfg of the weights")


def run(args: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        TinierYoloError: a file is bad.
    """
    from pathlib import Path

    from tinier_yolo.darknet.network import Network
    from tinier_yolo.darknet.weights import load_weights, read_header
    from tinier_yolo.errors import UsageError
    from tinier_yolo.quantization.program import Program

    suffix = Path(args.file).suffix
    if suffix == ".ifq":
        if args.cfg:
            raise UsageError("an .ifq needs no cfg: it holds its own", path=args.file, found=f"cfg {args.cfg}")
        program = Program.load(args.file)
        lines = [*table(program.network), *_facts(program)]
    elif args.cfg:
        network = Network.load(args.cfg)
        load_weights(args.file, network)
        header = read_header(Path(args.file).read_bytes(), args.file)
        version = ".".join(map(str, header.version))
        lines = [*table(network), f"weights of version {version}, {header.images_seen:,} images seen"]
    elif suffix in (".weights", ".backup"):
        raise UsageError("weights without their cfg", path=args.file, expected="--cfg FILE")
    else:
        lines = list(table(Network.load(args.file)))
    print(f"{args.file}: {Path(args.file).stat().st_size:,} bytes on disk")
    print("\n".join(lines))
    return 0


@dataclass(frozen=True)
class Row:
    """One layer. Bits are None where nothing is stored; bytes are those of the network's final form.

    Attributes:
        name: kind and geometry.
        output: width x height x channels.
        weight_bits: bits of a weight.
        map_bits: bits of a value of the output map: levels, float32, or the int32 of an integer program's output.
        parameters: numbers in the .weights file.
        size: bytes in the .ifq of a quantised network, in the .weights of another.
        macs: multiply-accumulates for one image.
        map_size: bytes of the output map.
    """

    name: str
    output: str
    weight_bits: int | None
    map_bits: int | None
    parameters: int
    size: int
    macs: int
    map_size: int


def rows(network: Network) -> tuple[Row, ...]:
    """One row for each layer of a network."""
    integer = _integer_form(network)
    return tuple(_row(layer, integer.get(index)) for index, layer in enumerate(network.layers))


def table(network: Network) -> Iterator[str]:
    """The lines of the table."""
    from tinier_yolo.darknet.layers import Convolutional

    yield f"input {network.input}, output {network.output}, stride {network.stride}"
    yield ""
    yield _line("", "layer", "output", "weight", "map", "parameters", "bytes", "MACs")
    yield _line("", "", "", "bits", "bits", "", "", "")
    layers = rows(network)
    for index, row in enumerate(layers):
        bits = (str(bits or ".") for bits in (row.weight_bits, row.map_bits))
        yield _line(index, row.name, row.output, *bits, *map(_grouped, (row.parameters, row.size, row.macs)))
    totals = (sum(getattr(row, name) for row in layers) for name in ("parameters", "size", "macs"))
    yield _line("", "total", "", "", "", *map(_grouped, totals))
    yield ""
    weights = sum(
        dict(layer.parameters)["weights"][0] * layer.weight_shape[1] * layer.size**2
        for layer in network.layers
        if isinstance(layer, Convolutional)
    )
    yield f"convolution weights {weights:,}: {weights * 4 / 1e6:.2f} MB as float32, {-(-weights // 8):,} bytes at 1 bit"
    maps = [row.map_size for row in layers]
    yield f"maps: the largest {max(maps):,} bytes, all {sum(maps):,} bytes"


def _line(*cells: object) -> str:
    form = "{:>2}  {:<22} {:<13} {:>6} {:>4} {:>12} {:>11} {:>13}"
    return form.format(*cells).rstrip()


def _grouped(number: int) -> str:
    return f"{number:,}" if number else "."


def _row(layer: Layer, integer: tuple[int, int | None] | None) -> Row:
    import math

    from tinier_yolo.darknet.layers import Connected, Convolutional, Cost, Dropout, Region

    parameters = sum(math.prod(shape) for _, shape in layer.parameters)
    if integer is not None:
        size, map_bits = integer
    else:
        size, map_bits = 4 * parameters, None if isinstance(layer, Region | Dropout | Cost) else _FLOAT_BITS
    weight_bits = None
    if isinstance(layer, Convolutional | Connected):
        weight_bits = 1 if layer.binary else _FLOAT_BITS
    cells = layer.output.height * layer.output.width
    return Row(
        name=_name(layer),
        output=str(layer.output),
        weight_bits=weight_bits,
        map_bits=map_bits,
        parameters=parameters,
        size=size,
        macs=layer.macs,
        map_size=cells * -(-layer.output.channels * (map_bits or 0) // 8),
    )


def _name(layer: Layer) -> str:
    from tinier_yolo.darknet.layers import Activation, Convolutional, MaxPool, Region

    if isinstance(layer, Convolutional):
        return f"{layer.kind} {layer.size}x{layer.size}/{layer.stride}"
    if isinstance(layer, MaxPool):
        return f"{layer.kind} {layer.size}x{layer.size}/{layer.stride}"
    if isinstance(layer, Activation):
        return f"{layer.kind} {layer.activation}"
    if isinstance(layer, Region):
        return f"{layer.kind} {len(layer.anchors)} anchors"
    return layer.kind


def _integer_form(network: Network) -> Mapping[int, tuple[int, int | None]]:
    # Bytes in the .ifq and bits of the output map, by layer: sign bits, then thresholds and flips in place of biases
    # and batch norm, and no map before them. Empty for a network that has no integer program.
    from tinier_yolo.errors import ConversionError
    from tinier_yolo.quantization.float64 import IMAGE_BITS
    from tinier_yolo.quantization.program import accumulator_limit, packed_size, threshold_type
    from tinier_yolo.quantization.substructures import integer_chain

    form: dict[int, tuple[int, int | None]] = {}
    bits = IMAGE_BITS
    try:
        for part in integer_chain(network):
            filters, quantizer = part.convolution.filters, part.quantizer
            places = range(part.start, part.start + len(part.layers))
            form |= dict.fromkeys(places, (0, None))
            form[part.start] = packed_size(part.convolution), None
            if quantizer is not None:
                width = threshold_type(accumulator_limit(part.convolution, bits))().itemsize
                bits = quantizer.bits
                form[places[-1]] = filters * ((1 << bits) - 1) * width + -(-filters // 8), bits
            else:
                form[part.start] = packed_size(part.convolution) + 2 * 4 * filters, None
                form[places[-1]] = form[places[-1]][0], _FLOAT_BITS
    except ConversionError:
        return {}
    return form


def _facts(program: Program) -> Iterator[str]:
    metadata = program.metadata
    yield f"classes: {', '.join(program.class_names)}; images: {metadata['resize']}, {metadata['colours']}"
    yield f"output in units of 2^-{program.fraction_bits}"
    for title, values in (("proof", program.proof), ("provenance", program.provenance)):
        yield f"{title}: " + (", ".join(f"{key} {value}" for key, value in values.items()) or "none")
    yield f"sha256: {metadata['sha256']}"

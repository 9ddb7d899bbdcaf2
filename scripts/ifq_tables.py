"""The tables of IFQ-Net, the paper's figures beside ours: 1, 3 and 4 from the cfg of an AlexNet, 2 from trained models.

Table 1 divides the network into substructures, Table 3 tells the bits of each layer, Table 4 the size of the model and
of the largest map. The accuracies of Table 4 are ImageNet's and are not made here. Table 2 compares the two ways of
conversion; it is printed where models are named, networks of one kind with k = 2, 3 or 4.

    python scripts/ifq_tables.py [--cfg cfg/ifq-alexnet.cfg] [--json tables.json]
        [--model CFG WEIGHTS]... [--data DATA] [--metric ap|rate|top1] [--images 100]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.figure4 import Subject  # noqa: E402
from tinier_yolo.darknet.layers import Activation, Connected, Convolutional, Layer  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.errors import TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.files import atomic_write  # noqa: E402
from tinier_yolo.ifq.substructures import Substructure, divide  # noqa: E402
from tinier_yolo.ifq.tensors import IMAGE_BITS  # noqa: E402

#: m of the two substructures that are not quantised (section 4.1.2).
FIRST_M, LAST_M = 9, 14
#: Bits of base' and of offset' of Eq. 8, of which a channel has one each, whatever k is.
THRESHOLD_BITS = 16
#: Lin et al. in Table 3: weights and maps, as the paper prints them.
PAPER_LIN = {
    "conv1": ("g", "g"),
    "conv2": ("g-5", "g-5"),
    "conv3": ("g-4", "g-4"),
    "conv4": ("g-5", "g-5"),
    "conv5": ("g-4", "g-4"),
    "FC6": ("6", "6"),
    "FC7": ("6", "6"),
}
PAPER_IFQ = {"conv1": ("9", "8"), **dict.fromkeys(("conv2", "conv3", "conv4", "conv5", "FC6", "FC7"), ("1", "k"))}
#: Table 4: Mbit of the model without FC8 and of the largest map, for Lin et al. and by k.
PAPER_SIZES = {"Lin, g = 9": (127.3, 10.8), "Lin, g = 10": (128.5, 12.0), "k = 2": (58.8, 0.6), "k = 4": (58.8, 1.1)}

#: Table 2: top-1 on ImageNet by conversion, for k = 2, 3, 4.
PAPER_TABLE_2 = {
    "float": (0.5214, 0.5301, 0.5471),
    "separated, m = 12": (0.5206, 0.5296, 0.5470),
    "separated, m = 10": (0.5168, 0.5292, 0.5443),
    "separated, m = 9": (0.5073, 0.5230, 0.5385),
    "separated, m = 8": (0.4585, 0.4678, 0.5105),
    "integrated": (0.5214, 0.5301, 0.5471),
}

Weighted = Convolutional | Connected


@dataclass(frozen=True)
class LayerBits:
    """A row of Table 3: a layer, bits of a weight and of a value that it reads; and what Table 4 counts.

    Attributes:
        name: as in the paper.
        weights: number of weights.
        weight_bits: of each; None for the last layer, which the paper leaves out of both tables.
        map_bits: of a value of the map that it reads.
        substructure: from 1.
    """

    name: str
    weights: int
    weight_bits: int | None
    map_bits: int
    substructure: int


@dataclass(frozen=True)
class Sizes:
    """A column of Table 4, in bits: all weights but FC8's, what belongs to channels, and the largest map."""

    k: int
    weights: int
    channels: int
    largest_map: int

    @property
    def model(self) -> int:
        """Weights and channels."""
        return self.weights + self.channels


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, and write the JSON file if one is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cfg", default=str(ROOT / "cfg" / "ifq-alexnet.cfg"), help="the network")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    models = parser.add_argument_group("Table 2")
    models.add_argument("--model", nargs=2, action="append", metavar=("CFG", "WEIGHTS"), default=[], help="a network")
    models.add_argument("--data", help="a .data file: images of its valid list")
    models.add_argument("--metric", default="ap", help="as of tinier-yolo quantize (default ap)")
    models.add_argument("--images", type=int, default=100, help="how many, evenly spread (default 100)")
    args = parser.parse_args(argv)
    try:
        if args.model and not args.data:
            raise UsageError("Table 2 needs images", expected="--data DATA")
        networks = {k: with_bits(Network.load(args.cfg), k) for k in (2, 4)}
        sizes = [table_4(network, k) for k, network in networks.items()]
        print("\n".join(markdown(networks[2], sizes)))
        measured = {}
        if args.model:
            subjects = [Subject.load(*files, args.data, args.images, args.metric) for files in args.model]
            measured = {quantizer_bits(own.network): table_2(own) for own in subjects}
            print("\n".join(markdown_2(measured, f"{args.metric}, {len(subjects[0].images.pixels)} images")))
            different = {quantizer_bits(own.network): own.different() for own in subjects if own.is_partial}
            for k, count in different.items():
                print(f"\nk = {k}: images of which float and integrated give other outputs: {count}")
        if args.json:
            content = {
                "conversions": measured,
                "substructures": [_names(part, networks[2]) for part in divide(networks[2])],
                "bits": [asdict(row) for row in table_3(networks[2])],
                "sizes": [asdict(own) | {"model": own.model} for own in sizes],
            }
            with atomic_write(args.json, "w") as file:
                json.dump(content, file, indent=2)
    except TinierYoloError as error:
        print(f"ifq_tables: {error}", file=sys.stderr)
        return 2
    return 0


def with_bits(network: Network, bits: int) -> Network:
    """The same network whose quantisers have k = ``bits``."""
    return Network.parse(re.sub(r"(?m)^bits=\d+", f"bits={bits}", network.text), network.path)


def quantizer_bits(network: Network) -> int:
    """k: the bits of its quantised maps.

    Raises:
        UsageError: it has none, or of several sizes.
    """
    found = {part.quantizer.bits for part in divide(network) if part.quantizer}
    if len(found) != 1:
        problem = "Table 2 is about networks whose maps all have k bits"
        raise UsageError(problem, path=network.path, found=sorted(found) or "no quantised map")
    return found.pop()


def table_2(subject: Subject) -> dict[str, float]:
    """The metric of a network by its conversion, the rows of Table 2: every substructure separated, the last too.

    Where some substructures are not quantised, as in IFQ-AlexNet, these stay float in all rows.
    """
    rows = {"float": subject.measure_float()}
    for name in PAPER_TABLE_2:
        if name.startswith("separated"):
            rows[name] = subject.measure_separated(int(name.rpartition(" ")[2]))
    return {**rows, "integrated": subject.measure_integrated()}


def markdown_2(measured: Mapping[int, Mapping[str, float]], what: str) -> Iterator[str]:
    """The lines of Table 2; ``measured`` has the rows of each k."""
    yield ""
    yield f"Table 2: {what}; beside them the paper's, top-1 of AlexNet on ImageNet"
    yield ""
    yield "| | " + " | ".join(f"k = {k} | paper" for k in sorted(measured)) + " |"
    yield "|---" * (1 + 2 * len(measured)) + "|"
    for name, paper in PAPER_TABLE_2.items():
        theirs = dict(zip((2, 3, 4), paper, strict=True))
        cells = (f"{measured[k][name]:.4f} | {theirs.get(k, '')}" for k in sorted(measured))
        yield f"| {name} | {' | '.join(cells)} |"


def table_3(network: Network) -> list[LayerBits]:
    """The bits of every layer with weights, the last one without."""
    rows: list[LayerBits] = []
    map_bits, parts = IMAGE_BITS, divide(network)
    names = _layer_names(network)
    for number, part in enumerate(parts, start=1):
        heads = [layer for layer in part.layers if isinstance(layer, Weighted)]
        for layer in heads:
            weight_bits: int | None = 1 if layer.binary else FIRST_M if number == 1 else None
            weights = math.prod(dict(layer.parameters)["weights"])
            rows.append(LayerBits(names[id(layer)], weights, weight_bits, map_bits, number))
        quantizer = part.quantizer
        map_bits = quantizer.bits if quantizer else map_bits
    return rows


def table_4(network: Network, k: int) -> Sizes:
    """Model and largest map.

    Besides the weights a channel has base' and offset' where its substructure is quantised, and four numbers of m = 9
    bits in the first one (mean, deviation, base, offset) and two of m = 14 bits in the last one (mean, deviation).

    Raises:
        UsageError: the network has no quantised map.
    """
    parts = divide(network)
    weights = sum(row.weights * row.weight_bits for row in table_3(network) if row.weight_bits)
    channels = 4 * FIRST_M * parts[0].layers[0].output.channels
    channels += 2 * LAST_M * parts[-1].layers[0].output.channels
    channels += sum(2 * THRESHOLD_BITS * part.layers[0].output.channels for part in parts if part.quantized)
    # The paper counts conv1's map of 55 x 55, before the pool.
    made = [part.layers[0].output.size * part.quantizer.bits for part in parts if part.quantizer]
    if not made:
        raise UsageError("a network without quantised maps", path=network.path)
    return Sizes(k, weights, channels, max(made))


def markdown(network: Network, sizes: Sequence[Sizes]) -> Iterator[str]:
    """The lines of all tables."""
    parts = divide(network)
    yield f"Table 1: {len(parts)} substructures (paper: 7; 2 to 6 quantised)"
    yield ""
    yield "| substructure | quantised | layers |"
    yield "|---|---|---|"
    for number, part in enumerate(parts, start=1):
        yield f"| {number} | {'yes' if part.quantized else 'no'} | {', '.join(_names(part, network))} |"
    yield ""
    yield "Table 3: bits of a weight and of a value of the map that is read (k = 2; g is Lin's gamma, 9 or more)"
    yield ""
    yield "| layer | weights | paper | maps | paper | Lin et al.: weights, maps |"
    yield "|---|---|---|---|---|---|"
    for row in table_3(network):
        if row.weight_bits is not None:
            paper, other = (table.get(row.name, ("-", "-")) for table in (PAPER_IFQ, PAPER_LIN))
            cells = (row.name, row.weight_bits, paper[0], row.map_bits, paper[1], ", ".join(other))
            yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    yield f"Table 4: Mbit, FC8 not counted; {sum(row.weights for row in table_3(network) if row.weight_bits):,} weights"
    yield ""
    yield "| | model | paper | largest map | paper |"
    yield "|---|---|---|---|---|"
    for name in ("Lin, g = 9", "Lin, g = 10"):
        yield f"| {name} | | {PAPER_SIZES[name][0]} | | {PAPER_SIZES[name][1]} |"
    for own in sizes:
        paper_sizes = PAPER_SIZES[f"k = {own.k}"]
        model, largest = f"{own.model / 1e6:.2f}", f"{own.largest_map / 1e6:.2f}"
        yield f"| k = {own.k} | {model} | {paper_sizes[0]} | {largest} | {paper_sizes[1]} |"
    yield ""
    own = sizes[0]
    yield f"Of the model {own.weights / 1e6:.2f} Mbit are weights and {own.channels / 1e6:.2f} Mbit belong to channels."


def _layer_names(network: Network) -> dict[int, str]:
    heads = [layer for layer in network.layers if isinstance(layer, Weighted)]
    return {
        id(layer): f"{'conv' if isinstance(layer, Convolutional) else 'FC'}{number}"
        for number, layer in enumerate(heads, start=1)
    }


def _names(part: Substructure, network: Network) -> list[str]:
    names = _layer_names(network)

    def name(layer: Layer) -> str:
        if isinstance(layer, Weighted):
            return names[id(layer)] + (" (1 bit)" if layer.binary else "")
        if isinstance(layer, Activation):
            return f"quantiser of {layer.bits} bits" if layer.quantizes else layer.activation
        return layer.kind

    return [name(layer) for layer in part.layers]


if __name__ == "__main__":
    sys.exit(main())

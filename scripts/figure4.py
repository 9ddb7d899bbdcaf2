"""Figure 4 of IFQ-Net: the metric over m of the last substructure, then over m of the first one.

a) the last substructure is converted in the separated way with m fraction bits, the first one not at all: it is
   integrated, which is lossless, or stays float where it is not quantised; b) the first one is converted in the
   separated way (Eq. 5), the last with m = 14.
All others are integrated.

    python scripts/figure4.py CFG WEIGHTS --data DATA [--metric ap] [--images 100] [--out figure4]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinier_yolo.bulk.local import cores, in_threads  # noqa: E402
from tinier_yolo.calibration.images import CalibrationImages, load_images  # noqa: E402
from tinier_yolo.classification.partial_engine import PartialEngine  # noqa: E402
from tinier_yolo.darknet.layers import Connected, Convolutional  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.darknet.weights import Parameters, load_weights  # noqa: E402
from tinier_yolo.errors import TinierYoloError  # noqa: E402
from tinier_yolo.eval.plots import Line, plot_lines  # noqa: E402
from tinier_yolo.eval.report import write_json  # noqa: E402
from tinier_yolo.ifq.substructures import divide  # noqa: E402
from tinier_yolo.quantization.convert import convert  # noqa: E402
from tinier_yolo.quantization.float64 import evaluate  # noqa: E402
from tinier_yolo.quantization.partial import IntegerPart, PartialProgram, convert_partially  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402

#: m of the last substructure where that of the first is swept (section 4.1.2), and the ends of both sweeps.
LAST_M = 14
LAST_SWEEP = (4, 6, 8, 10, 12, 14, 16)
FIRST_SWEEP = (4, 5, 6, 7, 8, 9, 10, 12)


@dataclass(frozen=True)
class Point:
    """A conversion that was measured: which substructure was swept, its m, and the metric."""

    swept: str
    m: int
    metric: float


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the images that it is measured on."""

    network: Network
    parameters: Parameters
    images: CalibrationImages

    @classmethod
    def load(cls, cfg: str, weights: str, data: str, count: int, metric: str) -> Subject:
        """Read all files.

        Raises:
            TinierYoloError: one is bad.
        """
        network = Network.load(cfg)
        parameters = load_weights(weights, network)
        return cls(network, parameters, load_images(network, data, count, metric))

    def measure(self, fraction_bits: int = LAST_M, separated_m: Mapping[int, int] | None = None) -> float:
        """The metric of a conversion, its last substructure with ``fraction_bits``, others as ``separated_m`` says."""
        if self.is_partial:
            last = len(divide(self.network)) - 1
            return self.images.metric(self._partial_outputs({last: fraction_bits, **(separated_m or {})}), 0)
        names = [str(number) for number in range(self.network.region.classes)]
        how = {"class_names": names, "fraction_bits": fraction_bits, "separated_m": separated_m}
        engine = Engine(convert(self.network, self.parameters, **how).program)  # type: ignore[arg-type]
        return self.images.metric([engine.run(image) for image in self.images.pixels], fraction_bits)

    @property
    def is_partial(self) -> bool:
        """Whether some substructures stay float, as in IFQ-AlexNet."""
        return not all(layer.binary for layer in self.network.layers if isinstance(layer, Convolutional | Connected))

    def measure_integrated(self) -> float:
        """The metric where every quantised substructure is integrated."""
        return self.images.metric(self._integrated_outputs, 0) if self.is_partial else self.measure()

    def measure_separated(self, m: int) -> float:
        """The metric where every substructure is separated; of a partial network, every one that is quantised."""
        parts = divide(self.network)
        separated_m = {number: m for number, part in enumerate(parts) if part.quantized or not self.is_partial}
        if self.is_partial:
            return self.images.metric(self._partial_outputs(separated_m), 0)
        return self.measure(separated_m=separated_m)

    def measure_float(self) -> float:
        """The metric of the trained network, in float64."""
        return self.images.metric(self._float_outputs, 0)

    def different(self) -> int:
        """The images of which a partial network, integrated, gives another output than in float."""
        pairs = zip(self._float_outputs, self._integrated_outputs, strict=True)
        return sum(not np.array_equal(one, other) for one, other in pairs)

    @cached_property
    def _float_outputs(self) -> list[NDArray[Any]]:
        if self.is_partial:
            run = partial(self._exact.run_parts, IntegerPart.run_float, start=1)
            return in_threads(run, self._first_maps, cores(), "float")
        return in_threads(
            lambda image: evaluate(self.network, self.parameters, image)[1], self.images.pixels, cores(), "float"
        )

    @cached_property
    def _integrated_outputs(self) -> list[NDArray[Any]]:
        return self._partial_outputs({})

    def _partial_outputs(self, separated_m: Mapping[int, int]) -> list[NDArray[Any]]:
        program = convert_partially(self.network, self.parameters, separated_m)
        engine = PartialEngine(program)
        if 0 in separated_m:
            return [engine.run(image) for image in self.images.pixels]
        return [program.run_parts(engine.run_part, levels, 1) for levels in self._first_maps]

    @cached_property
    def _exact(self) -> PartialProgram:
        return convert_partially(self.network, self.parameters)

    @cached_property
    def _first_maps(self) -> list[NDArray[np.uint8]]:
        # Of a partial network: the levels behind its first substructure, which most conversions leave as they are.
        run = partial(self._exact.run_parts, IntegerPart.run, stop=1)
        return in_threads(run, [image.transpose(2, 0, 1) for image in self.images.pixels], cores(), "first maps")


def sweeps(subject: Subject) -> Iterator[Point]:
    """The points of both parts of the figure."""
    for m in LAST_SWEEP:
        yield Point("last", m, subject.measure(fraction_bits=m))
    for m in FIRST_SWEEP:
        yield Point("first", m, subject.measure(separated_m={0: m}))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write JSON and the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cfg", help="an IFQ network")
    parser.add_argument("weights", help="its .weights")
    parser.add_argument("--data", required=True, help="a .data file: images of its valid list")
    parser.add_argument("--metric", default="ap", help="as of tinier-yolo quantize (default ap)")
    parser.add_argument("--images", type=int, default=100, help="how many, evenly spread (default 100)")
    parser.add_argument("--out", type=Path, help="folder for figure4.json and figure4.png")
    args = parser.parse_args(argv)
    try:
        subject = Subject.load(args.cfg, args.weights, args.data, args.images, args.metric)
        points: list[Point] = []
        print(f"| substructure | m | {args.metric} |\n|---|---|---|", flush=True)
        for point in sweeps(subject):
            points.append(point)
            print(f"| {point.swept} | {point.m} | {point.metric:.4f} |", flush=True)
        if args.out:
            facts = {"metric": args.metric, "images": len(subject.images.pixels), "cfg": args.cfg}
            write_json(args.out / "figure4.json", {**facts, "points": [asdict(point) for point in points]})
            lines = [
                Line(f"{swept} substructure", *zip(*((p.m, p.metric) for p in points if p.swept == swept), strict=True))
                for swept in ("last", "first")
            ]
            title = f"{args.metric} of {Path(args.cfg).stem} over m, {facts['images']} images"
            plot_lines(args.out / "figure4.png", lines, title=title, axes=("m", args.metric))
    except TinierYoloError as error:
        print(f"figure4: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

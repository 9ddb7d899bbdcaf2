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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinier_yolo.bulk.local import cores, in_threads  # noqa: E402
from tinier_yolo.calibration.images import CalibrationImages, load_images  # noqa: E402
from tinier_yolo.darknet.layers import Connected, Convolutional  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.darknet.weights import Parameters, parse_weights, read_weights  # noqa: E402
from tinier_yolo.errors import TinierYoloError  # noqa: E402
from tinier_yolo.eval.plots import Line, plot_lines  # noqa: E402
from tinier_yolo.eval.report import write_json  # noqa: E402
from tinier_yolo.ifq.substructures import divide  # noqa: E402
from tinier_yolo.quantization.convert import convert  # noqa: E402
from tinier_yolo.quantization.float64 import evaluate  # noqa: E402
from tinier_yolo.quantization.partial import convert_partially  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402
from tinier_yolo.runtime.partial_engine import PartialEngine  # noqa: E402

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
        parameters = parse_weights(read_weights(weights), network, weights)
        return cls(network, parameters, load_images(network, data, count, metric))

    def measure(self, fraction_bits: int = LAST_M, separated_m: Mapping[int, int] | None = None) -> float:
        """The metric of a conversion, its last substructure with ``fraction_bits``, others as ``separated_m`` says."""
        if self.is_partial:
            return self._measure_partial({len(divide(self.network)) - 1: fraction_bits, **(separated_m or {})})
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
        return self._measure_partial({}) if self.is_partial else self.measure()

    def measure_separated(self, m: int) -> float:
        """The metric where every substructure is separated; of a partial network, every one that is quantised."""
        parts = divide(self.network)
        separated_m = {number: m for number, part in enumerate(parts) if part.quantized or not self.is_partial}
        return self._measure_partial(separated_m) if self.is_partial else self.measure(separated_m=separated_m)

    def measure_float(self) -> float:
        """The metric of the trained network, in float64."""
        if self.is_partial:
            partial = convert_partially(self.network, self.parameters)
            return self._worth(lambda image: partial.run(image, integers=False))
        return self._worth(lambda image: evaluate(self.network, self.parameters, image)[1])

    def _measure_partial(self, separated_m: Mapping[int, int]) -> float:
        engine = PartialEngine(convert_partially(self.network, self.parameters, separated_m))
        return self.images.metric([engine.run(image) for image in self.images.pixels], 0)

    def _worth(self, run: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> float:
        outputs = in_threads(run, self.images.pixels, cores(), "images")
        return self.images.metric(outputs, 0)


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

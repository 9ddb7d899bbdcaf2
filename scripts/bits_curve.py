"""Uniform bits against Lin et al.'s allocation: accuracy over the size of the weights, on images that chose nothing.

Of a detector, the formats are chosen on photographs of a .data file's valid list, and the rate at 0.1 false positives
an image is measured on images of FDDB. Of a classifier, the formats are chosen on images of the data's train part, and
top-1 accuracy is measured on its valid (or test) part. Writes what ``tinier-yolo quantize --report`` writes: JSON, CSV,
the SQNR by layer and the curve.

    python scripts/bits_curve.py CFG WEIGHTS --data DATA --annotations FDDB-folds --images originalPics
        [--list dev_hard_images.txt] [--count 100] [--rounding compensated] --out curve
    python scripts/bits_curve.py cfg/cifar10.cfg WEIGHTS --data cifar10 --count 10000 --out curve
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinier_yolo.calibration.images import CalibrationImages, Made, class_images, evenly, load_images, spread  # noqa: E402
from tinier_yolo.calibration.methods import Point, check_kappa, curve, kappa_of  # noqa: E402
from tinier_yolo.calibration.report import bits_text, make_report  # noqa: E402
from tinier_yolo.calibration.run import ROUNDINGS, make_builder  # noqa: E402
from tinier_yolo.calibration.trials import Trials  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.darknet.weights import load_weights  # noqa: E402
from tinier_yolo.datasets.classes import load_class_data  # noqa: E402
from tinier_yolo.datasets.fddb import FddbImage  # noqa: E402
from tinier_yolo.defaults import EVALUATION_THRESH, NMS  # noqa: E402
from tinier_yolo.detection.detector import Detector, Prepared  # noqa: E402
from tinier_yolo.detection.letterbox import Letterbox  # noqa: E402
from tinier_yolo.errors import TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.eval.fddb import protocol  # noqa: E402
from tinier_yolo.eval.fddb.dataset import FddbSet  # noqa: E402
from tinier_yolo.media.images import read_image  # noqa: E402
from tinier_yolo.quantization.post_training.costs import layer_sizes  # noqa: E402
from tinier_yolo.quantization.post_training.folding import fold  # noqa: E402
from tinier_yolo.runtime.float_engine import FloatEngine  # noqa: E402

#: Uniform bits of the curve.
BITS = range(3, 9)
#: Photographs, or images of classes, from which the formats are chosen.
PHOTOGRAPHS, CLASS_IMAGES = 16, 256


@dataclass(frozen=True, eq=False)
class FddbRate:
    """A metric: the rate of faces found at 0.1 false positives an image, by FDDB's protocol."""

    network: Network
    images: tuple[FddbImage, ...]
    prepared: tuple[Prepared, ...]
    sizes: dict[str, tuple[int, int]]

    def __call__(self, outputs: Sequence[NDArray[Any]], fraction_bits: int) -> float:
        """The rate of output maps of all images, in their order."""
        detector = Detector(Made(iter(outputs)), self.network, ("face",), fraction_bits)
        rows = {}
        for image, prepared in zip(self.images, self.prepared, strict=True):
            found = detector.detect(prepared, EVALUATION_THRESH, NMS)
            corners = found.boxes.astype(np.float64)
            rows[image.name] = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2], found.scores])
        return protocol.curve(self.images, rows, self.sizes).rate_at()


def load_fddb_images(network: Network, fddb: FddbSet, root: str, count: int) -> CalibrationImages:
    """``count`` images of a set, evenly spread over it, and their rate."""
    everything = list(fddb.images)
    images = tuple(everything[place] for place in spread(len(everything), count))
    files, prepared, sizes = fddb.files(root), [], {}
    for image in images:
        rgb = read_image(files[image.name], upright=False)
        sizes[image.name] = (rgb.shape[1], rgb.shape[0])
        own = network.options
        letterbox = Letterbox.fit(sizes[image.name], (own.width, own.height), own.letter_box)
        prepared.append(Prepared(letterbox, letterbox.apply(rgb)))
    rate = FddbRate(network, images, tuple(prepared), sizes)
    return CalibrationImages(network, [own.pixels for own in prepared], rate, "FDDB rate")


def load_sets(network: Network, args: argparse.Namespace) -> tuple[CalibrationImages, CalibrationImages]:
    """The images that choose the formats, and those that are measured.

    Raises:
        TinierYoloError: bad data, or options that a detector needs and that are missing.
    """
    if network.is_classifier:
        data = load_class_data(args.data)
        parts = (data.load_train(), evenly(CLASS_IMAGES)), (data.load_valid(), evenly(args.count))
        chosen, measured = (class_images(network, images, data.class_names, places) for images, places in parts)
        return chosen, measured
    if not (args.annotations and args.images):
        raise UsageError("a detector is measured on FDDB", expected="--annotations FOLDS --images PICTURES")
    photographs = load_images(network, args.data, PHOTOGRAPHS, "ap")
    return photographs, load_fddb_images(network, FddbSet.load(args.annotations, args.list), args.images, args.count)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both sweeps and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cfg", help="a float network")
    parser.add_argument("weights", help="its .weights")
    parser.add_argument("--data", required=True, help="a .data file, or a classifier's folder: see above")
    parser.add_argument("--annotations", help="of a detector: FDDB-folds")
    parser.add_argument("--images", help="of a detector: originalPics")
    parser.add_argument("--list", action="append", default=[], help="a list of FDDB's images (default: all)")
    parser.add_argument("--count", type=int, default=100, help="images that are measured, evenly spread (default 100)")
    parser.add_argument("--kappa", default="fit", help="as of tinier-yolo quantize (default fit)")
    parser.add_argument("--rounding", choices=ROUNDINGS, default="nearest")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    args = parser.parse_args(argv)
    try:
        check_kappa(args.kappa)
        _draw(args)
    except TinierYoloError as error:
        print(f"bits_curve: {error}", file=sys.stderr)
        return 2
    return 0


def _draw(args: argparse.Namespace) -> None:
    start, network = time.process_time(), Network.load(args.cfg)
    parameters = load_weights(args.weights, network)
    chosen, measured = load_sets(network, args)
    engine = FloatEngine(network, parameters)
    folded = fold(network, parameters)
    builder = make_builder(folded, chosen, args.rounding)
    trials = Trials(builder, measured, [engine.run(image) for image in measured.pixels], keeps_maps=False)
    sizes, points = layer_sizes([layer.part for layer in folded], network.input), []

    def note(point: Point) -> None:
        points.append(point)
        print(f"{point.method}: {point.metric:.4f}, bits {bits_text(point.bits)}", flush=True)

    wanted = trials.wanted
    print(f"float: {wanted:.4f} on {len(measured.pixels)} images", flush=True)
    kappa = kappa_of(trials, args.kappa, note)
    curve(trials, sizes, kappa, "size", note, BITS)
    facts = {
        "method": "uniform and lin",
        "metric": measured.metric_name,
        "images": len(measured.pixels),
        "rounding": args.rounding,
        "kappa": round(kappa, 4),
        "trials": trials.trials,
        "processor_seconds": round(time.process_time() - start, 1),
    }
    report = make_report(trials, sizes, points[-1], points, wanted, facts)
    report.write(args.out)
    print(f"{args.out}: {facts['trials']} trials, {facts['processor_seconds']} s of processor time")


if __name__ == "__main__":
    sys.exit(main())

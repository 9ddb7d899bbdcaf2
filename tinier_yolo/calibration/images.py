"""Calibration images: what a network gets of them, and the metric of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.classification.crop import centre_crop
from tinier_yolo.darknet.layers import Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.classes import ClassImages, load_class_data
from tinier_yolo.defaults import EVALUATION_THRESH, NMS
from tinier_yolo.detection.detector import Detector, Prepared
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import PathLike, UsageError
from tinier_yolo.eval.classify.protocol import rank_of, top_share
from tinier_yolo.eval.labelled.benchmark import LabelledImage, load_set
from tinier_yolo.eval.labelled.protocol import ImageResult, precision_recall, roc_curve
from tinier_yolo.eval.matching import match
from tinier_yolo.media.images import read_image

#: What output maps are worth, 0..1: the maps of all images, as the network's last layer gives them, and the fraction
#: bits m where they are integers in units of 2^-m.
Metric = Callable[[Sequence[NDArray[Any]], int], float]
#: From how many images there are to the numbers of those that are taken.
Places = Callable[[int], list[int]]
#: Loads images of a network's data for one of METRICS.
Loader: TypeAlias = "Callable[[Network, PathLike, Places, str], CalibrationImages]"


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Images, and what a network's output maps of them are worth.

    Attributes:
        network: the network that they are prepared for.
        pixels: its inputs, uint8 (height, width, 3).
        metric: the worth of the output maps.
        metric_name: one of METRICS.
        class_names: a name for each class of the network, which the program gets.
    """

    network: Network
    pixels: Sequence[NDArray[np.uint8]]
    metric: Metric
    metric_name: str
    class_names: tuple[str, ...] = ("face",)


def load_images(network: Network, data: PathLike, count: int, metric: str) -> CalibrationImages:
    """Images of a .data file's valid list: ``count`` of them, evenly spread over it (or all, if it has fewer).

    A classifier's data may be a folder of folders too: :func:`tinier_yolo.datasets.classes.load_class_data`.

    Raises:
        UsageError: no images, a metric that the network has not, or data of other classes.
        DataError: a bad list.
        MediaError: an image cannot be read.
    """
    return _loader(metric)(network, data, evenly(count), metric)


def load_other_images(network: Network, data: PathLike, count: int, metric: str) -> CalibrationImages:
    """As many of the images that :func:`load_images` leaves, evenly spread over these; none where it takes all.

    Raises:
        TinierYoloError: as there.
    """
    return _loader(metric)(network, data, lambda total: others(total, count), metric)


def _loader(metric: str) -> Loader:
    if metric not in METRICS:
        raise UsageError("no such metric", expected=" or ".join(METRICS), found=metric)
    return METRICS[metric]


def evenly(count: int) -> Places:
    """Takes ``count`` images, evenly spread, or all."""
    return lambda total: spread(total, count)


def spread(total: int, count: int) -> list[int]:
    """``count`` places of a list of ``total`` entries, evenly spread; all where it has fewer.

    Raises:
        UsageError: there are none.
    """
    if total < 1 or count < 1:
        raise UsageError("no calibration images", expected="at least 1")
    return [int(place) for place in np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))]


def others(total: int, count: int) -> list[int]:
    """``count`` of the places that :func:`spread` leaves, evenly spread over these; none where it takes all."""
    left = sorted(set(range(total)).difference(spread(total, count)))
    return [left[place] for place in spread(len(left), count)] if left else []


def _detector_images(network: Network, data: PathLike, places: Places, metric: str) -> CalibrationImages:
    if not isinstance(network.layers[-1], Region):
        problem = f"--metric {metric} is one of detectors"
        raise UsageError(problem, path=network.path, expected="one that ends in [region], or --metric top1")
    samples = list(load_set(data).values())
    prepared, labelled = [], []
    size = network.options.width, network.options.height
    for place in places(len(samples)):
        rgb = read_image(samples[place].image)
        letterbox = Letterbox.fit((rgb.shape[1], rgb.shape[0]), size, network.options.letter_box)
        prepared.append(Prepared(letterbox, letterbox.apply(rgb)))
        labelled.append(LabelledImage.of(samples[place], (rgb.shape[1], rgb.shape[0])))
    worth = FoundFaces(network, tuple(prepared), tuple(labelled), metric)
    classes = network.region.classes
    names = ("face",) if classes == 1 else tuple(f"class {number}" for number in range(classes))
    return CalibrationImages(network, [own.pixels for own in prepared], worth, metric, names)


def _classifier_images(network: Network, data: PathLike, places: Places, metric: str) -> CalibrationImages:
    classes = load_class_data(data)
    return class_images(network, classes.load_valid(), classes.class_names, places, metric)


def class_images(
    network: Network, images: ClassImages, class_names: tuple[str, ...], places: Places, metric: str = "top1"
) -> CalibrationImages:
    """Some images that have classes, and top-1 accuracy; ``places`` says which of them by their number.

    Raises:
        UsageError: no images, a network that is no classifier, or one of other classes.
        MediaError: an image cannot be read.
    """
    if not network.is_classifier:
        problem = f"--metric {metric} is one of classifiers"
        raise UsageError(problem, path=network.path, expected="a network that ends in [softmax] or [cost]")
    if network.classes != len(class_names):
        problem = "the network has other classes than the data"
        raise UsageError(problem, path=network.path, expected=len(class_names), found=network.classes)
    chosen, size = places(len(images)), (network.options.width, network.options.height)
    pixels = [np.ascontiguousarray(centre_crop(read_image(images.images[place]), size)) for place in chosen]
    return CalibrationImages(network, pixels, RightClasses(images.class_ids[chosen]), metric, class_names)


#: What can be measured: the rate of faces found at 0.1 false positives an image, the average precision, and, of
#: classifiers, the share of images that are put into their own class.
METRICS: Mapping[str, Loader] = {
    "rate": _detector_images,
    "ap": _detector_images,
    "top1": _classifier_images,
}


@dataclass(frozen=True, eq=False)
class RightClasses:
    """A :data:`Metric` of classifiers: top-1 accuracy, as ``eval classify`` counts it.

    Attributes:
        class_ids: int64 (n,), of the images.
    """

    class_ids: NDArray[np.int64]

    def __call__(self, outputs: Sequence[NDArray[Any]], _fraction_bits: int) -> float:
        """The share of output maps, (classes, rows, columns), whose mean is largest in the image's own class."""
        ranks = [
            rank_of(output.reshape(len(output), -1).mean(axis=1, dtype=np.float64), int(class_id))
            for output, class_id in zip(outputs, self.class_ids, strict=True)
        ]
        return top_share(np.array(ranks, np.int64), 1)


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """A :data:`Metric` of detectors on images with labels.

    Attributes:
        network: whose output maps are decoded.
        prepared: what it gets of each image.
        labelled: the faces of each.
        metric: ``rate`` or ``ap``.
    """

    network: Network
    prepared: tuple[Prepared, ...]
    labelled: tuple[LabelledImage, ...]
    metric: str

    def __call__(self, outputs: Sequence[NDArray[Any]], fraction_bits: int) -> float:
        """The metric of output maps as :func:`tinier_yolo.detection.region.decode` takes them."""
        ready = iter(outputs)
        names = tuple(str(number) for number in range(self.network.region.classes))
        detector = Detector(Made(ready), self.network, names, fraction_bits)
        results = [
            self._result(str(number), detector, prepared, image)
            for number, (prepared, image) in enumerate(zip(self.prepared, self.labelled, strict=True))
        ]
        if self.metric == "ap":
            return precision_recall(results).average_precision
        return roc_curve(results, sum(len(image.faces) for image in self.labelled), len(results)).rate_at()

    def _result(self, name: str, detector: Detector, prepared: Prepared, image: LabelledImage) -> ImageResult:
        found = detector.detect(prepared, EVALUATION_THRESH, NMS)
        scale = prepared.letterbox.scale[1]
        heights = (image.faces[:, 3] - image.faces[:, 1]) * scale
        return ImageResult(name, match(found.boxes, found.scores, image.faces, image.ignored), heights, scale)


class Made:
    """An engine whose maps were made before."""

    def __init__(self, outputs: Any) -> None:
        self._outputs = outputs

    def run(self, _image: NDArray[np.uint8], /) -> NDArray[Any]:
        """The next map, whatever the image is."""
        made: NDArray[Any] = next(self._outputs)
        return made

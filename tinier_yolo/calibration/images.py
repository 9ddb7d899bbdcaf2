"""Calibration images: what a network gets of them, and the metric of what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.datasets.labels import Sample
from tinier_yolo.defaults import EVALUATION_THRESH, NMS
from tinier_yolo.detection.detector import Detector, Prepared
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import UsageError
from tinier_yolo.eval.labelled.benchmark import LabelledImage
from tinier_yolo.eval.labelled.protocol import ImageResult, precision_recall, roc_curve
from tinier_yolo.eval.matching import match
from tinier_yolo.media.images import read_image

#: What is measured: the rate of faces found at 0.1 false positives an image, or the average precision.
METRICS = ("rate", "ap")


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Images, and what is known of them.

    Attributes:
        network: the network that they are prepared for.
        prepared: what it gets of each.
        labelled: the faces of each.
        metric: one of METRICS.
    """

    network: Network
    prepared: tuple[Prepared, ...]
    labelled: tuple[LabelledImage, ...]
    metric: str

    @classmethod
    def load(cls, network: Network, samples: Mapping[str, Sample], count: int, metric: str) -> CalibrationImages:
        """Read ``count`` images, evenly spread over a set (or all, if it has fewer).

        Raises:
            UsageError: no images, or a metric that the network has not.
            MediaError: an image cannot be read.
        """
        if metric not in METRICS:
            raise UsageError("not a metric of a detector", expected=" or ".join(METRICS), found=metric)
        everything = list(samples.values())
        if not everything or count < 1:
            raise UsageError("no calibration images", expected="at least 1")
        places = np.unique(np.linspace(0, len(everything) - 1, min(count, len(everything))).astype(int))
        prepared, labelled = [], []
        size = network.options.width, network.options.height
        for place in places:
            rgb = read_image(everything[place].image, upright=False)
            letterbox = Letterbox.fit((rgb.shape[1], rgb.shape[0]), size, network.options.letter_box)
            prepared.append(Prepared(letterbox, letterbox.apply(rgb)))
            labelled.append(LabelledImage.of(everything[place], (rgb.shape[1], rgb.shape[0])))
        return cls(network, tuple(prepared), tuple(labelled), metric)

    @property
    def pixels(self) -> list[NDArray[np.uint8]]:
        """The network's inputs, uint8 (height, width, 3)."""
        return [prepared.pixels for prepared in self.prepared]

    def score(self, outputs: Sequence[NDArray[Any]], fraction_bits: int = 0) -> float:
        """The metric, 0..1, of the output maps of all images.

        Args:
            outputs: as :func:`tinier_yolo.detection.region.decode` takes them.
            fraction_bits: m of integer maps.
        """
        ready = iter(outputs)
        names = tuple(str(number) for number in range(self.network.region.classes))
        detector = Detector(_Made(ready), self.network, names, fraction_bits)
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


class _Made:
    """An engine whose maps were made before."""

    def __init__(self, outputs: Any) -> None:
        self._outputs = outputs

    def run(self, _image: NDArray[np.uint8], /) -> NDArray[Any]:
        made: NDArray[Any] = next(self._outputs)
        return made

"""The detectors that an evaluation can run: ours from a model's file, or one of OpenCV's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import FaceDetector
from tinier_yolo.defaults import EVALUATION_THRESH, MANY_PICTURES, NETWORK_SIZE, NMS
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.detector import Detector
from tinier_yolo.detection.tiles import TiledDetector, load
from tinier_yolo.errors import PathLike, UsageError, printable
from tinier_yolo.eval.peers import HaarCascade, YuNet
from tinier_yolo.eval.run import Subject

#: The class that counts of a network with several.
FACE = "face"


@dataclass(frozen=True)
class Chosen:
    """A detector, and the network size at which the heights of faces are told.

    Attributes:
        subject: what :func:`tinier_yolo.eval.run.run_detector` takes.
        network_size: (width, height) in pixels.
        letter_box: whether images keep their aspect ratio there.
    """

    subject: Subject
    network_size: tuple[int, int]
    letter_box: bool


def own_detector(
    model: PathLike,
    cfg: PathLike | None = None,
    size: int | tuple[int, int] | None = None,
    *,
    class_names: tuple[str, ...] | None = None,
    tiles: tuple[int, int, int] | None = None,
    name: str | None = None,
    **how: Any,
) -> Chosen:
    """A detector of this package, from a model's file; the arguments are those of ``Detector.load``.

    Of a network with several classes, what it finds of the class "face" counts; where none is called so, everything.

    Args:
        model: an .ifq, or .weights with their cfg.
        cfg: the cfg of the weights.
        size: the network's input; the model's own if None.
        class_names: of the classes of weights.
        tiles: width, height and overlap of tiles in which images are looked at too.
        name: the file's name without its ending if None.
        how: thresh, nms and workers, as of :class:`tinier_yolo.eval.run.Subject`.

    Raises:
        TinierYoloError: the model cannot be loaded.
    """

    def make() -> FaceDetector:
        return _faces_of(load(tiles, model, cfg, size, 1, class_names, MANY_PICTURES))

    first = load(tiles, model, cfg, size, 1, class_names, MANY_PICTURES)
    details = {"detector": "tinier-yolo", **model_details(model), "network_size": list(first.size), **_thresholds(how)}
    if tiles:
        details["tiles"] = list(tiles)
    if len(first.class_names) > 1:
        counted = {name for name in first.class_names if name.casefold() == FACE}
        details["classes"] = sorted(counted) or list(first.class_names)
    subject = _subject(name or printable(Path(model).stem), _faces_of(first), make, details, how)
    return Chosen(subject, first.size, bool(first.network.options.letter_box))


def peer(kind: str, model: PathLike | None = None, *, name: str | None = None, **how: Any) -> Chosen:
    """One of OpenCV's detectors: ``haar``, or ``yunet`` with its model; other arguments as of :func:`own_detector`.

    Raises:
        UsageError: no model, a bad one, or an OpenCV without that detector.
    """
    if kind == "yunet" and model is None:
        raise UsageError("--detector yunet needs its model", expected="--model face_detection_yunet_*.onnx")

    def make() -> FaceDetector:
        return YuNet(model) if kind == "yunet" and model is not None else HaarCascade(model)

    details: dict[str, Any] = {"detector": kind, **(model_details(model) if model else {})}
    if kind != "haar":  # which has neither threshold
        details.update(_thresholds(how))
    return Chosen(_subject(name or kind, make(), make, details, how), (NETWORK_SIZE, NETWORK_SIZE), letter_box=True)


@dataclass(frozen=True)
class _Faces:
    # What a detector of several classes finds of some of them.
    detector: Detector | TiledDetector
    class_ids: tuple[int, ...]

    def detect(self, rgb: NDArray[np.uint8], thresh: float = EVALUATION_THRESH, nms: float = NMS) -> Detections:
        found = self.detector.detect(rgb, thresh=thresh, nms=nms)
        return found[np.isin(found.class_ids, self.class_ids)]


def _faces_of(detector: Detector | TiledDetector) -> FaceDetector:
    names = detector.class_names
    faces = tuple(number for number, name in enumerate(names) if name.casefold() == FACE)
    return _Faces(detector, faces) if faces and len(names) > 1 else detector


def _subject(
    name: str,
    first: FaceDetector,
    make: Callable[[], FaceDetector],
    details: Mapping[str, Any],
    how: Mapping[str, Any],
) -> Subject:
    # The detector that was made to check the model is the first worker's.
    ready = [first]
    return Subject(name, lambda: ready.pop() if ready else make(), details=details, **how)


def _thresholds(how: Mapping[str, Any]) -> dict[str, float]:
    return {"thresh": how.get("thresh", EVALUATION_THRESH), "nms": how.get("nms", NMS)}


def model_details(path: PathLike) -> dict[str, Any]:
    """What a summary says of a model's file: its name and its bytes."""
    return {"model": printable(Path(path).name), "model_bytes": Path(path).stat().st_size}

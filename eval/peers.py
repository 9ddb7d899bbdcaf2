"""OpenCV's own face detectors behind this package's protocol, so that their rows can stand beside ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.defaults import EVALUATION_THRESH, NMS
from tinier_yolo.detection.boxes import xywh_to_xyxy
from tinier_yolo.detection.detections import Detections
from tinier_yolo.errors import PathLike, UsageError


class HaarCascade:
    """OpenCV's Viola-Jones cascade, with OpenCV's defaults: scale factor 1.1, three neighbours.

    The score is the weight of the last stage; it has no fixed range. ``thresh`` and ``nms`` do not apply: the cascade
    groups its own windows.

    Args:
        path: a cascade's .xml; ``haarcascade_frontalface_default.xml``, which comes with OpenCV 4, if None.

    Raises:
        UsageError: this OpenCV has no cascades (5 and later), or the file is none.
    """

    def __init__(self, path: PathLike | None = None) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise UsageError("this OpenCV has no Haar cascades", expected="opencv-python < 5", found=cv2.__version__)
        if path is None:
            path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not Path(path).is_file():
            raise UsageError("no such cascade", path=path)
        try:
            self._cascade = cv2.CascadeClassifier(str(path))
        except (cv2.error, SystemError) as error:
            raise UsageError("not a Haar cascade", path=path) from error
        if self._cascade.empty():
            raise UsageError("not a Haar cascade", path=path)

    def detect(self, rgb: NDArray[np.uint8], thresh: float = EVALUATION_THRESH, nms: float = NMS) -> Detections:  # noqa: ARG002
        """The faces of an image, uint8 (height, width, 3), RGB."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        boxes, _, weights = self._cascade.detectMultiScale3(grey, 1.1, 3, outputRejectLevels=True)
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        return Detections.of(corners, weights).sorted()


class YuNet:
    """OpenCV's FaceDetectorYN, at each image's own size.

    Args:
        path: ``face_detection_yunet_*.onnx``, which the user brings.

    Raises:
        UsageError: this OpenCV has no FaceDetectorYN, or the file is none of its models.
    """

    def __init__(self, path: PathLike) -> None:
        if not hasattr(cv2, "FaceDetectorYN"):
            raise UsageError("this OpenCV has no FaceDetectorYN", expected="opencv-python >= 4.5.4")
        if not Path(path).is_file():
            raise UsageError("no such model", path=path)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), top_k=5000)
        except cv2.error as error:
            raise UsageError("not a model that OpenCV can read", path=path, found=error.err) from error
        self._path = path

    def detect(self, rgb: NDArray[np.uint8], thresh: float = EVALUATION_THRESH, nms: float = NMS) -> Detections:
        """The faces of an image, uint8 (height, width, 3), RGB."""
        self._net.setInputSize((rgb.shape[1], rgb.shape[0]))
        self._net.setScoreThreshold(thresh)
        self._net.setNMSThreshold(nms)
        try:
            _, faces = self._net.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise UsageError("not a YuNet model", path=self._path, found=error.err) from error
        if faces is None:
            return Detections.empty()
        rows = np.asarray(faces, np.float32).reshape(-1, 15)
        return Detections.of(xywh_to_xyxy(rows[:, :4]), rows[:, 14]).sorted()

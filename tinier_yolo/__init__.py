"""tinier-yolo: a Darknet-style YOLOv2 face detector toolkit that runs on integers alone.

    from tinier_yolo import Detector

    detections = Detector.load("weights/ifq-tinier-yolo-face.ifq").detect(rgb, thresh=0.25)
    detections.boxes, detections.scores

The names below are imported when they are first used: ``import tinier_yolo`` loads neither NumPy nor Numba nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.detection.detections import Detections
    from tinier_yolo.detection.detector import Detector
    from tinier_yolo.ifq.program import Program

__version__ = "0.2.0"
__all__ = ["Detections", "Detector", "Network", "Program", "__version__"]

_HOMES = {
    "Detections": "tinier_yolo.detection.detections",
    "Detector": "tinier_yolo.detection.detector",
    "Network": "tinier_yolo.darknet.network",
    "Program": "tinier_yolo.ifq.program",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

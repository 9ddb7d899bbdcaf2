"""The output map of a YOLOv2 network -> boxes: Darknet's [region] layer, inference side.

The map is (anchors * (5 + classes), height, width); for each anchor the channels are x, y, w, h, objectness, classes.
With t for a channel, the cell in column c and row r and an anchor of (pw, ph) cells say::

    centre x = c + sigmoid(tx)        centre y = r + sigmoid(ty)        all in cells of the map
    width    = pw * exp(tw)           height   = ph * exp(th)
    score    = sigmoid(objectness) * probability of the class (softmax=1: over the classes, else a sigmoid each)

One decoder serves float maps and the integer maps of a program, whose values are in units of 2^-m. Which cells are
decoded at all is decided on the logit of the objectness, in whole numbers for an integer map; only the survivors, a
handful, become floats.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Region
from tinier_yolo.detection.boxes import cxcywh_to_xyxy
from tinier_yolo.detection.detections import Detections

#: tw and th are cut off here: e^16 is 9 million times the anchor, larger than any image, and far from an overflow.
MAX_LOG_SIZE = 16.0
_INT32 = np.iinfo(np.int32)


def decode(output_map: NDArray[Any], region: Region, stride: int, thresh: float, fraction_bits: int = 0) -> Detections:
    """Decode the cells whose score reaches ``thresh``; no suppression, no clipping.

    Args:
        output_map: (anchors * (5 + classes), height, width), float32, or int32 in units of 2^-fraction_bits.
        region: the [region] layer: its anchors, classes and softmax.
        stride: pixels a cell.
        thresh: 0..1, the least score that is kept.
        fraction_bits: m of an integer map.

    Returns:
        For each cell and anchor its most probable class; boxes in pixels of the network's input, in the map's order.
    """
    values = output_map.reshape(len(region.anchors), 5 + region.classes, *output_map.shape[1:])
    anchor, row, column = np.nonzero(_reaches(values[:, 4], thresh, fraction_bits))
    if not len(anchor):
        return Detections.empty()  # Most frames of most videos; everything below costs the same for none as for ten.
    t = np.ldexp(values[anchor, :, row, column].astype(np.float64), -fraction_bits)
    # The comparison of the logits has decided; the rounding of a sigmoid shall not undo it.
    objectness = np.maximum(_sigmoid(t[:, 4]), thresh)
    probabilities = _softmax(t[:, 5:]) if region.softmax else _sigmoid(t[:, 5:])
    class_ids = probabilities.argmax(axis=1)
    scores = objectness * probabilities.max(axis=1)

    centre = np.array((column, row)).T + _sigmoid(t[:, :2])
    sides = np.asarray(region.anchors)[anchor] * np.exp(np.minimum(t[:, 2:4], MAX_LOG_SIZE))
    boxes = cxcywh_to_xyxy(np.concatenate((centre, sides), axis=1)) * stride
    kept = scores >= thresh
    return Detections.of(boxes[kept], scores[kept], class_ids[kept])


def integer_threshold(thresh: float, fraction_bits: int) -> int:
    """The least integer logit whose sigmoid reaches ``thresh``.

    For an integer t,  sigmoid(t * 2^-m) >= thresh  <=>  t >= logit(thresh) * 2^m  <=>  t >= ceil(logit(thresh) * 2^m).
    Scaling by a power of two and ceil are exact in float64, so the comparison of integers is the comparison of floats.

    Args:
        thresh: 0..1.
        fraction_bits: m; t is in units of 2^-m.

    Returns:
        The threshold, brought to the range of an int32 map: thresh 0 lets all values pass, thresh 1 none.
    """
    scaled = _logit(thresh) * 2.0**fraction_bits
    return math.ceil(min(max(scaled, _INT32.min), _INT32.max + 1))


def _reaches(logits: NDArray[Any], thresh: float, fraction_bits: int) -> NDArray[np.bool_]:
    if logits.dtype.kind == "i":
        return logits >= integer_threshold(thresh, fraction_bits)
    # In float64: NumPy would round a Python float to the map's float32.
    reached: NDArray[np.bool_] = logits.astype(np.float64) >= _logit(thresh)
    return reached


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability) - math.log1p(-probability)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # exp of a negative number only: it cannot overflow.
    decay = np.exp(-np.abs(x))
    probability: NDArray[np.float64] = np.where(x >= 0, 1, decay) / (1 + decay)
    return probability


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities

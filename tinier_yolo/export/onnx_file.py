"""ONNX files: each is read back and run before it gets its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from tinier_yolo.errors import OutputError, PathLike
from tinier_yolo.export.onnx import INPUT_NAME, OUTPUT_NAME
from tinier_yolo.export.qonnx import DOMAIN
from tinier_yolo.files import atomic_write


def write_verified(
    path: PathLike, model: onnx.ModelProto, image: NDArray[np.float32], expected: NDArray[Any], tolerance: float = 0
) -> Path:
    """Write a model whole, after what was written has given the right map.

    Args:
        path: the file.
        model: the model.
        image: its input, (channels, height, width).
        expected: the map that comes of it.
        tolerance: how far a value may be off, as a part of the greatest one; 0: not at all.

    Raises:
        OutputError: the file cannot be written, or does not give the map.
    """
    with atomic_write(path) as file:
        size = file.write(model.SerializeToString())
        file.flush()
        found = evaluate(os.pread(file.fileno(), size, 0), image)
        if found.shape != expected.shape:
            problem = "the file gives a map of another shape"
            raise OutputError(problem, path=path, expected=expected.shape, found=found.shape)
        worst = np.abs(found.astype(np.float64) - expected).max()
        if not worst <= tolerance * np.abs(expected).max():
            problem = "the file does not give the reference's map"
            raise OutputError(problem, path=path, found=f"a difference of {worst:g}")
    return Path(path)


def evaluate(data: bytes, image: NDArray[np.float32]) -> NDArray[Any]:
    """The map of an image (channels, height, width): by ONNX Runtime where it is installed and knows all operators."""
    feed = {INPUT_NAME: image[None]}
    if DOMAIN.encode() not in data:
        try:
            import onnxruntime
        except ImportError:
            pass
        else:
            session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
            return np.asarray(session.run([OUTPUT_NAME], feed)[0][0])
    evaluator = ReferenceEvaluator(onnx.load_from_string(data), new_ops=[BipolarQuant, MultiThreshold, MaxPool])
    made: Any = evaluator.run([OUTPUT_NAME], feed)
    return np.asarray(made[0][0])


class BipolarQuant(OpRun):
    """QONNX's operator, for the reference evaluator of ONNX."""

    op_domain = DOMAIN

    def _run(self, x: NDArray[Any], scale: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)


class MultiThreshold(OpRun):
    """The same for thresholds (channels, n) and a map (1, channels, height, width)."""

    op_domain = DOMAIN

    def _run(self, x: NDArray[Any], thresholds: NDArray[Any], **_: Any) -> tuple[NDArray[Any]]:
        counts = sum((x >= column[:, None, None]).astype(np.float32) for column in thresholds.T)
        return (np.asarray(counts),)


class MaxPool(OpRun):
    """ONNX's own, whose reference evaluator (1.23) gives another shape where the padding is not the same all round."""

    op_domain = ""

    def _run(
        self, x: NDArray[Any], kernel_shape: Any = None, pads: Any = None, strides: Any = None, **_: Any
    ) -> tuple[NDArray[Any]]:
        edges = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
        padded = np.pad(x, edges, constant_values=-np.inf)
        windows = sliding_window_view(padded, tuple(kernel_shape), axis=(2, 3))
        return (windows[:, :, :: strides[0], :: strides[1]].max(axis=(4, 5)),)

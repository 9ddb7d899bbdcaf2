"""The engines that ``bench_peers.py`` compares: each makes, from one workload, a function that runs its network once.

What is timed is the network alone, on an input that lies ready in the form which the engine takes: RGB bytes for ours,
float32 (1, 3, height, width) for the others; an engine that copies its input copies it in the timed part.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.errors import UsageError
from tinier_yolo.export.onnx import INPUT_NAME, onnx_graph
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.program import Program
from tinier_yolo.quantization.post_training.folding import fold
from tinier_yolo.quantization.post_training.formats import Builder, uniform_bits
from tinier_yolo.quantization.post_training.statistics import map_statistics
from tinier_yolo.runtime.engine import Engine

#: Runs a network once; returns its output map, or whatever it finds where it is no network of ours.
Run = Callable[[], Any]
#: Images that the int8 peers choose the ranges of their maps from.
CALIBRATION_IMAGES = 4


@dataclass(frozen=True)
class Workload:
    """One network in the forms that the engines read.

    Attributes:
        cfg: the float network's cfg.
        network: the float network, at the size that is measured.
        parameters: its random weights.
        program: the integer program of the same layers, of random weights too.
        image: RGB uint8 (height, width, 3).
        folder: for the files that an engine reads.
        yunet: the file of OpenCV's face detector, if the user has named one.
    """

    cfg: Path
    network: Network
    parameters: Parameters
    program: Program
    image: NDArray[np.uint8]
    folder: Path
    yunet: Path | None = None

    @cached_property
    def blob(self) -> NDArray[np.float32]:
        """The image as float32 (1, 3, height, width) in 0..1."""
        return np.ascontiguousarray(self.image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    @cached_property
    def onnx(self) -> Path:
        """The float network as an ONNX file, batch normalisation folded."""
        path = self.folder / "float.onnx"
        with atomic_write(path, durable=False) as file:
            file.write(onnx_graph(self.network, self.parameters).SerializeToString())
        return path

    @cached_property
    def int8(self) -> Path:
        """The same in ONNX Runtime's static QDQ form: uint8 maps, int8 weights with a scale for each filter."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        path = self.folder / "int8.onnx"
        logging.disable(logging.WARNING)  # It advises a preparation that this graph, folded already, has no use for.
        try:
            quantize_static(
                self.onnx,
                path,
                _RandomImages(self.blob.shape),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
        return path

    @cached_property
    def fixed_point(self) -> FixedPointProgram:
        """The float network in fixed point: 8 bits for every tensor."""
        layers = fold(self.network, self.parameters)
        built = Builder(layers, map_statistics(layers, [self.image], 1)).build(uniform_bits(len(layers), 8))
        return FixedPointProgram(self.network, built, ("face",) * self.network.region.classes)

    @cached_property
    def weights(self) -> Path:
        """The float network's weights as a Darknet file."""
        path = self.folder / "float.weights"
        save_weights(path, self.network, self.parameters)
        return path


class _RandomImages:
    """ONNX Runtime's CalibrationDataReader over random images."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(1)
        self._images: Iterator[NDArray[np.float32]] = (rng.random(shape, np.float32) for _ in range(CALIBRATION_IMAGES))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT_NAME: image}


@dataclass(frozen=True)
class Peer:
    """An engine to compare with.

    Attributes:
        name: for the table.
        make: from a workload and a number of threads, what runs the network.
        package: the distribution that it comes from.
        missing: why it cannot run here and what helps; None where it can.
        exact: its map is that of the float network but for rounding.
    """

    name: str
    make: Callable[[Workload, int], Run]
    package: str
    missing: Callable[[Workload], str | None] = lambda _: None
    exact: bool = True


def integer_engine(workload: Workload, threads: int) -> Run:
    """Ours."""
    engine = Engine(workload.program, threads)
    return lambda: engine.run(workload.image)


def _fixed_point(workload: Workload, threads: int) -> Run:
    program = workload.fixed_point
    engine, unit = Engine(program, threads), 2.0**-program.fraction_bits
    image = workload.image

    def run() -> Any:
        return engine.run(image) * unit

    return run


def _onnx_runtime(path: Path, workload: Workload, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT_NAME: workload.blob})[0]


def _openvino(path: Path, workload: Workload, threads: int) -> Run:
    import openvino

    core = openvino.Core()
    # Without the hint it may compute a float32 model in bfloat16.
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(str(path)), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(workload.blob, shared_memory=True))

    def run() -> Any:
        request.infer()
        return request.get_output_tensor().data

    return run


def _opencv(net: Any, workload: Workload, threads: int, output: str | None = None) -> Run:
    def run() -> Any:
        cv2.setNumThreads(threads)  # A setting of the whole process, which other engines here may change.
        net.setInput(workload.blob)
        return net.forward(output) if output else net.forward()

    return run


def _opencv_onnx(workload: Workload, threads: int) -> Run:
    return _opencv(cv2.dnn.readNetFromONNX(str(workload.onnx)), workload, threads)


def _opencv_darknet(workload: Workload, threads: int) -> Run:
    net = cv2.dnn.readNetFromDarknet(str(workload.cfg), str(workload.weights))  # type: ignore[attr-defined,unused-ignore]
    convolutions = [name for name in net.getLayerNames() if name.startswith("conv_")]
    return _opencv(net, workload, threads, convolutions[-1])  # What follows is [region].


def _pytorch(workload: Workload, threads: int) -> Run:
    import torch

    from tinier_yolo.training.model import DarknetModel

    model = DarknetModel(workload.network).eval()
    model.load_parameters(workload.parameters)
    image = torch.from_numpy(workload.image.transpose(2, 0, 1)[None].copy())

    def run() -> Any:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return model(image).numpy()

    return run


def _yunet(workload: Workload, threads: int) -> Run:
    height, width = workload.image.shape[:2]
    try:
        detector = cv2.FaceDetectorYN.create(str(workload.yunet), "", (width, height))
    except cv2.error as error:
        raise UsageError("OpenCV cannot read this as YuNet", path=workload.yunet, found=error.err) from error
    bgr = cv2.cvtColor(workload.image, cv2.COLOR_RGB2BGR)

    def run() -> Any:
        cv2.setNumThreads(threads)
        return detector.detect(bgr)

    return run


def _needs(*modules: str) -> Callable[[Workload], str | None]:
    def missing(_: Workload) -> str | None:
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        return f"not installed: pip install {' '.join(absent)}" if absent else None

    return missing


def _no_darknet_importer(_: Workload) -> str | None:
    found = hasattr(cv2.dnn, "readNetFromDarknet")
    return None if found else "not in OpenCV 5: pip install 'opencv-python==4.14.*'"


def _no_yunet(workload: Workload) -> str | None:
    return "name its .onnx file with --yunet" if workload.yunet is None else None


#: The first one's map is what the others' are compared with; it needs nothing that the package does not need itself.
PEERS = (
    Peer("OpenCV DNN fp32 (ONNX)", _opencv_onnx, "opencv-python"),
    Peer("OpenCV DNN fp32 (Darknet importer)", _opencv_darknet, "opencv-python", _no_darknet_importer),
    Peer("tinier-yolo (8-bit fixed point)", _fixed_point, "numba", exact=False),
    Peer(
        "ONNX Runtime fp32",
        lambda workload, threads: _onnx_runtime(workload.onnx, workload, threads),
        "onnxruntime",
        _needs("onnxruntime"),
    ),
    Peer(
        "ONNX Runtime int8 (QDQ)",
        lambda workload, threads: _onnx_runtime(workload.int8, workload, threads),
        "onnxruntime",
        _needs("onnxruntime"),
        exact=False,
    ),
    Peer(
        "OpenVINO fp32",
        lambda workload, threads: _openvino(workload.onnx, workload, threads),
        "openvino",
        _needs("openvino"),
    ),
    Peer(
        "OpenVINO int8 (QDQ)",
        lambda workload, threads: _openvino(workload.int8, workload, threads),
        "openvino",
        _needs("openvino", "onnxruntime"),
        exact=False,
    ),
    Peer("PyTorch fp32 (eager)", _pytorch, "torch", _needs("torch")),
    Peer("OpenCV FaceDetectorYN (YuNet, with its postprocessing)", _yunet, "opencv-python", _no_yunet, exact=False),
)


def versions() -> dict[str, str]:
    """The versions of all packages that are measured and installed."""
    found = {}
    for package in sorted({peer.package for peer in PEERS} | {"numba", "numpy"}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""The detector: an image goes in, Detections come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Activation, Convolutional
from tinier_yolo.darknet.network import MAX_DIMENSION, Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.detection.boxes import clip, nms
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.detection.region import decode
from tinier_yolo.errors import PathLike, UsageError
from tinier_yolo.runtime.starting_engine import StartingEngine
from tinier_yolo.shipped import cfg_file, default_model

Size = int | tuple[int, int]


class InferenceEngine(Protocol):
    """What a detector asks of an engine; the integer one and the float one both have it."""

    def run(self, image: NDArray[np.uint8], /) -> NDArray[Any]:
        """RGB uint8 (height, width, 3) -> the map that [region] decodes, (channels, height / stride, ...)."""
        ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network gets of an image.

    Attributes:
        letterbox: where the image lies on the input.
        pixels: RGB uint8 (network height, network width, 3).
    """

    letterbox: Letterbox
    pixels: NDArray[np.uint8]


class Detector:
    """A network with an engine that runs it. Buffers are reused: one detector serves one thread at a time.

    Args:
        engine: runs the network.
        network: the network at the size that it shall run at; its last layer is [region].
        class_names: a name for each class.
        fraction_bits: m, where the engine's map holds integers in units of 2^-m; 0 for a float map.

    Raises:
        CfgError: the network does not end in [region].
        UsageError: the network does not take three channels.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        network: Network,
        class_names: tuple[str, ...] = ("face",),
        fraction_bits: int = 0,
    ) -> None:
        self.network = network
        self.class_names = class_names
        self._region = network.region
        self._engine = engine
        self._fraction_bits = fraction_bits
        if network.input.channels != 3:
            raise UsageError("not a network for RGB images", expected="channels=3", found=network.input.channels)
        self._canvas = np.empty((*network.input[1:], 3), np.uint8)

    @classmethod
    def load(
        cls,
        path: PathLike | None = None,
        cfg: PathLike | None = None,
        size: Size | None = None,
        threads: int = 1,
        class_names: tuple[str, ...] | None = None,
        pictures: int | None = None,
    ) -> Self:
        """A detector from a file.

        The first pictures are computed without the compiled kernels, see :mod:`tinier_yolo.runtime.starting_engine`.

        Args:
            path: an integer program (.ifq), or Darknet weights, which need their ``cfg``; None for the model that comes
                with the package.
            cfg: the cfg of the weights. Weights of an IFQ network are converted and run on integers, those of a float
                network run in float (OpenCV's DNN module).
            size: the network's input, N or (width, height), multiples of its stride; the cfg's own size if None.
            threads: threads for one image.
            class_names: of the classes of weights; None: "face" for one class, their numbers for several.
            pictures: how many will come, where that is known.

        Raises:
            TinierYoloError: a file that is missing, damaged or another's, a size that does not fit, or names that are
                not as many as the classes.
        """
        if threads < 1:
            raise UsageError("bad number of threads", expected="at least 1", found=threads)
        if path is None:
            if cfg is not None:
                raise UsageError("a cfg without its weights", path=cfg)
            path = default_model()
        if cfg is None and class_names is not None:
            raise UsageError("names go with weights and their cfg: an .ifq holds its own", path=path)
        if cfg is None:
            return cls._from_program(path, size, threads, pictures)
        if Path(path).suffix == ".ifq":
            raise UsageError("an .ifq needs no cfg: it holds its own", path=path, found=f"cfg {cfg}")
        return cls._from_weights(path, cfg, size, threads, class_names, pictures)

    @classmethod
    def _from_program(cls, path: PathLike, size: Size | None, threads: int, pictures: int | None) -> Self:
        if Path(path).suffix in (".weights", ".backup"):
            raise UsageError("weights without their cfg", path=path, expected="--model FILE.weights --cfg FILE.cfg")
        from tinier_yolo.ifq.load import load_program

        program = load_program(path)
        network = _resized(program.network, size)
        program.shapes(*network.input[1:])  # Too large a size is told here, and not by the first image.
        return cls(StartingEngine(program, threads, pictures), network, program.class_names, program.fraction_bits)

    @classmethod
    def _from_weights(
        cls,
        path: PathLike,
        cfg: PathLike,
        size: Size | None,
        threads: int,
        class_names: tuple[str, ...] | None,
        pictures: int | None,
    ) -> Self:
        original = Network.load(cfg_file(cfg))
        network = _resized(original, size)
        classes = network.region.classes
        if class_names is None:
            class_names = ("face",) if classes == 1 else tuple(f"class {number}" for number in range(classes))
        if len(class_names) != classes:
            raise UsageError("names and the cfg's classes differ", path=cfg, expected=classes, found=len(class_names))
        parameters = load_weights(path, original)
        if not _is_quantised(network):
            from tinier_yolo.runtime.float_engine import FloatEngine

            return cls(FloatEngine(network, parameters, threads), network, class_names)
        from tinier_yolo.quantization.convert import convert

        program = convert(original, parameters, class_names=class_names).program
        return cls(StartingEngine(program, threads, pictures), network, class_names, program.fraction_bits)

    @property
    def size(self) -> tuple[int, int]:
        """The network's input, (width, height)."""
        return self.network.options.width, self.network.options.height

    def prepare(self, rgb: NDArray[np.uint8]) -> Prepared:
        """Do what :meth:`detect` does first, into new memory: a thread may be ahead of the one that detects.

        Args:
            rgb: see :meth:`detect`.

        Raises:
            UsageError: not an image.
        """
        return self._prepare(rgb, None)

    def detect(self, rgb: NDArray[np.uint8] | Prepared, thresh: float = THRESH, nms: float = NMS) -> Detections:
        """Find the faces of an image.

        Args:
            rgb: uint8 (height, width, 3), RGB. Grey (height, width) is taken too; a fourth channel, alpha, is dropped.
                Or what :meth:`prepare` has made of it.
            thresh: the least score that is kept, 0..1.
            nms: of two boxes whose IoU is above it the lower one goes, 0..1.

        Returns:
            Detections, highest score first, boxes cut to the image; empty where nothing was found.

        Raises:
            UsageError: not an image, or a threshold outside 0..1.
        """
        check_thresholds(thresh, nms)
        prepared = rgb if isinstance(rgb, Prepared) else self._prepare(rgb, self._canvas)
        output_map = self._engine.run(prepared.pixels)
        found = decode(output_map, self._region, self.network.stride, thresh, self._fraction_bits)
        return _in_image(found, prepared.letterbox, nms)

    def _prepare(self, rgb: NDArray[np.uint8], canvas: NDArray[np.uint8] | None) -> Prepared:
        image = as_rgb(rgb)
        height, width = image.shape[:2]
        letterbox = Letterbox.fit((width, height), self.size, self.network.options.letter_box)
        return Prepared(letterbox, letterbox.apply(image, canvas))


def check_thresholds(thresh: float, nms: float) -> None:
    """Check the thresholds of :meth:`Detector.detect`.

    Raises:
        UsageError: one of them is outside 0..1.
    """
    for name, value in (("thresh", thresh), ("nms", nms)):
        if not 0 <= value <= 1:
            raise UsageError(f"{name} is not a threshold", expected="0..1", found=value)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image as uint8 (height, width, 3): grey is repeated, alpha dropped.

    Raises:
        UsageError: not an array of that kind.
    """
    expected = "a NumPy array, uint8 (height, width, 3), RGB"
    if not isinstance(image, np.ndarray):
        raise UsageError("not an image", expected=expected, found=type(image).__name__)
    if image.dtype != np.uint8:
        raise UsageError("not an image of bytes", expected=expected, found=f"{image.dtype} {image.shape}")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise UsageError("not an image", expected=expected, found=f"{image.dtype} {image.shape}")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def _in_image(found: Detections, letterbox: Letterbox, threshold: float) -> Detections:
    if not len(found):
        return found
    # Clipped before suppression: two boxes of a face at the border differ mostly in what lies outside.
    boxes = clip(letterbox.to_image(found.boxes), *letterbox.image_size)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, found = boxes[inside], found[inside]
    kept = nms(boxes, found.scores, found.class_ids, threshold)
    return Detections.of(boxes[kept], found.scores[kept], found.class_ids[kept])


def _resized(network: Network, size: Size | None) -> Network:
    if size is None:
        return network
    width, height = (size, size) if isinstance(size, int) else size
    stride = network.stride
    for side in (width, height):
        if side % stride or not stride <= side <= MAX_DIMENSION:
            raise UsageError(
                "bad size",
                expected=f"multiples of the network's stride, {stride}, up to {MAX_DIMENSION}",
                found=f"{width}x{height}",
            )
    return network.resized(width, height)


def _is_quantised(network: Network) -> bool:
    return any(
        (isinstance(layer, Activation) and layer.quantizes) or (isinstance(layer, Convolutional) and layer.binary)
        for layer in network.layers
    )

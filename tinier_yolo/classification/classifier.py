"""The classifier: an image goes in, a score for each class comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.classification.crop import centre_crop
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.errors import PathLike, UsageError
from tinier_yolo.ifq.substructures import divide
from tinier_yolo.runtime.starting_engine import StartingEngine
from tinier_yolo.shipped import cfg_file

Float64 = NDArray[np.float64]


class ClassificationEngine(Protocol):
    """What a classifier asks of an engine."""

    def run(self, image: NDArray[np.uint8], /) -> NDArray[Any]:
        """RGB uint8 (height, width, 3) -> the last map, (classes, rows, columns), whose mean the softmax reads."""
        ...


class ClassScore(NamedTuple):
    """A class and its score, 0..1."""

    class_id: int
    name: str
    score: float


class Classifier:
    """A network with an engine that runs it.

    Args:
        engine: runs the network.
        network: it ends in [softmax] or [cost].
        class_names: a name for each class.
        fraction_bits: m, where the engine's map holds integers in units of 2^-m; 0 for a float map.
        arithmetic: what the engine computes with, for a person.

    Raises:
        CfgError: the network is no classifier.
        UsageError: the network does not take three channels, or the names are not as many as its classes.
    """

    def __init__(
        self,
        engine: ClassificationEngine,
        network: Network,
        class_names: tuple[str, ...],
        fraction_bits: int = 0,
        arithmetic: str = "float32",
    ) -> None:
        check_classifier(network)
        if network.input.channels != 3:
            raise UsageError("not a network for RGB images", expected="channels=3", found=network.input.channels)
        if len(class_names) != network.classes:
            problem = "names and the cfg's classes differ"
            raise UsageError(problem, path=network.path, expected=network.classes, found=len(class_names))
        self.network, self.class_names, self.arithmetic = network, class_names, arithmetic
        self._engine, self._unit = engine, 2.0**-fraction_bits

    @classmethod
    def load(
        cls,
        path: PathLike,
        cfg: PathLike | None = None,
        class_names: tuple[str, ...] | None = None,
        threads: int = 1,
    ) -> Self:
        """A classifier from a file.

        Args:
            path: an integer program (.ifq), or Darknet weights, which need their ``cfg``.
            cfg: the cfg of the weights. A float network runs in float (OpenCV's DNN module). One that is quantised but
                for its first and last layers runs on integers between them; see
                :mod:`tinier_yolo.quantization.partial`.
            class_names: of the classes of weights; None: their numbers.
            threads: threads for one image, where the engine has threads.

        Raises:
            TinierYoloError: a file that is missing, damaged or another's, or no classifier.
        """
        if cfg is None and class_names is not None:
            raise UsageError("names go with weights and their cfg: an .ifq holds its own", path=path)
        if cfg is None:
            return cls._from_program(path, threads)
        if Path(path).suffix == ".ifq":
            raise UsageError("an .ifq needs no cfg: it holds its own", path=path, found=f"cfg {cfg}")
        network = Network.load(cfg_file(cfg))
        check_classifier(network)
        parameters = load_weights(path, network)
        names = class_names or tuple(f"class {number}" for number in range(network.classes))
        if not any(part.quantized for part in divide(network)):
            from tinier_yolo.runtime.float_engine import FloatEngine

            return cls(FloatEngine(network, parameters, threads), network, names)
        from tinier_yolo.classification.partial_engine import PartialEngine
        from tinier_yolo.quantization.partial import convert_partially

        partial = convert_partially(network, parameters)
        return cls(PartialEngine(partial), network, names, arithmetic=partial.arithmetic)

    @classmethod
    def _from_program(cls, path: PathLike, threads: int) -> Self:
        if Path(path).suffix in (".weights", ".backup"):
            raise UsageError("weights without their cfg", path=path, expected="--model FILE.weights --cfg FILE.cfg")
        from tinier_yolo.ifq.load import load_program

        program = load_program(path)
        check_classifier(program.network)
        engine = StartingEngine(program, threads)
        return cls(engine, program.network, program.class_names, program.fraction_bits, "integers")

    @property
    def size(self) -> tuple[int, int]:
        """The network's input, (width, height)."""
        return self.network.options.width, self.network.options.height

    def logits(self, rgb: NDArray[np.uint8]) -> Float64:
        """What the softmax reads, float64 (classes,), of an RGB image, uint8 (height, width, 3) of any size."""
        output = self._engine.run(np.ascontiguousarray(centre_crop(rgb, self.size)))
        return np.asarray(output.reshape(len(self.class_names), -1).mean(axis=1, dtype=np.float64) * self._unit)

    @property
    def float_logits(self) -> Callable[[NDArray[np.uint8]], Float64]:
        """As :meth:`logits`, of the float network that a partly integer one stands for.

        Raises:
            UsageError: the network was not converted from floats here.
        """
        from tinier_yolo.classification.partial_engine import PartialEngine

        engine = self._engine
        if not isinstance(engine, PartialEngine):
            problem = "no float network beside this model"
            raise UsageError(problem, expected=".weights and --cfg of a quantised network", found=self.arithmetic)

        def logits(rgb: NDArray[np.uint8]) -> Float64:
            return np.asarray(engine.program.run(centre_crop(rgb, self.size), integers=False).reshape(-1))

        return logits

    def scores(self, rgb: NDArray[np.uint8]) -> Float64:
        """The score of each class, float64 (classes,), 0..1, together 1; ``rgb`` as for :meth:`logits`."""
        return softmax(self.logits(rgb))

    def classify(self, rgb: NDArray[np.uint8], top: int = 5) -> list[ClassScore]:
        """The ``top`` classes of the highest scores, highest first; of equal ones the first class."""
        scores = self.scores(rgb)
        order = np.argsort(-scores, kind="stable")[:top]
        return [ClassScore(int(index), self.class_names[index], float(scores[index])) for index in order]


def check_classifier(network: Network) -> None:
    """Check that a network is a classifier.

    Raises:
        CfgError: it does not end in [softmax] or [cost], or its last map has more than one cell.
    """
    if not network.is_classifier:
        section = network.layers[-1].section
        raise section.error("not a classifier", expected="[softmax] or [cost] last", found=f"[{section.name}]")
    assert network.classes > 0


def softmax(logits: Float64) -> Float64:
    """exp(x) over the sum of all, of a vector."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())

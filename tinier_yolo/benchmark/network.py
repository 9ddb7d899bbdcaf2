"""How long a program takes on this machine, step by step, and how much memory the process has used."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.runtime.engine import Engine


@dataclass(frozen=True)
class Timing:
    """Milliseconds of repeated runs: the median, and the best, which other work on the machine disturbs least."""

    median: float
    best: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """From the seconds of each run."""
        return cls(float(np.median(seconds)) * 1e3, float(np.min(seconds)) * 1e3)


@dataclass(frozen=True)
class StepTiming:
    """One kernel call of a network.

    Attributes:
        layer: the number of the quantised layer or, after them, the output.
        name: what the step does.
        macs: multiply-accumulates of its convolution, 0 for a step without one.
        planes: bits of its input's levels.
        timing: how long it takes.
    """

    layer: int
    name: str
    macs: int
    planes: int
    timing: Timing


def time_network(engine: Engine, image: NDArray[np.uint8], runs: int) -> tuple[Timing, tuple[StepTiming, ...]]:
    """Time a whole run and each step of it, interleaved, after a first run that compiles.

    Args:
        engine: the engine.
        image: what it runs on.
        runs: how often.
    """
    plan = engine.plan(*image.shape[:2])
    engine.run(image)
    whole: list[float] = []
    steps: list[list[float]] = [[] for _ in plan.steps]
    for _ in range(runs):
        start = time.perf_counter()
        engine.run(image)
        whole.append(time.perf_counter() - start)
        for step, seconds in zip(plan.steps, steps, strict=True):
            start = time.perf_counter()
            step.run(image)
            seconds.append(time.perf_counter() - start)
    timings = tuple(
        StepTiming(step.layer, step.name, step.macs, step.planes, Timing.of(seconds))
        for step, seconds in zip(plan.steps, steps, strict=True)
    )
    return Timing.of(whole), timings


def random_parameters(network: Network, seed: int = 0) -> Parameters:
    """Weights to measure with: random, but such that the maps of a float network neither die out nor grow."""
    rng = np.random.default_rng(seed)

    def array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if name == "variances":
            return rng.uniform(0.5, 2, shape).astype(np.float32)
        if name == "weights":
            return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        return rng.normal(name == "scales", 0.2, shape).astype(np.float32)

    return tuple({name: array(name, shape) for name, shape in layer.parameters} for layer in network.layers)

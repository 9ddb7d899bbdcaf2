"""The three ways to choose bits: the same for all layers, Lin's allocation, Goyal's search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tinier_yolo.calibration.trials import Trials
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.quantization.post_training.allocation import allocations, measured_kappa
from tinier_yolo.quantization.post_training.costs import LayerSize, costs
from tinier_yolo.quantization.post_training.formats import Bits, LayerBits
from tinier_yolo.quantization.post_training.optimal_step import fitted_kappa

METHODS = ("uniform", "lin", "goyal")
#: What a bit costs in Lin's allocation: the size of the model, or the work.
OBJECTIVES = ("size", "work")
#: Uniform bits at which kappa is measured.
KAPPA_BITS = (4, 5, 6, 7, 8)
#: Biases and the output are few numbers: in the methods that choose bits by layer they keep all bits.
KEPT_BITS = MAX_BITS


@dataclass(frozen=True)
class Point:
    """A network that was measured: of a method, its bits, its metric, the SQNR at its output in decibels."""

    method: str
    bits: Bits
    metric: float
    output_sqnr: float


Notify = Callable[[Point], None]


def layer_bits(bits: Sequence[int]) -> Bits:
    """Bits for the weights and the output map of each layer; biases and the last map keep KEPT_BITS."""
    last = len(bits) - 1
    return tuple(LayerBits(own, KEPT_BITS, KEPT_BITS if number == last else own) for number, own in enumerate(bits))


def measure(trials: Trials, method: str, bits: Bits, notify: Notify) -> Point:
    """Measure bits and tell of it."""
    point = Point(method, bits, trials.measure(bits), trials.output_sqnr)
    notify(point)
    return point


def uniform(trials: Trials, bits: int | None, least: float, notify: Notify) -> Point:
    """The same bits for all layers; if None, the fewest whose metric is at least ``least``.

    Raises:
        UsageError: not even the most bits reach it.
    """
    layers = len(trials.builder.layers)
    candidates = [layer_bits([number] * layers) for number in ([bits] if bits else range(MIN_BITS, MAX_BITS + 1))]
    return (
        measure(trials, "uniform", candidates[0], notify)
        if bits
        else _first(trials, "uniform", candidates, least, notify)
    )


def check_kappa(wanted: str) -> None:
    """Refuse what :func:`kappa_of` does not know.

    Raises:
        UsageError: it is none of them.
    """
    if wanted not in ("fit", "measure"):
        with suppress(ValueError):
            if 0 < float(wanted) < 100:
                return
        raise UsageError("bad kappa", expected="a number of decibels, fit or measure", found=wanted)


def kappa_of(trials: Trials, wanted: str, notify: Notify) -> float:
    """Decibels a bit: a number, ``fit`` (the Gaussian's) or ``measure`` (the network's own, at its output).

    Raises:
        UsageError: the network's SQNR does not grow with the bits.
    """
    if wanted == "fit":
        return fitted_kappa()
    if wanted != "measure":
        return float(wanted)
    layers = len(trials.builder.layers)
    points = {b: measure(trials, "uniform", layer_bits([b] * layers), notify).output_sqnr for b in KAPPA_BITS}
    try:
        return measured_kappa(points)
    except ValueError as error:
        raise UsageError(str(error), expected="--kappa NUMBER or fit") from error


def objective_costs(sizes: Sequence[LayerSize], objective: str) -> list[float]:
    """Rho of each layer: its weights (``size``) or its multiply-accumulates (``work``)."""
    return [float(size.weights if objective == "size" else size.macs) for size in sizes]


def lin(
    trials: Trials,
    sizes: Sequence[LayerSize],
    kappa: float,
    objective: str,
    bits: int | None,
    least: float,
    notify: Notify,
) -> Point:
    """Lin's allocation: the largest one whose objective costs no more than that of so many uniform bits.

    If ``bits`` is None, the smallest one whose metric is at least ``least``.

    Raises:
        UsageError: not even the largest one reaches it.
    """
    rho = objective_costs(sizes, objective)
    swept = allocations(rho, kappa)
    if bits is None:
        return _first(trials, "lin", [layer_bits(own) for own in swept], least, notify)

    def cost(own: Sequence[int]) -> float:
        return sum(part * number for part, number in zip(rho, own, strict=True))

    fitting = [own for own in swept if cost(own) <= bits * sum(rho)]
    return measure(trials, "lin", layer_bits(fitting[-1] if fitting else swept[0]), notify)


def curve(
    trials: Trials,
    sizes: Sequence[LayerSize],
    kappa: float,
    objective: str,
    notify: Notify,
    bits: Sequence[int] = range(3, 11),
) -> list[Point]:
    """Accuracy over size: uniform bits, and the allocations whose weights take as much or less, about two a bit."""
    layers, rho = len(sizes), objective_costs(sizes, objective)
    points = [measure(trials, "uniform", layer_bits([number] * layers), notify) for number in bits]
    low, high = (costs(sizes, layer_bits([number] * layers)).weights for number in (min(bits) - 1, max(bits)))
    swept = [layer_bits(own) for own in allocations(rho, kappa)]
    swept = [own for own in swept if low < costs(sizes, own).weights <= high]
    chosen = swept[:: max(1, len(swept) // (2 * len(bits)))]
    return points + [measure(trials, "lin", own, notify) for own in chosen]


def _first(trials: Trials, method: str, candidates: Sequence[Bits], least: float, notify: Notify) -> Point:
    # Bisection over candidates of growing cost, as if the metric grew with it; the last one is tried first.
    found = measure(trials, method, candidates[-1], notify)
    if found.metric < least:
        raise UsageError(
            "no bits stay within the budget", expected=f"a metric of {least:.4f}", found=f"{found.metric:.4f}"
        )
    low, high = -1, len(candidates) - 1
    while high - low > 1:
        middle = (low + high) // 2
        point = measure(trials, method, candidates[middle], notify)
        if point.metric >= least:
            high, found = middle, point
        else:
            low = middle
    return found

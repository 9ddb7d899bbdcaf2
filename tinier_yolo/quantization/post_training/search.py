"""The search of Goyal et al. 2021: fewer bits, tensor by tensor, each seeing the others as they are quantised.

It has three stages.

1. What each tensor adds to the noise at the output, for a few bits each, all others having many.
2. A start: of the bits that minimise noise + lambda * (memory + multiplications), for one lambda after the other, those
   that cost least and whose metric stays within the budget. Memory and multiplications are parts of a reference's. A
   multiplication costs bits of a weight times bits of a value: so weights and maps are weighed against each other.
3. Passes: one tensor after the other gets a bit less, first the one that saves most for the noise that it adds, as
   long as the metric stays within the budget, all others being as they are at that time. A tensor that has failed is
   left alone until all have; then they are tried again. The end is a pass that changes nothing.

Biases are a thousandth of the memory and keep 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.quantization.post_training.costs import Costs, LayerSize, costs
from tinier_yolo.quantization.post_training.formats import Bits, LayerBits

#: The bits of all tensors but the output where the noise of one is measured; biases keep theirs.
MANY = LayerBits(8, 8, 10)
#: The bits at which the noise of a tensor is measured.
MEASURED = range(MIN_BITS, 9)
#: The powers of ten that lambda goes through.
EXPONENTS = np.linspace(-6, 1, 85)

#: How many larger lambdas are tried behind the first one that is beyond the budget.
AHEAD = 12

#: A tensor: the number of its layer, and its name.
Tensor = tuple[int, str]
#: The noise that a tensor of so many bits adds, by tensor and bits.
Noise = dict[Tensor, dict[int, float]]


class Trials(Protocol):
    """Measures a network whose tensors have some bits."""

    def measure(self, bits: Bits) -> float:
        """The metric on the calibration images, 0..1."""
        ...

    def noise(self, base: Bits, bits: Bits) -> float:
        """The noise at the output as a part of its power; of ``bits`` that differ little from ``base``."""
        ...

    def accept(self, bits: Bits) -> None:
        """Note that these bits, just measured, are what the next trials start from."""
        ...


@dataclass(frozen=True)
class Goal:
    """What a search is for.

    Attributes:
        sizes: of the network's layers.
        reference: costs that those of the network are told in parts of.
        least: the least metric.
    """

    sizes: Sequence[LayerSize]
    reference: Costs
    least: float

    def cost(self, bits: Bits) -> float:
        """Memory and multiplications together, in parts of the reference's."""
        return sum(costs(self.sizes, bits).relative(self.reference))


@dataclass(frozen=True)
class SearchState:
    """Where a search is: enough to go on from.

    Attributes:
        bits: those of all tensors; in the first stage all have many.
        metric: of these bits.
        noise: what was measured in the first stage, in its order.
        passes: passes that are done; None in the first two stages.
        failed: tensors that could not be lowered in the current pass.
        changed: whether one could.
        finished: whether there is nothing left to do.
    """

    bits: Bits
    metric: float
    noise: tuple[float, ...] = ()
    passes: int | None = None
    failed: tuple[Tensor, ...] = ()
    changed: bool = False
    finished: bool = False


Keep = Callable[[SearchState], None]


def search(trials: Trials, goal: Goal, state: SearchState | None = None, keep: Keep = lambda _: None) -> SearchState:
    """Search for the bits that cost least.

    Args:
        trials: measures bits.
        goal: what is searched for.
        state: where an interrupted search was, or what an earlier one has found; from the first stage on if None.
        keep: called with the state after every tensor.

    Returns:
        The state at the end. Where not even many bits reach the goal it has these.
    """
    for reached in _states(trials, goal, state):
        state = reached
        keep(state)
    assert state is not None, "there is a first state"
    return state


def further(state: SearchState) -> SearchState:
    """Where the search for a lower metric begins: at what was found, before the second stage."""
    return replace(state, passes=None, failed=(), changed=False, finished=False)


def restarted(state: SearchState) -> SearchState:
    """Where the search for a higher metric begins: with many bits, and the noise that was measured before."""
    many = _many(len(state.bits))
    return SearchState(many, math.nan, state.noise)


def _many(layers: int) -> Bits:
    return (*(MANY,) * (layers - 1), replace(MANY, maps=MAX_BITS))


def _states(trials: Trials, goal: Goal, state: SearchState | None) -> Iterator[SearchState]:
    layers = len(goal.sizes)
    many = _many(layers)
    if state is None or math.isnan(state.metric):
        state = SearchState(many, trials.measure(many), state.noise if state else ())
        yield state
    plan = [(tensor, number) for tensor in _searched(layers) for number in MEASURED]
    for tensor, number in plan[len(state.noise) :]:
        state = replace(state, noise=(*state.noise, trials.noise(many, with_bits(many, tensor, number))))
        yield state
    noise = added_noise(plan, state.noise)
    if state.passes is None:
        state = replace(_start(trials, goal, state, noise), passes=0)
        yield state
    else:
        trials.measure(state.bits)
        trials.accept(state.bits)
    while not state.finished:
        state = _step(trials, goal, state, noise)
        yield state


def noise_trials(layers: int) -> int:
    """How often the noise of a tensor is measured in the first stage."""
    return len(_searched(layers)) * len(MEASURED)


def _searched(layers: int) -> list[Tensor]:
    # The last map is the output, read as it is: it keeps its bits.
    return [(layer, name) for layer in range(layers) for name in ("weights", "maps")][:-1]


def added_noise(plan: Sequence[tuple[Tensor, int]], measured: Sequence[float]) -> Noise:
    """The noise of each tensor by its bits: what was measured less that of its most bits, never less for fewer bits."""
    raw: Noise = {}
    for (tensor, number), value in zip(plan, measured, strict=True):
        raw.setdefault(tensor, {})[number] = value
    noise: Noise = {}
    for tensor, values in raw.items():
        floor, highest = values[max(values)], 0.0
        noise[tensor] = {}
        for number in sorted(values, reverse=True):
            highest = max(highest, values[number] - floor)
            noise[tensor][number] = highest
    return noise


def trade(goal: Goal, noise: Noise, bits: Bits, weight: float) -> Bits:
    """The bits that minimise noise + weight * cost, tensor by tensor until nothing changes, from ``bits`` on."""

    def loss(tensor: Tensor, number: int) -> float:
        return noise[tensor][number] + weight * goal.cost(with_bits(bits, tensor, number))

    for _ in range(100):  # The loss falls with every change; the limit only guards against rounding.
        before = bits
        for tensor, values in noise.items():
            bits = with_bits(bits, tensor, min(sorted(values), key=lambda number: loss(tensor, number)))
        if bits == before:
            break
    return bits


def _start(trials: Trials, goal: Goal, state: SearchState, noise: Noise) -> SearchState:
    # Bisection over lambda, as if the metric fell where it grows, and a few larger ones, as it does so on the whole
    # only. The state's own bits stay where they cost less.
    def cost(reached: SearchState) -> float:
        return goal.cost(reached.bits)

    bits = _many(len(goal.sizes))
    family: list[Bits] = []
    for exponent in EXPONENTS:
        bits = trade(goal, noise, bits, 10.0**exponent)
        if bits not in family[-1:]:
            family.append(bits)
    found: dict[int, float] = {}

    def fits(place: int) -> bool:
        if place not in found:
            found[place] = trials.measure(family[place])
        return found[place] >= goal.least

    low, high = -1, len(family)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    places = [low] if low >= 0 else []
    places += filter(fits, range(high + 1, min(high + 1 + AHEAD, len(family))))
    best = min((replace(state, bits=family[place], metric=found[place]) for place in places), key=cost, default=state)
    best = min(state, best, key=cost)
    trials.measure(best.bits)
    trials.accept(best.bits)
    return replace(best, finished=best.metric < goal.least)


def with_bits(bits: Bits, tensor: Tensor, number: int) -> Bits:
    """The same bits but for one tensor."""
    layer, name = tensor
    return (*bits[:layer], replace(bits[layer], **{name: number}), *bits[layer + 1 :])


def _step(trials: Trials, goal: Goal, state: SearchState, noise: Noise) -> SearchState:
    # One trial. The choice depends on the state alone, so that an interrupted pass finds its place again.
    left = [(_gain(goal, state.bits, tensor, noise), tensor) for tensor in noise if tensor not in state.failed]
    left = [(gain, tensor) for gain, tensor in left if gain > 0]
    if not left:
        return replace(state, passes=(state.passes or 0) + 1, failed=(), changed=False, finished=not state.changed)
    tensor = max(left)[1]
    lowered = with_bits(state.bits, tensor, getattr(state.bits[tensor[0]], tensor[1]) - 1)
    metric = trials.measure(lowered)
    if metric < goal.least:
        return replace(state, failed=(*state.failed, tensor))
    trials.accept(lowered)
    return replace(state, bits=lowered, metric=metric, changed=True)


def _gain(goal: Goal, bits: Bits, tensor: Tensor, noise: Noise) -> float:
    # What a bit less saves, for the noise that it adds; 0 where there is no such bit or nothing is saved.
    number = getattr(bits[tensor[0]], tensor[1])
    if number <= MIN_BITS:
        return 0.0
    saved = goal.cost(bits) - goal.cost(with_bits(bits, tensor, number - 1))
    own = noise[tensor]
    return saved / (own.get(number - 1, 0.0) - own.get(number, 0.0) + 1e-6)

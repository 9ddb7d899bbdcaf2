"""The search of Goyal et al. 2021: fewer bits, tensor by tensor, each seeing the others as they are quantised.

It starts where all have 16 bits. A pass goes over all tensors, those first of which a bit saves most; each is lowered
as far as the metric stays within the budget, the others being as they are at that time. Passes are repeated until
nothing changes. The first tensors would use up the whole budget for themselves: so the first passes may lose a part of
it only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.quantization.post_training.costs import Costs, LayerSize, costs
from tinier_yolo.quantization.post_training.formats import TENSORS, Bits, uniform_bits

#: The part of the budget that each pass may use up; the last one holds for all further passes.
SHARES = (0.25, 0.5, 1.0)


class Trials(Protocol):
    """Measures a network whose tensors have some bits."""

    def measure(self, bits: Bits) -> float:
        """The metric on the calibration images, 0..1."""
        ...

    def accept(self, bits: Bits) -> None:
        """Note that these bits, just measured, are what the next trials start from."""
        ...


@dataclass(frozen=True)
class SearchState:
    """Where a search is: enough to go on from.

    Attributes:
        bits: those of all tensors.
        metric: of these bits.
        passes: passes that are done.
        done: tensors of the current pass that are done.
        changed: whether one of them got fewer bits.
        finished: whether a pass with the whole budget has changed nothing.
    """

    bits: Bits
    metric: float
    passes: int = 0
    done: int = 0
    changed: bool = False
    finished: bool = False


def search(
    trials: Trials,
    sizes: Sequence[LayerSize],
    wanted: float,
    budget: float,
    reference: Costs,
    state: SearchState | None = None,
    keep: Callable[[SearchState], None] = lambda _: None,
) -> SearchState:
    """Search for the fewest bits.

    Args:
        trials: measures bits.
        sizes: of the network's layers.
        wanted: the metric of the float network.
        budget: which part of it may be lost.
        reference: costs that a bit's savings are told in parts of.
        state: where an interrupted search was; from 16 bits on if None.
        keep: called with the state after every tensor.

    Returns:
        The state at the end.
    """
    if state is None:
        bits = uniform_bits(len(sizes), MAX_BITS)
        state = SearchState(bits, trials.measure(bits))
    else:
        trials.measure(state.bits)
    trials.accept(state.bits)
    keep(state)
    while not state.finished:
        share = SHARES[min(state.passes, len(SHARES) - 1)]
        for reached in _one_pass(trials, sizes, wanted * (1 - budget * share), reference, state):
            state = reached
            keep(state)
        last = state.passes >= len(SHARES) - 1
        finished = last and not state.changed
        state = replace(state, passes=state.passes + 1, done=0, changed=False, finished=finished)
        keep(state)
    return state


def savings(sizes: Sequence[LayerSize], bits: Bits, reference: Costs) -> list[tuple[int, str]]:
    """All tensors as (layer, name), those first of which a bit less saves most: the sum of both costs' parts."""

    def saved(tensor: tuple[int, str]) -> float:
        layer, name = tensor
        more = with_bits(bits, layer, name, getattr(bits[layer], name) + 1)
        memory, multiplications = costs(sizes, more).relative(reference)
        before = costs(sizes, bits).relative(reference)
        return memory + multiplications - sum(before)

    return sorted(((layer, name) for layer in range(len(sizes)) for name in TENSORS), key=saved, reverse=True)


def with_bits(bits: Bits, layer: int, name: str, number: int) -> Bits:
    """The same bits but for one tensor."""
    return (*bits[:layer], replace(bits[layer], **{name: number}), *bits[layer + 1 :])


def _one_pass(
    trials: Trials, sizes: Sequence[LayerSize], least: float, reference: Costs, state: SearchState
) -> Iterator[SearchState]:
    # The order is that of the savings at 16 bits, the same in every pass: an interrupted one finds its place again.
    order = savings(sizes, uniform_bits(len(sizes), MAX_BITS), reference)
    for layer, name in order[state.done :]:
        bits, metric = _lowered(trials, state, layer, name, least)
        changed = state.changed or bits != state.bits
        state = replace(state, bits=bits, metric=metric, done=state.done + 1, changed=changed)
        yield state


def _lowered(trials: Trials, state: SearchState, layer: int, name: str, least: float) -> tuple[Bits, float]:
    # Bisection: what fits with some bits is taken to fit with more. `high` always fits.
    low, high = MIN_BITS - 1, getattr(state.bits[layer], name)
    best = state.bits, state.metric
    while high - low > 1:
        middle = (low + high) // 2
        bits = with_bits(state.bits, layer, name, middle)
        metric = trials.measure(bits)
        if metric >= least:
            high, best = middle, (bits, metric)
            trials.accept(bits)
        else:
            low = middle
    return best

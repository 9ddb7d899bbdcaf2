from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS
from tinier_yolo.quantization.post_training.costs import LayerSize, all_8_bit
from tinier_yolo.quantization.post_training.formats import Bits, LayerBits
from tinier_yolo.quantization.post_training.search import (
    MANY,
    Goal,
    SearchState,
    added_noise,
    further,
    noise_trials,
    restarted,
    search,
    trade,
    with_bits,
)

SIZES = (LayerSize(100, 4, 300, 200, 1000), LayerSize(5000, 2, 200, 20, 3000))
TENSORS = ((0, "weights"), (0, "maps"), (1, "weights"))
#: How much noise a tensor of two bits makes; with each further bit a quarter of it.
LOUD = dict(zip(TENSORS, (1.0, 4.0, 0.25), strict=True))


class Fakes:
    """A metric that falls with the noise of all tensors together."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.measured, self.stop_after = 0, stop_after
        self.last: Bits = ()
        self.accepted: Bits = ()

    def total(self, bits: Bits) -> float:
        return sum(loud * 4.0 ** (2 - getattr(bits[layer], name)) for (layer, name), loud in LOUD.items())

    def measure(self, bits: Bits) -> float:
        self._count()
        self.last = bits
        return 0.8 * (1 - self.total(bits))

    def noise(self, base: Bits, bits: Bits) -> float:
        self._count()
        assert sum(one != other for one, other in zip(base, bits, strict=True)) <= 1, "one tensor at a time"
        return self.total(bits)

    def accept(self, bits: Bits) -> None:
        assert bits == self.last, "only what was measured last can be accepted"
        self.accepted = bits

    def _count(self) -> None:
        self.measured += 1
        if self.stop_after is not None and self.measured > self.stop_after:
            raise KeyboardInterrupt


def goal(budget: float = 0.05) -> Goal:
    return Goal(SIZES, all_8_bit(SIZES), 0.8 * (1 - budget))


def run(
    fakes: Fakes, state: SearchState | None = None, keep: Callable[[SearchState], None] = lambda _: None
) -> SearchState:
    return search(fakes, goal(), state, keep)


def every() -> list[Bits]:
    """All networks of 2 to 8 bits a tensor."""
    first, last = MANY, replace(MANY, maps=MAX_BITS)
    return [
        (replace(first, weights=a, maps=b), replace(last, weights=c))
        for a, b, c in itertools.product(range(2, 9), repeat=3)
    ]


@pytest.mark.parametrize("budget", [0.005, 0.05, 0.3])
def test_nothing_cheaper_keeps_the_budget(budget: float) -> None:
    fakes, wanted = Fakes(), goal(budget)
    found = search(fakes, wanted)
    assert found.finished
    assert found.metric == fakes.measure(found.bits) >= wanted.least
    assert fakes.accepted == found.bits
    cheapest = min((bits for bits in every() if fakes.measure(bits) >= wanted.least), key=wanted.cost)
    assert wanted.cost(found.bits) <= 1.05 * wanted.cost(cheapest)
    for tensor in TENSORS:
        bits = getattr(found.bits[tensor[0]], tensor[1])
        assert bits == 2 or fakes.measure(with_bits(found.bits, tensor, bits - 1)) < wanted.least


def test_a_budget_that_not_even_many_bits_keep() -> None:
    found = search(Fakes(), replace(goal(), least=0.81))
    assert found.finished
    assert found.metric < 0.81
    assert found.bits[0] == MANY


def test_weights_and_maps_are_traded_by_cost_and_noise() -> None:
    noise = {tensor: {bits: loud * 4.0 ** (2 - bits) for bits in range(2, 9)} for tensor, loud in LOUD.items()}
    wanted, bits = goal(), every()[0]
    for weight in (1e-4, 1e-2, 1.0):
        found = trade(wanted, noise, bits, weight)

        def loss(own: Bits, weight: float = weight) -> float:
            return Fakes().total(own) + weight * wanted.cost(own)

        assert loss(found) <= 1.001 * min(loss(own) for own in every())


def test_noise_never_falls_with_fewer_bits() -> None:
    plan = [((0, "weights"), bits) for bits in (2, 3, 4)]
    assert added_noise(plan, [0.3, 0.5, 0.1]) == {(0, "weights"): {4: 0.0, 3: 0.4, 2: 0.4}}


def test_a_further_search_begins_at_what_was_found_and_measures_no_noise_again() -> None:
    first = run(Fakes())
    fakes = Fakes()
    second = search(fakes, goal(0.2), further(first))
    assert goal().cost(second.bits) < goal().cost(first.bits)
    assert fakes.measured < 40 < noise_trials(2) + 40
    again = search(Fakes(), goal(), restarted(second))
    assert again == first


@pytest.mark.parametrize("stop", [1, 5, 20, 24, 30])
def test_an_interrupted_search_goes_on_to_the_same_end(stop: int) -> None:
    states: list[SearchState] = []
    with pytest.raises(KeyboardInterrupt):
        run(Fakes(stop_after=stop), keep=states.append)
    whole = Fakes()
    assert run(Fakes(), states[-1]) == run(whole)
    assert whole.measured > 30


def test_layer_bits_of_the_output_stay() -> None:
    assert run(Fakes()).bits[-1].maps == MAX_BITS
    assert {own.biases for own in run(Fakes()).bits} == {LayerBits(8, 8, 10).biases}

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinier_yolo.quantization.post_training.costs import LayerSize, all_8_bit, costs
from tinier_yolo.quantization.post_training.formats import TENSORS, Bits
from tinier_yolo.quantization.post_training.search import SearchState, savings, search, with_bits

SIZES = (LayerSize(100, 4, 300, 200, 1000), LayerSize(5000, 2, 200, 20, 3000))


class Fakes:
    """A metric that falls when a tensor has fewer bits than it needs, more so when two do."""

    def __init__(self, needs: dict[tuple[int, str], int], stop_after: int | None = None) -> None:
        self.needs, self.measured, self.accepted, self.stop_after = needs, 0, [], stop_after
        self.last: Bits = ()

    def measure(self, bits: Bits) -> float:
        self.measured += 1
        if self.stop_after is not None and self.measured > self.stop_after:
            raise KeyboardInterrupt
        self.last = bits
        missing = sum(max(0, need - getattr(bits[layer], name)) for (layer, name), need in self.needs.items())
        return 0.8 * (1 - 0.004 * missing**2)

    def accept(self, bits: Bits) -> None:
        assert bits == self.last, "only what was measured last can be accepted"
        self.accepted.append(bits)


NEEDS = {(layer, name): 3 + 2 * layer + number for layer in range(2) for number, name in enumerate(TENSORS)}


def run(
    fakes: Fakes, state: SearchState | None = None, keep: Callable[[SearchState], None] = lambda _: None
) -> SearchState:
    return search(fakes, SIZES, 0.8, 0.01, all_8_bit(SIZES), state, keep)


def test_it_ends_where_no_tensor_can_be_lowered() -> None:
    fakes = Fakes(NEEDS)
    found = run(fakes)
    assert found.finished
    assert found.metric == fakes.measure(found.bits) >= 0.8 * 0.99
    for layer in range(2):
        for name in TENSORS:
            bits = getattr(found.bits[layer], name)
            assert bits == 2 or fakes.measure(with_bits(found.bits, layer, name, bits - 1)) < 0.8 * 0.99
    # One bit may be missing in all: the first tensor of the order, of which a bit saves most, is the one.
    missing = {tensor: need - getattr(found.bits[tensor[0]], tensor[1]) for tensor, need in NEEDS.items()}
    assert {tensor for tensor, number in missing.items() if number} == {savings(SIZES, found.bits, all_8_bit(SIZES))[0]}


def test_trials_see_the_others_as_they_are_quantised() -> None:
    # In float surroundings each tensor alone could go one bit below its need; together they may not.
    found = run(Fakes(NEEDS))
    alone = sum(need - 1 for need in NEEDS.values())
    assert sum(getattr(own, name) for own in found.bits for name in TENSORS) > alone


def test_the_order_is_that_of_the_savings() -> None:
    bits = run(Fakes(NEEDS)).bits
    order = savings(SIZES, bits, all_8_bit(SIZES))
    assert order[0] == (1, "weights")
    assert {layer for layer, name in order[-2:] if name in ("biases", "maps")} <= {0, 1}
    assert len(order) == 6
    assert costs(SIZES, bits).memory < all_8_bit(SIZES).memory


@pytest.mark.parametrize("stop", [1, 5, 17, 40])
def test_an_interrupted_search_goes_on_to_the_same_end(stop: int) -> None:
    states: list[SearchState] = []
    with pytest.raises(KeyboardInterrupt):
        run(Fakes(NEEDS, stop_after=stop), keep=states.append)
    resumed = Fakes(NEEDS)
    whole = Fakes(NEEDS)
    assert run(resumed, states[-1]) == run(whole)
    assert resumed.measured < whole.measured + (stop == 1) + 1

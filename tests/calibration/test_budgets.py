"""Searches for one budget after the other: from where they begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tinier_yolo.calibration.budgets import Searches
from tinier_yolo.quantization.post_training.costs import LayerSize
from tinier_yolo.quantization.post_training.formats import Bits, LayerBits
from tinier_yolo.quantization.post_training.search import SearchState, noise_trials

SIZES = (LayerSize(1000, 10, 300, 500, 50000), LayerSize(5000, 10, 500, 100, 25000))


class KnownTrials:
    """Bits whose metric is known; all others have none."""

    def __init__(self, known: dict[Bits, float]) -> None:
        self.known, self.measured = known, list[Bits]()

    def measure(self, bits: Bits) -> float:
        self.measured.append(bits)
        return self.known.get(bits, 0.0)

    def noise(self, _base: Bits, bits: Bits) -> float:
        return sum(2.0 ** -(own.weights + own.maps) for own in bits)

    def accept(self, bits: Bits) -> None:
        assert bits == self.measured[-1]


def bits_of(first: int, second: int) -> Bits:
    return LayerBits(first, 8, first), LayerBits(second, 8, 16)


def searches(trials: KnownTrials, path: Path, found: dict[float, tuple[Bits, float]]) -> Searches:
    made = Searches(path / "a.search.json", "", cast("Any", trials), SIZES, 1.0, lambda _: None)
    noise = tuple(0.001 * number for number in range(noise_trials(2)))
    made.states = {
        budget: SearchState(bits, metric, noise, passes=2, finished=True) for budget, (bits, metric) in found.items()
    }
    return made


def test_a_search_goes_on_from_the_cheapest_bits_within_its_budget(tmp_path: Path) -> None:
    # That of the largest budget is not the cheapest, and the cheapest of all is not good enough.
    found = {0.01: (bits_of(5, 4), 0.99), 0.02: (bits_of(7, 7), 0.98), 0.1: (bits_of(3, 3), 0.9)}
    trials = KnownTrials(dict(found.values()))
    state = searches(trials, tmp_path, found).run(0.05)
    assert (state.bits, state.metric, state.finished) == (bits_of(5, 4), 0.99, True)


def test_a_search_begins_anew_where_nothing_is_within_its_budget(tmp_path: Path) -> None:
    found = {0.1: (bits_of(3, 3), 0.9)}
    many = (LayerBits(8, 8, 10), LayerBits(8, 8, 16))
    trials = KnownTrials({many: 0.995, **dict(found.values())})
    state = searches(trials, tmp_path, found).run(0.01)
    assert trials.measured[0] == many
    assert (state.bits, state.metric) == (many, 0.995)

"""Goyal's search for one budget after the other, its state in a file: an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tinier_yolo.calibration.trials import Trials
from tinier_yolo.errors import DataError
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.quantization.post_training.costs import LayerSize, all_8_bit
from tinier_yolo.quantization.post_training.formats import LayerBits
from tinier_yolo.quantization.post_training.search import Goal, SearchState, further, restarted, search

#: Where searches keep their states, beside the program that they will make.
STATE_SUFFIX = ".search.json"


@dataclass
class Searches:
    """The searches of a run.

    Attributes:
        path: the file of their states.
        fingerprint: of the files and options that they depend on.
        trials: measures bits.
        sizes: of the layers.
        wanted: the metric of the float network.
        note: called with the state after every trial that has changed something.
        states: the last state of each search, by budget, in order.
    """

    path: Path
    fingerprint: str
    trials: Trials
    sizes: Sequence[LayerSize]
    wanted: float
    note: Callable[[SearchState], None]
    states: dict[float, SearchState] = field(default_factory=dict)

    def read(self) -> bool:
        """Take up the states of an interrupted run; False if there is none.

        Raises:
            DataError: the file is damaged, or of another run.
        """
        if not self.path.exists():
            return False
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["fingerprint"] != self.fingerprint:
                problem = "the search of another network, or with other options"
                raise DataError(problem, path=self.path, expected="its removal")
            entries = content["searches"]
            self.states = {float(entry["budget"]): self._state(entry["state"]) for entry in entries}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError("not the state of a search", path=self.path, found=str(error)[:80]) from error
        return True

    def _state(self, given: dict[str, Any]) -> SearchState:
        bits = tuple(LayerBits(**own) for own in given.pop("bits"))
        numbers = [number for own in bits for number in asdict(own).values()]
        if len(bits) != len(self.sizes) or not all(type(n) is int and MIN_BITS <= n <= MAX_BITS for n in numbers):
            raise ValueError("bits of another network")
        noise = tuple(float(value) for value in given.pop("noise"))
        failed = tuple((int(layer), str(name)) for layer, name in given.pop("failed"))
        return SearchState(bits, noise=noise, failed=failed, **given)

    def run(self, budget: float) -> SearchState:
        """Search within a budget, from the cheapest bits that earlier searches have found within it."""
        goal = Goal(self.sizes, all_8_bit(self.sizes), self.wanted * (1 - budget))
        state = self.states.get(budget)
        if state is None and self.states:
            within = [own for own in self.states.values() if own.metric >= goal.least]
            cheapest = min(within, key=lambda own: goal.cost(own.bits), default=None)
            state = further(cheapest) if cheapest else restarted(next(iter(self.states.values())))

        def keep(reached: SearchState) -> None:
            before = self.states.get(budget)
            self.states[budget] = reached
            if before is None or replace(before, failed=()) != replace(reached, failed=()):
                self.note(reached)
            with atomic_write(self.path, "w", durable=False) as file:
                entries = [{"budget": own, "state": asdict(found)} for own, found in self.states.items()]
                json.dump({"fingerprint": self.fingerprint, "searches": entries}, file)

        return search(self.trials, goal, state, keep)

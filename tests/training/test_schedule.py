from __future__ import annotations

import math

import pytest

from tinier_yolo.darknet.network import NetOptions, Network
from tinier_yolo.training.schedule import learning_rate


def options(text: str) -> NetOptions:
    return Network.parse(f"[net]\nwidth=32\nheight=32\nlearning_rate=0.1\nmax_batches=100\n{text}\n[dropout]").options


@pytest.mark.parametrize(
    ("text", "iteration", "expected"),
    [
        ("policy=constant", 50, 0.1),
        ("policy=constant\nburn_in=10\npower=4", 4, 0.1 * 0.5**4),
        ("policy=constant\nburn_in=10\npower=4", 10, 0.1),
        ("policy=step\nstep=10\nscale=.5", 25, 0.025),
        ("policy=steps\nsteps=10,20\nscales=.1,.1", 9, 0.1),
        ("policy=steps\nsteps=10,20\nscales=.1,.1", 10, 0.01),
        ("policy=steps\nsteps=10,20\nscales=.1,.1", 99, 0.001),
        ("policy=exp\ngamma=.9", 2, 0.081),
        ("policy=poly\npower=2", 50, 0.025),
        ("policy=sig\ngamma=.1\nstep=50", 50, 0.05),
        ("policy=sig\ngamma=1\nstep=1", 1_000_000, 0.0),
        ("policy=cosine", 50, 0.05),
        ("policy=cosine\nburn_in=20\npower=1", 60, 0.05),
        ("policy=cosine", 100, 0.0),
    ],
)
def test_policies(text: str, iteration: int, expected: float) -> None:
    assert math.isclose(learning_rate(options(text), iteration), expected, rel_tol=1e-12, abs_tol=1e-12)

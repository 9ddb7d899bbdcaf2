"""Random programs for the exported C: everything that a cfg can say."""

from __future__ import annotations

import numpy as np

from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.ifq.program import Program

POOLS = (None, None, (2, 2), (2, 2), (2, 1), (3, 2), (3, 3), (2, 2, 0), (2, 2, 2), (2, 3), (4, 1))
SIDES = ((13, 9), (8, 31), (40, 6), (5, 5), (17, 16))


def make(seed: int) -> Program:
    """Program ``seed``: the first ones are chosen, the others random."""
    rng = np.random.default_rng(seed)
    if seed < len(CHOSEN):
        return _program(*CHOSEN[seed], rng)
    while True:
        blocks = [_block(rng) for _ in range(rng.integers(1, 5))]
        width, height = SIDES[rng.integers(len(SIDES))]
        channels, size = int(rng.choice((1, 2, 3, 4))), int(rng.choice((1, 1, 3)))
        try:
            return _program(blocks, width, height, channels, int(rng.integers(1, 20)), size, rng)
        except (ValueError, ArithmeticError, RuntimeError):
            continue
        except Exception as error:  # a map that has become too small; another draw
            if "small" not in str(error) and "window" not in str(error):
                raise


def _block(rng: np.random.Generator) -> Block:
    size = int(rng.choice((1, 2, 3, 3, 5)))
    return Block(
        filters=int(rng.choice((1, 3, 8, 9, 31, 32, 33, 40, 64))),
        size=size,
        stride=int(rng.choice((1, 1, 1, 2, 3))),
        padding=int(rng.integers(0, size + 1)),
        pool=POOLS[rng.integers(len(POOLS))],
        bits=int(rng.integers(1, 5)),
    )


#: Blocks, width, height, channels, outputs, last size: no quantised layer; many thresholds over a wide range; a window
#: of the image whose sum leaves 16 bits; padding as large as the window; strides that skip rows.
CHOSEN: tuple[tuple[list[Block], int, int, int, int, int], ...] = (
    ([], 9, 7, 3, 6, 3),
    ([Block(40, bits=4), Block(7, bits=3), Block(5, bits=1)], 12, 10, 3, 6, 1),
    ([Block(9, size=11, padding=5, bits=2)], 14, 13, 4, 6, 1),
    ([Block(8, size=1, padding=1), Block(8, size=2, padding=2, pool=(3, 1))], 6, 7, 3, 5, 1),
    ([Block(8, size=1, stride=3, padding=0), Block(33, size=2, stride=4, padding=1)], 40, 31, 3, 5, 1),
    ([Block(600, size=1, padding=0, bits=4), Block(3, size=3, bits=2, pool=(2, 2))], 6, 5, 1, 4, 3),
)


def _program(
    blocks: list[Block], width: int, height: int, channels: int, outputs: int, size: int, rng: np.random.Generator
) -> Program:
    text = ifq_cfg(blocks, width, height, channels, outputs, size)
    return random_program(text, rng, random_image(rng, height, width, channels))

"""Kernels for weights: their gradient behind a pool, and binary weights.

The weights' gradient of a 3x3 convolution in front of a 2x2 pool needs the winners alone, a quarter of the products:
only one value of each window has a gradient, so most products of the usual sum are with zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinier_yolo.runtime.kernels.compile import inlined, kernel
from tinier_yolo.training.fused_kernels_vectors import (
    LANES,
    above,
    add,
    choose,
    load,
    multiply_add,
    splat,
    store,
    subtract,
)

#: Windows whose gradients are read again and again from the first-level cache.
_CHUNK = 64
_GROUP = 3 * LANES


@inlined
def _frame(x: Any, framed: Any, image: int, height: int, width: int, channels: int, filled: int) -> None:
    """Copy an image of the map into a frame of one zero all around; ``filled`` channels are made of ``channels``."""
    for r in range(height):
        source = (image * height + r) * width * channels
        target = ((r + 1) * (width + 2) + 1) * filled
        if channels == filled:
            for at in range(0, width * channels, LANES):
                store(framed, target + at, load(x, source + at))
        else:  # The image, float32: the channels beyond stay zero.
            for column in range(width):
                for c in range(channels):
                    framed[target + column * filled + c] = x[source + column * channels + c]


@kernel
def correlate_winners(
    x: Any, gradient: Any, flags: Any, sums: Any, first: int, last: int,
    height: int, width: int, filled: int, rows: int, columns: int, filters: int,
) -> None:  # fmt: skip
    """Add up gradient * x, for float64 sums (filters, 3, 3, filled), where ``gradient`` is that of the pooled map."""
    framed = np.zeros((height + 2) * (width + 2) * filled, np.float32)
    work = np.zeros(sums.size, np.float32)
    line = (width + 2) * filled
    offsets = np.array([0, filled, line, line + filled])
    groups_a_line = filled // LANES
    step = max(1, _CHUNK // columns)
    for n in range(first, last):
        _frame(x, framed, n, height, width, filled, filled)
        for top in range(0, rows, step):
            for f in range(filters):
                for group in range(0, 3 * groups_a_line, 3):
                    e0 = group // groups_a_line * line + group % groups_a_line * _GROUP
                    e1 = (group + 1) // groups_a_line * line + (group + 1) % groups_a_line * _GROUP
                    e2 = (group + 2) // groups_a_line * line + (group + 2) % groups_a_line * _GROUP
                    own = f * 9 * filled + group * _GROUP
                    a0, a1, a2 = load(work, own), load(work, own + 8), load(work, own + 16)
                    b0, b1, b2 = load(work, own + 24), load(work, own + 32), load(work, own + 40)
                    c0, c1, c2 = load(work, own + 48), load(work, own + 56), load(work, own + 64)
                    for r in range(top, min(top + step, rows)):
                        at = (n * rows + r) * columns * filters + f
                        corner = 2 * r * line
                        for _ in range(columns):
                            g = splat(gradient[at])
                            p = corner + offsets[flags[at] & 3]
                            a0 = multiply_add(g, load(framed, p + e0), a0)
                            a1 = multiply_add(g, load(framed, p + e0 + 8), a1)
                            a2 = multiply_add(g, load(framed, p + e0 + 16), a2)
                            b0 = multiply_add(g, load(framed, p + e1), b0)
                            b1 = multiply_add(g, load(framed, p + e1 + 8), b1)
                            b2 = multiply_add(g, load(framed, p + e1 + 16), b2)
                            c0 = multiply_add(g, load(framed, p + e2), c0)
                            c1 = multiply_add(g, load(framed, p + e2 + 8), c1)
                            c2 = multiply_add(g, load(framed, p + e2 + 16), c2)
                            at += filters
                            corner += 2 * filled
                    store(work, own, a0), store(work, own + 8, a1), store(work, own + 16, a2)
                    store(work, own + 24, b0), store(work, own + 32, b1), store(work, own + 40, b2)
                    store(work, own + 48, c0), store(work, own + 56, c1), store(work, own + 64, c2)
        for index in range(sums.size):
            sums[index] += work[index]
            work[index] = 0


@kernel
def correlate_winners_with_image(
    x: Any, gradient: Any, flags: Any, sums: Any, first: int, last: int,
    height: int, width: int, channels: int, rows: int, columns: int, filters: int,
) -> None:  # fmt: skip
    """The same for an image of up to 4 channels and sums (filters, 3, 16): a line is 3 x 4 values and 4 to ignore."""
    framed = np.zeros((height + 2) * (width + 2) * 4 + LANES, np.float32)
    work = np.zeros(sums.size, np.float32)
    line = (width + 2) * 4
    offsets = np.array([0, 4, line, line + 4])
    for n in range(first, last):
        _frame(x, framed, n, height, width, channels, 4)
        for r in range(rows):
            for f in range(filters):
                own = f * 48
                a0, a1 = load(work, own), load(work, own + 8)
                b0, b1 = load(work, own + 16), load(work, own + 24)
                c0, c1 = load(work, own + 32), load(work, own + 40)
                at = r * columns * filters + f + n * rows * columns * filters
                corner = 2 * r * line
                for _ in range(columns):
                    g = splat(gradient[at])
                    p = corner + offsets[flags[at] & 3]
                    a0 = multiply_add(g, load(framed, p), a0)
                    a1 = multiply_add(g, load(framed, p + 8), a1)
                    b0 = multiply_add(g, load(framed, p + line), b0)
                    b1 = multiply_add(g, load(framed, p + line + 8), b1)
                    c0 = multiply_add(g, load(framed, p + 2 * line), c0)
                    c1 = multiply_add(g, load(framed, p + 2 * line + 8), c1)
                    at += filters
                    corner += 8
                store(work, own, a0), store(work, own + 8, a1), store(work, own + 16, b0)
                store(work, own + 24, b1), store(work, own + 32, c0), store(work, own + 40, c1)
        for index in range(sums.size):
            sums[index] += work[index]
            work[index] = 0


@kernel
def binarize(weights: Any, result: Any, alpha: Any, factor: float, first: int, last: int, count: int) -> None:
    """Filters of ``count`` weights -> alpha where a weight is >= 0, else -alpha: factor times their mean magnitude."""
    zero = splat(np.float32(0))
    whole = count // LANES * LANES
    for f in range(first, last):
        lanes = np.zeros(LANES, np.float32)
        sums = zero
        for at in range(f * count, f * count + whole, LANES):
            value = load(weights, at)
            sums = add(sums, choose(above(value, zero), value, subtract(zero, value)))
        store(lanes, 0, sums)
        total = 0.0
        for lane in range(LANES):
            total += lanes[lane]
        for at in range(f * count + whole, (f + 1) * count):
            total += abs(weights[at])
        own = np.float32(total * factor / count)
        alpha[f] = own
        for at in range(f * count, f * count + whole, LANES):
            store(result, at, choose(above(zero, load(weights, at)), splat(-own), splat(own)))
        for at in range(f * count + whole, (f + 1) * count):
            result[at] = -own if weights[at] < 0 else own


@kernel
def binarize_back(
    weights: Any, gradient: Any, result: Any, alpha: Any, factor: float, first: int, last: int, count: int
) -> None:
    """The latent weights' gradient: straight through the sign, and by way of alpha (none where a weight is 0)."""
    zero = splat(np.float32(0))
    whole = count // LANES * LANES
    for f in range(first, last):
        lanes = np.zeros(LANES, np.float32)
        sums = zero
        for at in range(f * count, f * count + whole, LANES):
            g = load(gradient, at)
            sums = add(sums, choose(above(zero, load(weights, at)), subtract(zero, g), g))
        store(lanes, 0, sums)
        total = 0.0
        for lane in range(LANES):
            total += lanes[lane]
        for at in range(f * count + whole, (f + 1) * count):
            total += -gradient[at] if weights[at] < 0 else gradient[at]
        slope = np.float32(total * factor / count)
        for at in range(f * count, f * count + whole, LANES):
            value = load(weights, at)
            own = choose(above(value, zero), splat(slope), choose(above(zero, value), splat(-slope), zero))
            store(result, at, multiply_add(load(gradient, at), splat(alpha[f]), own))
        for at in range(f * count + whole, (f + 1) * count):
            result[at] = gradient[at] * alpha[f] + slope * np.sign(weights[at])

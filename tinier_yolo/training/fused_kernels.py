"""The passes over memory of a fused chain (see :mod:`tinier_yolo.training.fused`), compiled by Numba.

All maps are flat views of channels-last memory, (images, rows, columns, channels), of float32 or of bfloat16 as uint16;
channels are a multiple of 8. ``flags`` has a byte a value: bits 0 and 1 say which of a window's four values won (row
by row, the first of equals), bit 2 whether the activation's gradient is ``high`` there instead of ``low``. Every kernel
takes the images ``first`` to ``last`` and adds its sums of them to float64 ``sums``, (2 x channels).
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
    equal_under,
    exceeds,
    load,
    load_bytes,
    mark,
    multiply,
    multiply_add,
    no_words,
    set_bits,
    splat,
    store,
    store_bytes,
    subtract,
    within,
)

_WINNER = 3
_PASSES = 4


@inlined
def _add_up(sums: Any, work: Any) -> None:
    for index in range(sums.size):
        sums[index] += work[index]
        work[index] = 0


@inlined
def _beside(at: int, side: int, step: int) -> int:
    # Where a window sticks out its first value stands in for the missing one: it never exceeds itself.
    return step if at + 1 < side else 0


@kernel
def pool_and_sum(
    y: Any, pooled: Any, flags: Any, shift: Any, sums: Any, first: int, last: int,
    height: int, width: int, channels: int, stride: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """Maxima of 2x2 windows and who won; sums of (maximum - shift) and of its square."""
    work = np.zeros(2 * channels, np.float32)
    for n in range(first, last):
        for r in range(rows):
            top = (n * height + r * stride) * width * channels
            down = _beside(r * stride, height, width * channels)
            for c in range(0, channels, LANES):
                k = load(shift, c)
                s = load(work, c)
                q = load(work, channels + c)
                for x in range(columns):
                    a = top + x * stride * channels + c
                    right = _beside(x * stride, width, channels)
                    best = load(y, a)
                    where = no_words()
                    for t, step in ((1, right), (2, down), (3, down + right)):
                        value = load(y, a + step)
                        more = exceeds(value, best)
                        best = choose(more, value, best)
                        where = mark(where, more, t)
                    out = ((n * rows + r) * columns + x) * channels + c
                    store(pooled, out, best)
                    store_bytes(flags, out, where)
                    d = subtract(best, k)
                    s = add(s, d)
                    q = multiply_add(d, d, q)
                store(work, c, s)
                store(work, channels + c, q)
        _add_up(sums, work)


@kernel
def sum_up(
    y: Any, shift: Any, sums: Any, first: int, last: int, rows: int, columns: int, channels: int
) -> None:  # fmt: skip
    """Sums of (y - shift) and of its square."""
    work = np.zeros(2 * channels, np.float32)
    for n in range(first, last):
        for r in range(rows):
            row = (n * rows + r) * columns * channels
            for c in range(0, channels, LANES):
                k = load(shift, c)
                s = load(work, c)
                q = load(work, channels + c)
                for x in range(columns):
                    d = subtract(load(y, row + x * channels + c), k)
                    s = add(s, d)
                    q = multiply_add(d, d, q)
                store(work, c, s)
                store(work, channels + c, q)
        _add_up(sums, work)


@kernel
def quantize(
    values: Any, levels: Any, flags: Any, has_winner: bool, scale: Any, offset: Any, thresholds: Any, top: Any,
    first: int, last: int, rows: int, columns: int, channels: int,
) -> None:  # fmt: skip
    """How many thresholds each scale * value + offset exceeds; the flag says whether it lies in [0, top]."""
    zero, one, high = splat(np.float32(0)), splat(np.float32(1)), splat(top)
    for r in range(first * rows, last * rows):
        for c in range(0, channels, LANES):
            a = load(scale, c)
            b = load(offset, c)
            for at in range(r * columns * channels + c, (r + 1) * columns * channels, channels):
                v = multiply_add(load(values, at), a, b)
                level = choose(above(v, splat(thresholds[0])), one, zero)
                for t in range(1, thresholds.size):
                    level = add(level, choose(above(v, splat(thresholds[t])), one, zero))
                store(levels, at, level)
                where = load_bytes(flags, at) if has_winner else no_words()
                store_bytes(flags, at, set_bits(where, within(v, zero, high), _PASSES))


@kernel
def activate(
    y: Any, output: Any, flags: Any, scale: Any, offset: Any, slope: Any,
    first: int, last: int, rows: int, columns: int, channels: int,
) -> None:  # fmt: skip
    """Activate scale * y + offset: its value, or slope times that where it is not positive."""
    zero, low = splat(np.float32(0)), splat(slope)
    for r in range(first * rows, last * rows):
        for c in range(0, channels, LANES):
            a = load(scale, c)
            b = load(offset, c)
            for at in range(r * columns * channels + c, (r + 1) * columns * channels, channels):
                v = multiply_add(load(y, at), a, b)
                positive = above(v, zero)
                store(output, at, choose(positive, v, multiply(v, low)))
                store_bytes(flags, at, set_bits(no_words(), positive, _PASSES))


@kernel
def activate_and_pool(
    y: Any, output: Any, picked: Any, flags: Any, scale: Any, offset: Any, slope: Any, first: int, last: int,
    height: int, width: int, channels: int, stride: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """The same, then the maxima of 2x2 windows; ``picked`` is the y of each winner."""
    zero, low = splat(np.float32(0)), splat(slope)
    for r in range(first * rows, last * rows):
        n, row = r // rows, r % rows * stride
        top = (n * height + row) * width * channels
        down = _beside(row, height, width * channels)
        for c in range(0, channels, LANES):
            a = load(scale, c)
            b = load(offset, c)
            for x in range(columns):
                at = top + x * stride * channels + c
                right = _beside(x * stride, width, channels)
                best = load(y, at)
                v = multiply_add(best, a, b)
                most = choose(above(v, zero), v, multiply(v, low))
                where = no_words()
                for t, step in ((1, right), (2, down), (3, down + right)):
                    value = load(y, at + step)
                    v = multiply_add(value, a, b)
                    v = choose(above(v, zero), v, multiply(v, low))
                    more = exceeds(v, most)
                    most = choose(more, v, most)
                    best = choose(more, value, best)
                    where = mark(where, more, t)
                out = (r * columns + x) * channels + c
                store(output, out, most)
                store(picked, out, best)
                store_bytes(flags, out, set_bits(where, above(most, zero), _PASSES))


@kernel
def sum_gradients(
    gradient: Any, values: Any, flags: Any, mean: Any, high: Any, low: Any, sums: Any,
    first: int, last: int, rows: int, columns: int, channels: int,
) -> None:  # fmt: skip
    """Sums of g and of g * (value - mean), where g is the gradient times the activation's slope."""
    work = np.zeros(2 * channels, np.float32)
    high_, low_ = splat(high), splat(low)
    for n in range(first, last):
        for r in range(n * rows, (n + 1) * rows):
            for c in range(0, channels, LANES):
                m = load(mean, c)
                s = load(work, c)
                q = load(work, channels + c)
                for at in range(r * columns * channels + c, (r + 1) * columns * channels, channels):
                    passes = equal_under(load_bytes(flags, at), _PASSES, _PASSES)
                    g = multiply(load(gradient, at), choose(passes, high_, low_))
                    s = add(s, g)
                    q = multiply_add(g, subtract(load(values, at), m), q)
                store(work, c, s)
                store(work, channels + c, q)
        _add_up(sums, work)


# The gradient of a batch normalisation, value by value: scale * (g - mean of g - (value - mean) * slope), as
# scale * g + base, where base = (value - mean) * tilt + level, tilt = -scale * slope and level = -scale * mean of g.


@kernel
def spread(
    gradient: Any, values: Any, flags: Any, result: Any, batch_norm: Any, high: Any, low: Any, first: int, last: int,
    height: int, width: int, channels: int, stride: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """The gradient of pool, then batch normalisation: each window's to its winner. ``stride`` 0: there is no pool."""
    zero, high_, low_ = splat(np.float32(0)), splat(high), splat(low)
    if stride == 1:
        result[first * height * width * channels : last * height * width * channels] = 0
    for r in range(first * rows, last * rows):
        n, row = r // rows, r % rows * stride
        top = (n * height + row) * width * channels
        down = _beside(row, height, width * channels)
        for c in range(0, channels, LANES):
            scale = load(batch_norm, c)
            mean = load(batch_norm, channels + c)
            tilt = load(batch_norm, 2 * channels + c)
            level = load(batch_norm, 3 * channels + c)
            for x in range(columns):
                at = (r * columns + x) * channels + c
                where = load_bytes(flags, at)
                g = multiply(load(gradient, at), choose(equal_under(where, _PASSES, _PASSES), high_, low_))
                g = multiply_add(scale, g, multiply_add(subtract(load(values, at), mean), tilt, level))
                if stride == 0:
                    store(result, at, g)
                    continue
                right = _beside(x * stride, width, channels)
                to = top + x * stride * channels + c
                # Backwards: where a window sticks out, the first value, which stands in, is written last.
                for t, step in ((3, down + right), (2, down), (1, right), (0, 0)):
                    own = choose(equal_under(where, _WINNER, t), g, zero)
                    store(result, to + step, own if stride == 2 else add(load(result, to + step), own))


@kernel
def spread_all(
    gradient: Any, y: Any, flags: Any, result: Any, batch_norm: Any, high: Any, low: Any, first: int, last: int,
    height: int, width: int, channels: int, stride: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """The gradient of batch normalisation, then pool: every value has one, each winner its window's on top."""
    zero, high_, low_ = splat(np.float32(0)), splat(high), splat(low)
    if stride == 1:
        _fill_base(y, result, batch_norm, first * height, last * height, width, channels)
    for r in range(first * rows, last * rows):
        n, row = r // rows, r % rows * stride
        top = (n * height + row) * width * channels
        down = _beside(row, height, width * channels)
        for c in range(0, channels, LANES):
            scale = load(batch_norm, c)
            mean = load(batch_norm, channels + c)
            tilt = load(batch_norm, 2 * channels + c)
            level = load(batch_norm, 3 * channels + c)
            for x in range(columns):
                at = (r * columns + x) * channels + c
                where = load_bytes(flags, at)
                g = multiply(load(gradient, at), choose(equal_under(where, _PASSES, _PASSES), high_, low_))
                g = multiply(scale, g)
                right = _beside(x * stride, width, channels)
                to = top + x * stride * channels + c
                for t, step in ((3, down + right), (2, down), (1, right), (0, 0)):
                    own = choose(equal_under(where, _WINNER, t), g, zero)
                    if stride == 2:
                        base = multiply_add(subtract(load(y, to + step), mean), tilt, level)
                    else:
                        base = load(result, to + step)
                    store(result, to + step, add(own, base))


@inlined
def _fill_base(y: Any, result: Any, batch_norm: Any, first: int, last: int, width: int, channels: int) -> None:
    for r in range(first, last):
        for c in range(0, channels, LANES):
            mean = load(batch_norm, channels + c)
            tilt = load(batch_norm, 2 * channels + c)
            level = load(batch_norm, 3 * channels + c)
            for at in range(r * width * channels + c, (r + 1) * width * channels, channels):
                store(result, at, multiply_add(subtract(load(y, at), mean), tilt, level))

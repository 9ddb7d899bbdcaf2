"""Images and what a program makes of them, for the test that goes with the C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import CfgError, UsageError
from tinier_yolo.export.c99.source import stride
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program

Bytes = NDArray[np.uint8]
#: Sides of the test's images in strides: wide, and tall.
_SIDES = ((3, 2), (1, 2))
_LEAST = 64
_FNV_START, _FNV_PRIME = 0x811C9DC5, 0x01000193


@dataclass(frozen=True)
class Golden:
    """One image and its maps.

    Attributes:
        height: of the image.
        width: of the image.
        sums: for each quantised layer the FNV-1a of its levels in the order (row, column, channel).
        output: int32 (filters, height, width).
    """

    height: int
    width: int
    sums: tuple[int, ...]
    output: NDArray[np.int32]


def make(program: Program, seed: int = 0) -> tuple[Bytes, list[Golden]]:
    """The bytes of an image and the maps of its beginnings.

    Args:
        program: the program.
        seed: of the image.

    Returns:
        uint8 (bytes,), and for each size what comes of the first height * width * channels of them.

    Raises:
        UsageError: the reference takes none of the sizes.
    """
    sizes = list(_sizes(program))
    if not sizes:
        raise UsageError("no size to test the program with", path=program.network.path)
    channels = program.network.input.channels
    data = _pixels(max(height * width * channels for height, width in sizes), seed)
    return data, [_golden(program, data, height, width) for height, width in sizes]


def fnv1a(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = _FNV_START
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


def _sizes(program: Program) -> Iterator[tuple[int, int]]:
    options = program.network.options
    step = stride(program)
    unit = step * -(-_LEAST // (2 * step)) if step > 1 else 0
    wanted = [(unit * rows, unit * columns) for columns, rows in _SIDES]
    if step == 1:
        wanted = [(options.height, options.width), (options.height + 5, max(options.width - 3, 1))]
    for height, width in wanted:
        try:
            program.shapes(height, width)
        except CfgError:
            continue
        yield height, width


def _pixels(count: int, seed: int) -> Bytes:
    # Noise on a slow wave, with the extremes in it: all channels of the first layers change their levels.
    rng = np.random.default_rng(seed)
    wave = 128 + 100 * np.sin(np.arange(count) / 97.0)
    noisy = np.clip(wave + rng.normal(0, 40, count), 0, 255)
    return np.where(rng.random(count) < 0.1, rng.choice((0, 255), count), noisy).astype(np.uint8)


def _golden(program: Program, data: Bytes, height: int, width: int) -> Golden:
    channels = program.network.input.channels
    image = data[: height * width * channels].reshape(height, width, channels)
    maps, output = reference.run_maps(program, image)
    sums = tuple(fnv1a(np.ascontiguousarray(levels.transpose(1, 2, 0)).tobytes()) for levels in maps)
    return Golden(height, width, sums, output.astype(np.int32))

"""The layers of a program as the arrays that the vector form of the exported C reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.export.c99.layers import NARROW
from tinier_yolo.ifq.program import BinaryConvolution, OutputLayer, Program, QuantizedLayer

Bytes = NDArray[np.uint8]
AnyLayer = QuantizedLayer | OutputLayer
#: Bytes of the widest vector.
LANES = 32
#: Filters of a block of weights, as simd.c has it.
_BLOCK = 32
#: Channels of the image that a table is for.
_IMAGE_GROUP = 3


def fits(program: Program) -> bool:
    """Whether the vector form can run it: every D is a positive int16. Others are exported in the portable form."""
    layers = (*program.layers, program.output)
    return all(layer.limit + 1 < NARROW for layer in layers)


def image_row_bytes(layer: AnyLayer) -> int:
    """Bytes that the first layer keeps of a column: 8 numbers of 16 bits for three channels."""
    return 8 * 2 * -(-layer.convolution.input.channels // _IMAGE_GROUP)


def zeros(program: Program) -> int:
    """Bytes of padding that are read at once: a row of a window, or of the image's cells."""
    layers = (*program.layers, program.output)
    return max([LANES, *(layer.convolution.size * _lines(layer) for layer in layers[1:])])


def weights(layer: AnyLayer, first: bool) -> Bytes:
    """The weights of a layer.

    Returns:
        uint8; for the first layer (filters, taps * groups), three bits of the channels of a group; for others
        (blocks, rows * pairs, 32): filters of a block, each with the four bits of a group in the order (column, group
        of channels) and, in the upper half, those of the next group.
    """
    bits = layer.sign_bits.transpose(0, 2, 3, 1)
    if first:
        return _codes(bits, _IMAGE_GROUP).reshape(len(bits), -1)
    nibbles = _codes(np.pad(bits, [(0, 0)] * 3 + [(0, -bits.shape[3] % 4)]), _group(layer))
    rows = nibbles.reshape(len(bits), layer.convolution.size, -1)
    padded = np.pad(rows, [(0, -len(bits) % _BLOCK), (0, 0), (0, rows.shape[2] % 2)])
    pairs = padded[:, :, ::2] | padded[:, :, 1::2] << 4
    return np.ascontiguousarray(pairs.reshape(-1, _BLOCK, pairs.shape[1] * pairs.shape[2]).transpose(0, 2, 1))


def tables(bits: int) -> Bytes:
    """For each byte of a map of levels of so many bits what it gives to D, by four bits of weights: uint8 (256, 16)."""
    group, width = (2, 4) if bits > 2 else (4, 2)
    top, index, code = (1 << bits) - 1, np.arange(256)[:, None], np.arange(16)[None]
    levels = [index >> width * channel & top for channel in range(group)]
    given = [np.where(code >> channel & 1, top - level, level) for channel, level in enumerate(levels)]
    return np.asarray(sum(given), np.uint8)


def chunk(layer: AnyLayer) -> int:
    """Pairs of groups whose sums stay in a byte."""
    return 255 // (2 * _group(layer) * ((1 << layer.input_bits) - 1)) if layer.input_bits <= 4 else 0


def _group(layer: BinaryConvolution) -> int:
    return 2 if layer.input_bits > 2 else 4


def _lines(layer: BinaryConvolution) -> int:
    return -(-layer.convolution.input.channels // 4) * (4 // _group(layer))


def _codes(bits: NDArray[np.bool_], group: int) -> Bytes:
    padded = np.pad(bits, [(0, 0)] * 3 + [(0, -bits.shape[3] % group)])
    groups = padded.reshape(*padded.shape[:3], -1, group)
    return np.asarray((groups * (1 << np.arange(group))).sum(axis=-1), np.uint8)

"""Vectors for the kernel with pixels in the lanes: "cells" are 64 bytes, "bytes" 32, "shorts" 16 int16."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from tinier_yolo.runtime.kernels.vectors import (
    BYTE,
    INT8X32,
    INT8X64,
    INT16X16,
    INT16X32,
    LANE,
    address_of,
    constant,
    even_of_pairs,
    intrinsic,
    lanes,
    lesser,
    lesser_unsigned,
    pairs_and_odd,
    splat_value,
)


@intrinsic
def load_even_cells(_context: Any, base: Any, _index: Any) -> Any:
    """Every second of the 128 bytes from base[index] on, at any address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        middle = builder.add(values[1], ir.Constant(values[1].type, 64))
        halves = [
            builder.load(address_of(context, builder, signature.args[0], values[0], index, INT8X64.llvm), align=1)
            for index in (values[1], middle)
        ]
        return builder.shuffle_vector(*halves, lanes(range(0, 128, 2)))

    return INT8X64(base, types.intp), generate


@intrinsic
def load_separate_cells(_context: Any, base: Any, _index: Any, _step: Any) -> Any:
    """The 64 bytes base[index], base[index + step], ..."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        start, index, step = values
        vector = ir.Constant(INT8X64.llvm, ir.Undefined)
        for lane in range(64):
            byte = builder.load(address_of(context, builder, signature.args[0], start, index, BYTE), align=1)
            vector = builder.insert_element(vector, byte, ir.Constant(LANE, lane))
            index = builder.add(index, step)
        return vector

    return INT8X64(base, types.intp, types.intp), generate


@intrinsic
def append_bits(_context: Any, _levels: Any, _bits: Any, _number: Any) -> Any:
    """Of both halves of each byte: 2 * half + bit ``number`` of that half of ``bits``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        levels, bits, number = values
        # No machine shifts bytes. What comes from a byte's neighbour is masked out.
        count = splat_value(builder, number, INT16X32)
        shifted = builder.bitcast(builder.lshr(builder.bitcast(bits, INT16X32.llvm), count), INT8X64.llvm)
        return builder.add(builder.add(levels, levels), builder.and_(shifted, constant(INT8X64, 0x11)))

    return INT8X64(INT8X64, INT8X64, types.intp), generate


@intrinsic
def low_levels(_context: Any, _levels: Any) -> Any:
    """The lower half of each byte."""
    return INT8X64(INT8X64), lambda _c, builder, _s, values: builder.and_(values[0], constant(INT8X64, 15))


@intrinsic
def high_levels(_context: Any, _levels: Any) -> Any:
    """The upper half of each byte."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        shifted = builder.lshr(builder.bitcast(values[0], INT16X32.llvm), constant(INT16X32, 4))
        return builder.and_(builder.bitcast(shifted, INT8X64.llvm), constant(INT8X64, 15))

    return INT8X64(INT8X64), generate


@intrinsic
def least_bytes(_context: Any, _a: Any, _b: Any) -> Any:
    """For each short the least of its two bytes in a and its two in b, unsigned."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs, odd = pairs_and_odd(builder, lesser_unsigned(builder, *values), INT16X16)
        return lesser(builder, builder.and_(pairs, constant(INT16X16, 255)), odd)

    return INT16X16(INT8X32, INT8X32), generate


@intrinsic
def add_pairs(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + even + 256 * odd bytes; it wraps around."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(values[0], pairs_and_odd(builder, values[1], INT16X16)[0])

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def add_odd(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + odd bytes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(values[0], pairs_and_odd(builder, values[1], INT16X16)[1])

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def least_of_pairs(_context: Any, _pairs: Any, _odd: Any) -> Any:
    """The lesser of the even and the odd total, from those of ``add_pairs`` and ``add_odd``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs, odd = values
        return lesser(builder, even_of_pairs(builder, pairs, odd, INT16X16), odd)

    return INT16X16(INT16X16, INT16X16), generate


@intrinsic
def marked_below(_context: Any, _vector: Any, _bound: Any, _mark: Any) -> Any:
    """``mark`` in each lane that is below ``bound``, 0 in the others."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bound, mark = (splat_value(builder, value, INT16X16) for value in values[1:])
        less = builder.icmp_signed("<", values[0], bound)
        return builder.select(less, mark, constant(INT16X16, 0))

    return INT16X16(INT16X16, types.intp, types.intp), generate

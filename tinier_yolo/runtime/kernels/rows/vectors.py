"""Explicit vectors for ``kernels_rows``: bytes and int16 of pixels, at addresses.

``kernels_vectors`` says why there are such functions, and how they are made. "Cells" are vectors of 64 bytes, "bytes"
of 32, "shorts" of 16 int16.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from tinier_yolo.runtime.kernels.vectors import VectorType, intrinsic, splat

INT8X64 = VectorType(8, 64)
INT8X32 = VectorType(8, 32)
INT16X16 = VectorType(16, 16)
_INT16X32 = VectorType(16, 32)
_BYTE = ir.IntType(8)
_SHORT = ir.IntType(16)
_INDEX = ir.IntType(32)


def _constant(kind: VectorType, value: int) -> Any:
    return ir.Constant(kind.llvm, [value] * kind.count)


def _load(builder: Any, address_: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.inttoptr(address_, kind.as_pointer()), align=align)


def _store(context: Any, builder: Any, address_: Any, value: Any, align: int) -> Any:
    builder.store(value, builder.inttoptr(address_, value.type.as_pointer()), align=align)
    return context.get_dummy_value()


def _lesser(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@intrinsic
def address(_context: Any, array: Any) -> Any:
    """Where the first element of an array is."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.intp(array), generate


@intrinsic
def word_at(_context: Any, _address: Any) -> Any:
    """The int64 at an address that is a multiple of 8."""
    return types.intp(types.intp), lambda _c, builder, _s, values: _load(builder, values[0], ir.IntType(64), 8)


@intrinsic
def short_at(_context: Any, _address: Any) -> Any:
    """The int16 at an address that is a multiple of 2."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.sext(_load(builder, values[0], _SHORT, 2), ir.IntType(64))

    return types.intp(types.intp), generate


@intrinsic
def store_byte(_context: Any, _address: Any, _value: Any) -> Any:
    """The low 8 bits of a value to an address."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _store(context, builder, values[0], builder.trunc(values[1], _BYTE), 1)

    return types.void(types.intp, types.intp), generate


@intrinsic
def store_short(_context: Any, _address: Any, _value: Any) -> Any:
    """The low 16 bits of a value to any address."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _store(context, builder, values[0], builder.trunc(values[1], _SHORT), 1)

    return types.void(types.intp, types.intp), generate


@intrinsic
def no_cells(_context: Any) -> Any:
    """Zeros."""
    return INT8X64(), lambda _c, _b, _s, _v: ir.Constant(INT8X64.llvm, None)


@intrinsic
def load_cells(_context: Any, _address: Any) -> Any:
    """The 64 bytes from any address on."""
    return INT8X64(types.intp), lambda _c, builder, _s, values: _load(builder, values[0], INT8X64.llvm, 1)


@intrinsic
def load_even_cells(_context: Any, _address: Any) -> Any:
    """Every second of the 128 bytes from any address on."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        middle = builder.add(values[0], ir.Constant(values[0].type, 64))
        halves = [_load(builder, half, INT8X64.llvm, 1) for half in (values[0], middle)]
        lanes = ir.Constant(ir.VectorType(_INDEX, 64), list(range(0, 128, 2)))
        return builder.shuffle_vector(*halves, lanes)

    return INT8X64(types.intp), generate


@intrinsic
def load_separate_cells(_context: Any, _address: Any, _step: Any) -> Any:
    """64 bytes that lie ``step`` apart."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, step = values
        vector = ir.Constant(INT8X64.llvm, ir.Undefined)
        for lane in range(64):
            vector = builder.insert_element(vector, _load(builder, at, _BYTE, 1), ir.Constant(_INDEX, lane))
            at = builder.add(at, step)
        return vector

    return INT8X64(types.intp, types.intp), generate


@intrinsic
def store_cells(_context: Any, _address: Any, _vector: Any) -> Any:
    """64 bytes to an address that is a multiple of 64."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _store(context, builder, values[0], values[1], 64)

    return types.void(types.intp, INT8X64), generate


@intrinsic
def append_bits(_context: Any, _levels: Any, _bits: Any, _number: Any) -> Any:
    """Of both halves of each byte: 2 * half + bit ``number`` of that half of ``bits``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        levels, bits, number = values
        # No machine shifts bytes. What comes from a byte's neighbour is masked out.
        count = splat(builder, builder.trunc(number, _SHORT), _INT16X32)
        shifted = builder.bitcast(builder.lshr(builder.bitcast(bits, _INT16X32.llvm), count), INT8X64.llvm)
        return builder.add(builder.add(levels, levels), builder.and_(shifted, _constant(INT8X64, 0x11)))

    return INT8X64(INT8X64, INT8X64, types.intp), generate


@intrinsic
def low_levels(_context: Any, _levels: Any) -> Any:
    """The lower half of each byte."""
    return INT8X64(INT8X64), lambda _c, builder, _s, values: builder.and_(values[0], _constant(INT8X64, 15))


@intrinsic
def high_levels(_context: Any, _levels: Any) -> Any:
    """The upper half of each byte."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        shifted = builder.lshr(builder.bitcast(values[0], _INT16X32.llvm), _constant(_INT16X32, 4))
        return builder.and_(builder.bitcast(shifted, INT8X64.llvm), _constant(INT8X64, 15))

    return INT8X64(INT8X64), generate


@intrinsic
def add_cells(_context: Any, _a: Any, _b: Any) -> Any:
    """A + b."""
    return INT8X64(INT8X64, INT8X64), lambda _c, builder, _s, values: builder.add(*values)


@intrinsic
def complement_cells(_context: Any, _vector: Any, _most: Any) -> Any:
    """Most - vector."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.sub(splat(builder, builder.trunc(values[1], _BYTE), INT8X64), values[0])

    return INT8X64(INT8X64, types.intp), generate


@intrinsic
def no_bytes(_context: Any) -> Any:
    """Zeros."""
    return INT8X32(), lambda _c, _b, _s, _v: ir.Constant(INT8X32.llvm, None)


@intrinsic
def add_bytes(_context: Any, _total: Any, _address: Any) -> Any:
    """Total + the 32 bytes from any address on."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(values[0], _load(builder, values[1], INT8X32.llvm, 1))

    return INT8X32(INT8X32, types.intp), generate


@intrinsic
def least_bytes(_context: Any, _a: Any, _b: Any) -> Any:
    """For each short the least of its two bytes in a and its two in b, unsigned."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        least = builder.select(builder.icmp_unsigned("<", *values), *values)
        pairs = builder.bitcast(least, INT16X16.llvm)
        even, odd = builder.and_(pairs, _constant(INT16X16, 255)), builder.lshr(pairs, _constant(INT16X16, 8))
        return _lesser(builder, even, odd)

    return INT16X16(INT8X32, INT8X32), generate


@intrinsic
def no_shorts(_context: Any) -> Any:
    """Zeros."""
    return INT16X16(), lambda _c, _b, _s, _v: ir.Constant(INT16X16.llvm, None)


@intrinsic
def add_pairs(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + even + 256 * odd bytes; it wraps around."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(values[0], builder.bitcast(values[1], INT16X16.llvm))

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def add_odd(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + odd bytes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs = builder.bitcast(values[1], INT16X16.llvm)
        return builder.add(values[0], builder.lshr(pairs, _constant(INT16X16, 8)))

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def least_of_pairs(_context: Any, _pairs: Any, _odd: Any) -> Any:
    """The lesser of the even and the odd total, from those of ``add_pairs`` and ``add_odd``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs, odd = values
        return _lesser(builder, builder.sub(pairs, builder.shl(odd, _constant(INT16X16, 8))), odd)

    return INT16X16(INT16X16, INT16X16), generate


@intrinsic
def least_shorts(_context: Any, _a: Any, _b: Any) -> Any:
    """The lesser of each pair."""
    return INT16X16(INT16X16, INT16X16), lambda _c, builder, _s, values: _lesser(builder, *values)


@intrinsic
def marked_below(_context: Any, _vector: Any, _bound: Any, _mark: Any) -> Any:
    """``mark`` in each lane that is below ``bound``, 0 in the others."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bound, mark = (splat(builder, builder.trunc(value, _SHORT), INT16X16) for value in values[1:])
        less = builder.icmp_signed("<", values[0], bound)
        return builder.select(less, mark, ir.Constant(INT16X16.llvm, None))

    return INT16X16(INT16X16, types.intp, types.intp), generate


@intrinsic
def toggle(_context: Any, _a: Any, _b: Any) -> Any:
    """A ^ b."""
    return INT16X16(INT16X16, INT16X16), lambda _c, builder, _s, values: builder.xor(*values)


@intrinsic
def splat_short(_context: Any, _value: Any) -> Any:
    """The low 16 bits of a value in every lane."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return splat(builder, builder.trunc(values[0], _SHORT), INT16X16)

    return INT16X16(types.intp), generate


@intrinsic
def load_shorts(_context: Any, _address: Any) -> Any:
    """Sixteen shorts from any address."""
    return INT16X16(types.intp), lambda _c, builder, _s, values: _load(builder, values[0], INT16X16.llvm, 1)


@intrinsic
def store_shorts(_context: Any, _address: Any, _vector: Any) -> Any:
    """Sixteen shorts to any address."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _store(context, builder, values[0], values[1], 1)

    return types.void(types.intp, INT16X16), generate

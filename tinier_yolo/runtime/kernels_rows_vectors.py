"""Explicit vectors for ``kernels_rows``: bytes and shorts of pixels. See ``kernels_vectors`` for why and how."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from tinier_yolo.runtime.kernels_vectors import VectorType, _splat, intrinsic

INT8X64 = VectorType(8, 64)
INT8X32 = VectorType(8, 32)
INT16X16 = VectorType(16, 16)
_INT16X32 = VectorType(16, 32)
_SHORT = ir.IntType(16)


def _constant(kind: VectorType, value: int) -> Any:
    return ir.Constant(kind.llvm, [value] * kind.count)


@intrinsic
def load_cells(_context: Any, _address: Any) -> Any:
    """Sixty-four bytes from any address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], INT8X64.llvm.as_pointer()), align=1)

    return INT8X64(types.intp), generate


@intrinsic
def even_cells(_context: Any, _address: Any) -> Any:
    """Every second of 128 bytes from any address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        further = builder.add(values[0], ir.Constant(values[0].type, 64))
        low, high = (
            builder.load(builder.inttoptr(at, INT8X64.llvm.as_pointer()), align=1) for at in (values[0], further)
        )
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), list(range(0, 128, 2)))
        return builder.shuffle_vector(low, high, lanes)

    return INT8X64(types.intp), generate


@intrinsic
def separate_cells(_context: Any, _address: Any, _step: Any) -> Any:
    """Sixty-four bytes, ``step`` apart."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, step = values
        vector = ir.Constant(INT8X64.llvm, ir.Undefined)
        for lane in range(64):
            byte = builder.load(builder.inttoptr(at, ir.IntType(8).as_pointer()))
            vector = builder.insert_element(vector, byte, ir.Constant(ir.IntType(32), lane))
            at = builder.add(at, step)
        return vector

    return INT8X64(types.intp, types.intp), generate


@intrinsic
def address(_context: Any, array: Any) -> Any:
    """Where an array's first element is."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.intp(array), generate


@intrinsic
def word_at(_context: Any, _address: Any) -> Any:
    """The int64 at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], ir.IntType(64).as_pointer()))

    return types.intp(types.intp), generate


@intrinsic
def short_at(_context: Any, _address: Any) -> Any:
    """The int16 at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        value = builder.load(builder.inttoptr(values[0], _SHORT.as_pointer()))
        return builder.sext(value, ir.IntType(64))

    return types.intp(types.intp), generate


@intrinsic
def store_byte(_context: Any, _address: Any, _value: Any) -> Any:
    """Store a byte."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp, types.uint8), generate


@intrinsic
def store_cells(_context: Any, _address: Any, _vector: Any) -> Any:
    """Sixty-four bytes to an address that is a multiple of 64."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[0], INT8X64.llvm.as_pointer())
        builder.store(values[1], pointer, align=64)
        return context.get_dummy_value()

    return types.void(types.intp, INT8X64), generate


@intrinsic
def byte_at(_context: Any, _address: Any) -> Any:
    """The byte at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], ir.IntType(8).as_pointer()))

    return types.uint8(types.intp), generate


@intrinsic
def store_shorts_at(_context: Any, _address: Any, _vector: Any) -> Any:
    """Sixteen int16 to an address."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], INT16X16.llvm.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.intp, INT16X16), generate


@intrinsic
def no_cells(_context: Any) -> Any:
    """Sixty-four zeros."""
    return INT8X64(), lambda _c, _b, _s, _v: ir.Constant(INT8X64.llvm, None)


@intrinsic
def append_bit(_context: Any, _level: Any, _bits: Any, _number: Any) -> Any:
    """2 * level + bit ``number`` of each byte of ``bits``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        level, bits, number = values
        count = _splat(builder, builder.trunc(number, _SHORT), _INT16X32)
        shifted = builder.bitcast(builder.lshr(builder.bitcast(bits, _INT16X32.llvm), count), INT8X64.llvm)
        return builder.add(builder.add(level, level), builder.and_(shifted, _constant(INT8X64, 1)))

    return INT8X64(INT8X64, INT8X64, types.intp), generate


@intrinsic
def add_cells(_context: Any, _a: Any, _b: Any) -> Any:
    """A + b, sixty-four bytes."""
    return INT8X64(INT8X64, INT8X64), lambda _c, builder, _s, values: builder.add(*values)


@intrinsic
def complement_cells(_context: Any, _vector: Any, _most: Any) -> Any:
    """Most - vector, sixty-four bytes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        most = builder.trunc(values[1], ir.IntType(8))
        return builder.sub(_splat(builder, most, INT8X64), values[0])

    return INT8X64(INT8X64, types.intp), generate


@intrinsic
def no_bytes(_context: Any) -> Any:
    """Thirty-two zeros, bytes."""
    return INT8X32(), lambda _c, _b, _s, _v: ir.Constant(INT8X32.llvm, None)


@intrinsic
def add_bytes(_context: Any, _total: Any, _address: Any) -> Any:
    """Total + the thirty-two bytes at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = builder.inttoptr(values[1], INT8X32.llvm.as_pointer())
        return builder.add(values[0], builder.load(pointer, align=1))

    return INT8X32(INT8X32, types.intp), generate


@intrinsic
def least_bytes(_context: Any, _a: Any, _b: Any) -> Any:
    """The least of each lane's two bytes in a and two in b, unsigned, as int16."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        least = builder.select(builder.icmp_unsigned("<", *values), *values)
        pairs = builder.bitcast(least, INT16X16.llvm)
        even, odd = builder.and_(pairs, _constant(INT16X16, 255)), builder.lshr(pairs, _constant(INT16X16, 8))
        return builder.select(builder.icmp_signed("<", even, odd), even, odd)

    return INT16X16(INT8X32, INT8X32), generate


@intrinsic
def no_shorts(_context: Any) -> Any:
    """Sixteen zeros, int16."""
    return INT16X16(), lambda _c, _b, _s, _v: ir.Constant(INT16X16.llvm, None)


@intrinsic
def add_pairs(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + even + 256 * odd bytes, int16 that wrap around."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(values[0], builder.bitcast(values[1], INT16X16.llvm))

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def add_odd(_context: Any, _total: Any, _bytes: Any) -> Any:
    """Total + odd bytes, int16."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs = builder.bitcast(values[1], INT16X16.llvm)
        return builder.add(values[0], builder.lshr(pairs, _constant(INT16X16, 8)))

    return INT16X16(INT16X16, INT8X32), generate


@intrinsic
def least_of_pairs(_context: Any, _pairs: Any, _odd: Any) -> Any:
    """min(even, odd) of totals of ``add_pairs`` and ``add_odd``."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pairs, odd = values
        even = builder.sub(pairs, builder.shl(odd, _constant(INT16X16, 8)))
        return builder.select(builder.icmp_signed("<", even, odd), even, odd)

    return INT16X16(INT16X16, INT16X16), generate


@intrinsic
def short_minimum(_context: Any, _a: Any, _b: Any) -> Any:
    """The lesser of each pair, sixteen int16."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *values), *values)

    return INT16X16(INT16X16, INT16X16), generate


@intrinsic
def marked_below(_context: Any, _vector: Any, _bound: Any, _mark: Any) -> Any:
    """``mark`` in each lane that is below ``bound``, 0 in the others."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        vector, bound, mark = values
        less = builder.icmp_signed("<", vector, _splat(builder, builder.trunc(bound, _SHORT), INT16X16))
        marks = _splat(builder, builder.trunc(mark, _SHORT), INT16X16)
        return builder.select(less, marks, ir.Constant(INT16X16.llvm, None))

    return INT16X16(INT16X16, types.intp, types.intp), generate


@intrinsic
def toggled(_context: Any, _a: Any, _b: Any) -> Any:
    """A ^ b, sixteen int16."""
    return INT16X16(INT16X16, INT16X16), lambda _c, builder, _s, values: builder.xor(*values)


@intrinsic
def splat_short(_context: Any, _value: Any) -> Any:
    """Sixteen times the low 16 bits of a value."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _splat(builder, builder.trunc(values[0], _SHORT), INT16X16)

    return INT16X16(types.intp), generate



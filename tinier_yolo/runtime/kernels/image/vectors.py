"""Vectors of thirty-two int16 for the first layer's kernel: bytes of an image taken apart, levels put into planes."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinier_yolo.runtime.kernels.vectors import (
    BYTE,
    INT8X32,
    INT8X64,
    INT16X32,
    INT32X16,
    LANE,
    address_of,
    constant,
    intrinsic,
    lanes,
    splat_value,
)

#: The same vector as pairs of lanes.
_PAIRS = INT32X16.llvm
_ONE_LANE = constant(INT32X16, 16)


@intrinsic
def widen(_context: Any, _bytes: Any) -> Any:
    """Thirty-two bytes as int16, none of them negative."""
    return INT16X32(INT8X32), lambda _c, builder, _s, values: builder.zext(values[0], INT16X32.llvm)


@intrinsic
def neighbour_maximum(_context: Any, _a: Any, _b: Any) -> Any:
    """The greater of lanes 2i and 2i + 1, of a in lane 2i and of b in lane 2i + 1."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        # Shifts by a lane: shuffles of int16 cost loads of their indices, or many instructions where there are none.
        a, b = values
        down = builder.bitcast(builder.lshr(builder.bitcast(a, _PAIRS), _ONE_LANE), INT16X32.llvm)
        up = builder.bitcast(builder.shl(builder.bitcast(b, _PAIRS), _ONE_LANE), INT16X32.llvm)
        even = ir.Constant(ir.VectorType(ir.IntType(1), 32), [1, 0] * 16)
        first, second = builder.select(even, a, up), builder.select(even, down, b)
        return builder.select(builder.icmp_signed(">", first, second), first, second)

    return INT16X32(INT16X32, INT16X32), generate


@intrinsic
def count_above(_context: Any, _counts: Any, _vector: Any, _threshold: Any, _unit: Any) -> Any:
    """Counts + unit in each lane where vector > threshold."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        counts, vector, *scalars = values
        threshold, unit = (splat_value(builder, scalar, INT16X32) for scalar in scalars)
        above = builder.icmp_signed(">", vector, threshold)
        return builder.add(counts, builder.select(above, unit, constant(INT16X32, 0)))

    return INT16X32(INT16X32, INT16X32, types.intp, types.intp), generate


@intrinsic
def plane_bytes(_context: Any, _low: Any, _high: Any, _plane: Any) -> Any:
    """Bit ``plane`` of the four nibbles of ``low``, then of ``high``: a byte in each lane."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        shift = splat_value(builder, values[2], INT16X32)
        halves = []
        for nibbles in values[:2]:
            ones = builder.and_(builder.lshr(nibbles, shift), constant(INT16X32, 0x1111))
            # Bits 0, 4, 8 and 12 times 2^12, 2^9, 2^6 and 2^3 meet in bits 12 to 15; no two products meet below.
            halves.append(builder.lshr(builder.mul(ones, constant(INT16X32, 0x1248)), constant(INT16X32, 12)))
        return builder.or_(halves[0], builder.shl(halves[1], constant(INT16X32, 4)))

    return INT16X32(INT16X32, INT16X32, types.intp), generate


@intrinsic
def store_bytes(_context: Any, target: Any, _index: Any, _step: Any, _vector: Any) -> Any:
    """The low bytes of the even lanes to target[index : index + 16], those of the odd ones ``step`` bytes after."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        for place, cells in _rows(builder, values[:3], values[3]):
            _store_cells(builder, place, cells, 8)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, INT16X32), generate


@intrinsic
def store_pairs(_context: Any, target: Any, _index: Any, _step: Any, _first: Any, _second: Any) -> Any:
    """The same for the bytes of two vectors in turn: 32 bytes from index on, and 32 ``step`` bytes after."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        both = builder.or_(values[3], builder.shl(values[4], constant(INT16X32, 8)))
        for place, cells in _rows(builder, values[:3], both):
            _store_cells(builder, place, cells, 16)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, INT16X32, INT16X32), generate


@intrinsic
def store_apart(_context: Any, target: Any, _index: Any, _step: Any, _stride: Any, _vector: Any) -> Any:
    """``store_bytes`` with ``stride`` bytes from byte to byte."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        *start, stride, vector = values
        for place, cells in _rows(builder, start, vector):
            for lane in range(16):
                cell = builder.extract_element(cells, ir.Constant(LANE, lane))
                builder.store(builder.trunc(cell, BYTE), place)
                place = builder.gep(place, [stride])
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, types.intp, INT16X32), generate


def _rows(builder: Any, start: Any, vector: Any) -> Any:
    # Two rows of cells and where they go: the even lanes and, `step` bytes after, the odd ones, sixteen int32.
    target, index, step = start
    cells = builder.bitcast(vector, _PAIRS)
    place = builder.gep(target, [index])
    yield place, cells
    yield builder.gep(place, [step]), builder.lshr(cells, _ONE_LANE)


def _store_cells(builder: Any, place: Any, cells: Any, bits: int) -> None:
    kind = ir.VectorType(ir.IntType(bits), 16)
    builder.store(builder.trunc(cells, kind), builder.bitcast(place, kind.as_pointer()), align=1)


@intrinsic
def split_three(_context: Any, source: Any, _offset: Any, target: Any, _index: Any, _step: Any) -> Any:
    """Thirty-two pixels of three bytes from source[offset] on -> target[index], [index + step], [index + 2 step] on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        read, offset, written, index, step = values
        rest = builder.add(offset, ir.Constant(offset.type, 64))
        low = builder.load(address_of(context, builder, signature.args[0], read, offset, INT8X64.llvm), align=1)
        high = builder.load(address_of(context, builder, signature.args[0], read, rest, INT8X32.llvm), align=1)
        high = builder.shuffle_vector(high, high, lanes([*range(32)] * 2))
        for channel in range(3):
            pixels = builder.shuffle_vector(low, high, lanes(range(channel, 96, 3)))
            builder.store(
                pixels, address_of(context, builder, signature.args[2], written, index, INT8X32.llvm), align=1
            )
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), generate


@intrinsic
def fill_zeros(_context: Any, base: Any, _index: Any, _size: Any) -> Any:
    """``size`` bytes from base[index] on = 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        memset: Any = cgutils.memset
        memset(builder, address_of(context, builder, signature.args[0], values[0], values[1], BYTE), values[2], 0)
        return context.get_dummy_value()

    return types.void(base, types.intp, types.intp), generate

"""Vectors of thirty-two int16 for the first layer's kernel; as in ``kernels_vectors``, a few lines of LLVM IR each.

They take pointers instead of arrays: where a compiled function hands an array to another one, Numba may count the
reference, with an atomic instruction, and between short vector loops that took a sixth of the kernel's time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinier_yolo.runtime.kernels.vectors import INT16X32, intrinsic, splat

#: The address of an array's element: it exists only inside compiled code, and does not keep the array alive.
Pointer = Any


_pointer_type: Any = types.CPointer
_INT64 = ir.IntType(64)
_BYTES = ir.VectorType(ir.IntType(8), 32)
#: The same vector as pairs of lanes.
_PAIRS = ir.VectorType(ir.IntType(32), 16)
_ONE_LANE = ir.Constant(_PAIRS, [16] * 16)


def _all(value: int) -> ir.Constant:
    return ir.Constant(INT16X32.llvm, [value] * INT16X32.count)


def _place(builder: Any, pointer: Any, index: Any, element: ir.Type) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), element.as_pointer())


@intrinsic
def address(_context: Any, array: Any) -> Any:
    """A pointer to the first element of a C array, for the functions below."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return _pointer_type(array.dtype)(array), generate


@intrinsic
def aligned_address(_context: Any, array: Any) -> Any:
    """The same for the first element at a multiple of 64 bytes: at most 63 bytes further on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        number = builder.add(builder.ptrtoint(data, _INT64), ir.Constant(_INT64, 63))
        return builder.inttoptr(builder.and_(number, ir.Constant(_INT64, -64)), data.type)

    return _pointer_type(array.dtype)(array), generate


@intrinsic
def item(_context: Any, source: Any, _index: Any) -> Any:
    """source[index], an integer."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        extend = builder.sext if source.dtype.signed else builder.zext
        return extend(builder.load(builder.gep(values[0], [values[1]])), _INT64)

    return types.intp(source, types.intp), generate


@intrinsic
def zeros(_context: Any) -> Any:
    """Thirty-two zeros."""
    return INT16X32(), lambda _c, _b, _s, _v: ir.Constant(INT16X32.llvm, None)


@intrinsic
def load(_context: Any, source: Any, _index: Any) -> Any:
    """source[index : index + 32], int16, at an address that is a multiple of 64 bytes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(_place(builder, values[0], values[1], INT16X32.llvm), align=64)

    return INT16X32(source, types.intp), generate


@intrinsic
def load_bytes(_context: Any, source: Any, _index: Any) -> Any:
    """source[index : index + 32], bytes, any alignment."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = _place(builder, values[0], values[1], _BYTES)
        return builder.zext(builder.load(pointer, align=1), INT16X32.llvm)

    return INT16X32(source, types.intp), generate


@intrinsic
def store(_context: Any, target: Any, _index: Any, _vector: Any) -> Any:
    """target[index : index + 32] = vector, int16, at an address that is a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = _place(builder, values[0], values[1], INT16X32.llvm)
        builder.store(values[2], pointer, align=64)
        return context.get_dummy_value()

    return types.void(target, types.intp, INT16X32), generate


@intrinsic
def add(_context: Any, _a: Any, _b: Any) -> Any:
    """A + b."""
    return INT16X32(INT16X32, INT16X32), lambda _c, builder, _s, values: builder.add(*values)


@intrinsic
def subtract(_context: Any, _a: Any, _b: Any) -> Any:
    """A - b."""
    return INT16X32(INT16X32, INT16X32), lambda _c, builder, _s, values: builder.sub(*values)


@intrinsic
def maximum(_context: Any, _a: Any, _b: Any) -> Any:
    """The greater of each pair."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(builder.icmp_signed(">", *values), *values)

    return INT16X32(INT16X32, INT16X32), generate


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
        threshold, unit = (splat(builder, builder.trunc(s, INT16X32.element), INT16X32) for s in scalars)
        above = builder.icmp_signed(">", vector, threshold)
        return builder.add(counts, builder.select(above, unit, ir.Constant(INT16X32.llvm, None)))

    return INT16X32(INT16X32, INT16X32, types.intp, types.intp), generate


@intrinsic
def plane_bytes(_context: Any, _low: Any, _high: Any, _plane: Any) -> Any:
    """Bit ``plane`` of the four nibbles of ``low``, then of ``high``: a byte in each lane."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        shift = splat(builder, builder.trunc(values[2], INT16X32.element), INT16X32)
        halves = []
        for nibbles in values[:2]:
            ones = builder.and_(builder.lshr(nibbles, shift), _all(0x1111))
            # Bits 0, 4, 8 and 12 times 2^12, 2^9, 2^6 and 2^3 meet in bits 12 to 15; no two products meet below.
            halves.append(builder.lshr(builder.mul(ones, _all(0x1248)), _all(12)))
        return builder.or_(halves[0], builder.shl(halves[1], _all(4)))

    return INT16X32(INT16X32, INT16X32, types.intp), generate


@intrinsic
def toggle(_context: Any, _vector: Any, _pattern: Any) -> Any:
    """Vector ^ pattern, a byte, in each lane."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.xor(values[0], splat(builder, builder.trunc(values[1], INT16X32.element), INT16X32))

    return INT16X32(INT16X32, types.intp), generate


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
        both = builder.or_(values[3], builder.shl(values[4], _all(8)))
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
                cell = builder.extract_element(cells, ir.Constant(ir.IntType(32), lane))
                builder.store(builder.trunc(cell, ir.IntType(8)), place)
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

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        array, offset, out, index, step = values
        most, lanes = ir.VectorType(ir.IntType(8), 64), ir.IntType(32)
        rest = builder.add(offset, ir.Constant(offset.type, 64))
        low = builder.load(_place(builder, array, offset, most), align=1)
        high = builder.load(_place(builder, array, rest, _BYTES), align=1)
        high = builder.shuffle_vector(high, high, ir.Constant(ir.VectorType(lanes, 64), [*range(32)] * 2))
        for channel in range(3):
            picked = ir.Constant(ir.VectorType(lanes, 32), [*range(channel, 96, 3)])
            pixels = builder.shuffle_vector(low, high, picked)
            builder.store(pixels, _place(builder, out, index, _BYTES), align=1)
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), generate


@intrinsic
def clear(_context: Any, target: Any, _index: Any, _size: Any) -> Any:
    """target[index : index + size] = 0, bytes."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        place = _place(builder, values[0], values[1], ir.IntType(8))
        memset: Any = cgutils.memset
        memset(builder, place, values[2], 0)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp), generate

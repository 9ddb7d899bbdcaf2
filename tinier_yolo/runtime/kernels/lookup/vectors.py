"""Explicit vectors for the lookup kernels: 64 bytes, tables of sums, and the instruction that looks up a byte a lane.

LLVM's portable IR has no shuffle by lanes that are known only at run time, so this module names the instruction of
each kind of machine. Where there is none, ``BITS`` is 0 and the lookup kernels are not used.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinier_yolo.runtime.kernels.vectors import (
    BYTE,
    INT8X64,
    INT16X32,
    LANE,
    VectorType,
    address_of,
    constant,
    even_of_pairs,
    intrinsic,
    lanes,
    lesser_unsigned,
    pairs_and_odd,
    target,
)


class _Shuffle(NamedTuple):
    feature: str  # Of the CPU.
    bits: int  # Of an index.
    name: str  # LLVM's, of the function from a table and indices to the bytes that these find.
    bytes: int  # How many indices it takes.


_SHUFFLES = (
    _Shuffle("+avx512vbmi", 6, "llvm.x86.avx512.permvar.qi.512", 64),
    _Shuffle("+avx512bw", 4, "llvm.x86.avx512.pshuf.b.512", 64),
    _Shuffle("+avx2", 4, "llvm.x86.avx2.pshuf.b", 32),
    _Shuffle("+ssse3", 4, "llvm.x86.ssse3.pshuf.b.128", 16),
    _Shuffle("+neon", 4, "llvm.aarch64.neon.tbl1.v16i8", 16),
)
_FEATURES = target()[1].split(",")
_NONE = _Shuffle("", 0, "", 64)
_SHUFFLE = next((shuffle for shuffle in _SHUFFLES if shuffle.feature in _FEATURES), _NONE)

#: Input channels that one lookup sums.
BITS = _SHUFFLE.bits
#: Bytes of a table: one for each value of an index.
ENTRIES = 1 << BITS
#: Groups of 64 filters that share the loads of tables: four windows' sums and totals of two fill 32 long registers.
GROUPS = 2 if _SHUFFLE.bytes == 64 else 1
#: Windows that share the loads of indices.
WINDOWS = 4
#: uint16 in the totals of four windows for 64 filters.
TOTALS = 64 * WINDOWS

TABLE = VectorType(8, ENTRIES)
_tuple_of: Any = types.UniTuple
_SUMS = _tuple_of(INT8X64, WINDOWS)
_TOTALS = _tuple_of(INT16X32, 2 * WINDOWS)
_PAIR = _tuple_of(INT16X32, 2)
_PLACES = _tuple_of(types.intp, WINDOWS)


def _items(builder: Any, values: Any, count: int) -> list[Any]:
    return [builder.extract_value(values, i) for i in range(count)]


@intrinsic
def no_sums(_context: Any) -> Any:
    """The sums of four windows for 64 filters, bytes: zeros."""

    def generate(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        return context.make_tuple(builder, _SUMS, [constant(INT8X64, 0)] * WINDOWS)

    return _SUMS(), generate


@intrinsic
def add_looked_up(_context: Any, _sums: Any, _indices: Any, tables: Any, _places: Any, _offset: Any) -> Any:
    """To each window's sums what the indices find in its table: the one at tables[place + offset]."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        sums, indices, array, places, offset = values
        added = []
        for given, start in zip(_items(builder, sums, WINDOWS), _items(builder, places, WINDOWS), strict=True):
            index = builder.add(start, offset)
            where = address_of(context, builder, signature.args[2], array, index, TABLE.llvm)
            table = builder.load(where, align=ENTRIES)
            added.append(builder.add(given, _look_up(builder, table, indices)))
        return context.make_tuple(builder, _SUMS, added)

    return _SUMS(_SUMS, INT8X64, tables, _PLACES, types.intp), generate


def _look_up(builder: Any, table: Any, indices: Any) -> Any:
    # The instruction takes so many indices, and the table as often as it fits into that.
    width = _SHUFFLE.bytes
    kind = ir.VectorType(BYTE, width)
    # llvmlite's declare_intrinsic knows no vector types.
    declare: Any = cgutils.get_or_insert_function
    shuffle = declare(builder.module, ir.FunctionType(kind, [kind, kind]), _SHUFFLE.name)
    table = builder.shuffle_vector(table, table, lanes(i % ENTRIES for i in range(width)))
    parts = []
    for first in range(0, 64, width):
        chosen = lanes(range(first, first + width))
        parts.append(builder.call(shuffle, [table, builder.shuffle_vector(indices, indices, chosen)]))
    while len(parts) > 1:
        joined = lanes(range(2 * parts[0].type.count))
        parts = [builder.shuffle_vector(*pair, joined) for pair in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


@intrinsic
def no_totals(_context: Any) -> Any:
    """The totals of four windows for 64 filters, uint16: zeros. They are two vectors a window; see ``add_burst``."""

    def generate(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        return context.make_tuple(builder, _TOTALS, [constant(INT16X32, 0)] * (2 * WINDOWS))

    return _TOTALS(), generate


@intrinsic
def add_burst(_context: Any, _totals: Any, _sums: Any) -> Any:
    """Totals + sums: in a window's first vector two bytes as one uint16, in its second one the odd bytes alone."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        totals, added = _items(builder, values[0], 2 * WINDOWS), []
        for window, sums in enumerate(_items(builder, values[1], WINDOWS)):
            pairs, odd = pairs_and_odd(builder, sums, INT16X32)
            added += [builder.add(totals[2 * window], pairs), builder.add(totals[2 * window + 1], odd)]
        return context.make_tuple(builder, _TOTALS, added)

    return _TOTALS(_TOTALS, _SUMS), generate


@intrinsic
def load_totals(_context: Any, array: Any, _index: Any) -> Any:
    """The totals in array[index : index + TOTALS], at an address that is a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], INT16X32.llvm)
        return context.make_tuple(builder, _TOTALS, [_load(builder, where, i) for i in range(2 * WINDOWS)])

    return _TOTALS(array, types.intp), generate


@intrinsic
def store_totals(_context: Any, array: Any, _index: Any, _totals: Any) -> Any:
    """array[index : index + TOTALS] = totals, at an address that is a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], INT16X32.llvm)
        for i, total in enumerate(_items(builder, values[2], 2 * WINDOWS)):
            builder.store(total, builder.gep(where, [ir.Constant(LANE, i)]), align=64)
        return context.get_dummy_value()

    return types.void(array, types.intp, _TOTALS), generate


def _load(builder: Any, where: Any, number: int) -> Any:
    # One of the vectors that stand there.
    return builder.load(builder.gep(where, [ir.Constant(LANE, number)]), align=64)


def _least(windows: int) -> Any:
    # What the next two functions do.
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], INT16X32.llvm)
        even, odd = [], []
        for i in range(windows):
            pairs = _load(builder, where, 2 * i)
            odd.append(_load(builder, where, 2 * i + 1))
            even.append(even_of_pairs(builder, pairs, odd[-1], INT16X32))
        least = [reduce(lambda a, b: lesser_unsigned(builder, a, b), totals) for totals in (even, odd)]
        return context.make_tuple(builder, _PAIR, least)

    return generate


@intrinsic
def totals_of_one(_context: Any, array: Any, _index: Any) -> Any:
    """One window's totals for 64 filters, those of the even lanes and of the odd ones, from where they were stored."""
    return _PAIR(array, types.intp), _least(1)


@intrinsic
def least_of_four(_context: Any, array: Any, _index: Any) -> Any:
    """The same for the least totals of four windows."""
    return _PAIR(array, types.intp), _least(WINDOWS)


@intrinsic
def below(_context: Any, _totals: Any, bounds: Any, _index: Any) -> Any:
    """Bit i of the uint64 says whether the i-th total, even lanes first, is below bounds[index + i], uint16."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[1], values[1], values[2], INT16X32.llvm)
        compared = []
        for half, totals in enumerate(_items(builder, values[0], 2)):
            compared.append(builder.icmp_unsigned("<", totals, _load(builder, where, half)))
        return builder.bitcast(builder.shuffle_vector(*compared, lanes(range(64))), ir.IntType(64))

    return types.uint64(_PAIR, bounds, types.intp), generate

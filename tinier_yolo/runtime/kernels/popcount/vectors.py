"""Vectors of sixteen int32 for the popcount kernels: differing bits counted, and the comparison that packs 16 bits."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinier_yolo.runtime.kernels.vectors import (
    INDEX,
    INT8X64,
    INT32X16,
    address_of,
    constant,
    intrinsic,
    splat_value,
    target,
)

#: Whether the machine counts the bits of 32-bit words. The others count bytes (AVX2 and NEON by table or by ``cnt``),
#: and adding up bytes as long as they hold the sums is quicker for them than making words each time.
COUNTS_WORDS = "+avx512vpopcntdq" in target()[1]
#: How many words a counter can take: a byte holds 31 times 8.
BURST = 1 << 30 if COUNTS_WORDS else 31


@intrinsic
def multiply_add(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """A * b + c."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(builder.mul(values[0], values[1]), values[2])

    return INT32X16(INT32X16, INT32X16, INT32X16), generate


@intrinsic
def below(_context: Any, _a: Any, _b: Any) -> Any:
    """Bit i of the uint64 says whether a[i] < b[i]."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.bitcast(builder.icmp_signed("<", *values), ir.IntType(16))
        return builder.zext(bits, INDEX)

    return types.uint64(INT32X16, INT32X16), generate


@intrinsic
def begin_burst(_context: Any, _total: Any) -> Any:
    """A counter for at most BURST calls of ``add_mismatches``, on top of ``total``."""

    def generate(_context: Any, _builder: Any, _signature: Any, values: Any) -> Any:
        return values[0] if COUNTS_WORDS else constant(INT32X16, 0)

    return INT32X16(INT32X16), generate


@intrinsic
def end_burst(_context: Any, _total: Any, _counter: Any) -> Any:
    """``total`` and what the counter that began with it has counted."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        total, counter = values
        if COUNTS_WORDS:
            return counter
        # Four bytes to a lane: add neighbours, then neighbours of those.
        for bits, mask in ((8, 0x00FF00FF), (16, 0x0000FFFF)):
            shift, kept = constant(INT32X16, bits), constant(INT32X16, mask)
            counter = builder.add(builder.and_(counter, kept), builder.and_(builder.lshr(counter, shift), kept))
        return builder.add(total, counter)

    return INT32X16(INT32X16, INT32X16), generate


@intrinsic
def add_mismatches(_context: Any, _counter: Any, _weights: Any, source: Any, _offset: Any, _mask: Any) -> Any:
    """Counter + how many bits of each weight word differ from the 32 bits at source[offset], of those in ``mask``.

    The offset may have any alignment; the mask is a uint32, and one of all ones costs nothing.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        counter, weights, array, offset, mask = values
        where = address_of(context, builder, signature.args[2], array, offset, ir.IntType(32))
        word = splat_value(builder, builder.load(where, align=1), INT32X16)
        differing = builder.and_(builder.xor(weights, word), splat_value(builder, mask, INT32X16))
        counts = INT32X16 if COUNTS_WORDS else INT8X64
        kind = counts.llvm
        # llvmlite's declare_intrinsic knows no vector types.
        declare: Any = cgutils.get_or_insert_function
        name = f"llvm.ctpop.v{counts.count}i{counts.bits}"
        popcount = declare(builder.module, ir.FunctionType(kind, [kind]), name)
        counted = builder.call(popcount, [builder.bitcast(differing, kind)])
        return builder.bitcast(builder.add(builder.bitcast(counter, kind), counted), INT32X16.llvm)

    return INT32X16(INT32X16, INT32X16, source, types.intp, types.uint32), generate

"""Vectors for the kernel with filters in the lanes of int32."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from tinier_yolo.runtime.kernels.vectors import (
    LANE,
    VectorType,
    address_of,
    constant,
    intrinsic,
    lanes,
    splat_value,
    target,
)

#: Whether there are the 32 registers of AVX-512.
WIDE = "+avx512bw" in target()[1].split(",")

INT32X8 = VectorType(32, 8)
INT32X32 = VectorType(32, 32)
INT16X64 = VectorType(16, 64)


@intrinsic
def add_products(_context: Any, sums: Any, weights: Any, base: Any, _index: Any) -> Any:
    """sums[f] + weights[2 f] * base[index] + weights[2 f + 1] * base[index + 1], for filters f in int32 lanes.

    x86 has one instruction for the products and their sum (vpmaddwd), and with VNNI one for all of it: LLVM's back end
    knows these shuffles of a widened product.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        total, pairs, start, index = values
        both = builder.load(address_of(context, builder, signature.args[2], start, index, LANE), align=2)
        spread = builder.bitcast(splat_value(builder, both, sums), weights.llvm)
        wide = ir.VectorType(LANE, weights.count)
        product = builder.mul(builder.sext(pairs, wide), builder.sext(spread, wide))
        even, odd = (builder.shuffle_vector(product, product, lanes(range(part, weights.count, 2))) for part in (0, 1))
        return builder.add(total, builder.add(even, odd))

    return sums(sums, weights, base, types.intp), generate


@intrinsic
def requantize(
    _context: Any, sums: Any, _factor: Any, _shift: Any, _lowest: Any, _highest: Any, _base: Any, _index: Any
) -> Any:
    """base[index ...] = activated, shifted and saturated sums as int16: ``ifq.fixed_point.layer`` in vectors.

    ``factor`` / 2^15 multiplies negative sums: 0 is ReLU, 2^15 changes nothing.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        total, *scalars, start, index = values
        factor, shift, lowest, highest = (splat_value(builder, scalar, sums) for scalar in scalars)
        zero, one, bits, mask = (constant(sums, value) for value in (0, 1, 15, (1 << 15) - 1))
        high, low = builder.ashr(total, bits), builder.and_(total, mask)
        low = builder.ashr(builder.add(builder.mul(low, factor), constant(sums, (1 << 14) - 1)), bits)
        scaled = builder.add(builder.mul(high, factor), low)
        total = builder.select(builder.icmp_signed("<", total, zero), scaled, total)
        # Ties away from zero: a negative sum gets one less than a half, but nothing where there is no shift.
        half = builder.lshr(builder.shl(one, shift), one)
        lesser = builder.and_(builder.icmp_signed("<", total, zero), builder.icmp_signed("!=", half, zero))
        total = builder.sub(builder.add(total, half), builder.zext(lesser, sums.llvm))
        total = builder.ashr(total, shift)
        total = builder.select(builder.icmp_signed("<", total, lowest), lowest, total)
        total = builder.select(builder.icmp_signed(">", total, highest), highest, total)
        short = builder.trunc(total, ir.VectorType(ir.IntType(16), sums.count))
        where = address_of(context, builder, signature.args[5], start, index, short.type)
        builder.store(short, where, align=2)
        return context.get_dummy_value()

    numbers = (types.intp,) * 4
    return types.void(sums, *numbers, _base, types.intp), generate

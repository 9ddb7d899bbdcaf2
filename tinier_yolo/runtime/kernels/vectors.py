"""Explicit vectors for the kernels: a vector type and the few operations that the kernels need.

Numba has no vector types, and LLVM does not find these loops by itself. Each function here emits a line or two of
portable LLVM IR; LLVM's back end turns it into what the machine has (AVX-512 ``vpopcntd`` and mask registers, AVX2,
NEON). No intrinsic of one target is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model

#: A value of a vector type: it exists only inside compiled code.
Vector = Any

_INT64 = ir.IntType(64)


class VectorType(types.Type):  # type: ignore[misc,unused-ignore]
    """``count`` integers of ``bits`` bits in one register (or as many as the machine needs)."""

    def __init__(self, bits: int, count: int) -> None:
        self.count = count
        self.element = ir.IntType(bits)
        self.llvm = ir.VectorType(self.element, count)
        super().__init__(name=f"int{bits}x{count}")  # type: ignore[no-untyped-call,unused-ignore]


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc,unused-ignore]
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, kind.llvm)  # type: ignore[no-untyped-call,unused-ignore]


INT32X16 = VectorType(32, 16)
INT16X32 = VectorType(16, 32)
_INT8X64 = VectorType(8, 64)


def target() -> tuple[str, str]:
    """The CPU that Numba compiles for and its features, as LLVM names them."""
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return cpu, features


#: Whether the machine counts the bits of 32-bit words. The others count bytes (AVX2 and NEON by table or by ``cnt``),
#: and adding up bytes as long as they hold the sums is quicker for them than making words each time.
COUNTS_WORDS = "+avx512vpopcntdq" in target()[1]
#: How many words a counter can take: a byte holds 31 times 8.
BURST = 1 << 30 if COUNTS_WORDS else 31


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register ``function(context, *types) -> (signature, code generator)`` with Numba."""
    registered: Callable[..., Any] = numba_intrinsic(function)
    return registered


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: ir.Type) -> Any:
    """The address of array[index], of a 1-D C array, as a pointer to ``element``."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


def splat(builder: Any, scalar: Any, kind: VectorType) -> Any:
    """The same scalar in every lane."""
    undefined = ir.Constant(kind.llvm, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, lanes)


@intrinsic
def keep(_context: Any, array: Any) -> Any:
    """Keep an array until here: Numba would free it after its last use, and does not know of its address."""
    return types.void(array), lambda context, _b, _s, _v: context.get_dummy_value()


@intrinsic
def item(_context: Any, array: Any, _index: Any) -> Any:
    """array[index] of int32 or uint64, for an index that is not negative: Numba's own code tests that every time."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        value = builder.load(builder.gep(data, [values[1]]))
        return value if value.type == _INT64 else builder.sext(value, _INT64)

    return (types.uint64 if array.dtype == types.uint64 else types.intp)(array, types.intp), generate


@intrinsic
def zeros(_context: Any) -> Any:
    """Sixteen int32 zeros."""
    return INT32X16(), lambda _c, _b, _s, _v: ir.Constant(INT32X16.llvm, None)


@intrinsic
def load(_context: Any, array: Any, _index: Any) -> Any:
    """Sixteen int32: array[index : index + 16], at an address that is a multiple of 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = pointer_to(context, builder, signature.args[0], values[0], values[1], INT32X16.llvm)
        return builder.load(pointer, align=64)

    return INT32X16(array, types.intp), generate


@intrinsic
def store(_context: Any, array: Any, _index: Any, _vector: Any) -> Any:
    """array[index : index + 16] = vector, sixteen int32."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = pointer_to(context, builder, signature.args[0], values[0], values[1], INT32X16.llvm)
        builder.store(values[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, INT32X16), generate


@intrinsic
def add(_context: Any, _a: Any, _b: Any) -> Any:
    """A + b, sixteen int32."""
    return INT32X16(INT32X16, INT32X16), lambda _c, builder, _s, values: builder.add(*values)


@intrinsic
def multiply_add(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """A * b + c, sixteen int32."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.add(builder.mul(values[0], values[1]), values[2])

    return INT32X16(INT32X16, INT32X16, INT32X16), generate


@intrinsic
def minimum(_context: Any, _a: Any, _b: Any) -> Any:
    """The lesser of each pair, sixteen int32."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *values), *values)

    return INT32X16(INT32X16, INT32X16), generate


@intrinsic
def below(_context: Any, _a: Any, _b: Any) -> Any:
    """Bit i of the uint64 says whether a[i] < b[i]."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.bitcast(builder.icmp_signed("<", *values), ir.IntType(16))
        return builder.zext(bits, _INT64)

    return types.uint64(INT32X16, INT32X16), generate


@intrinsic
def begin_burst(_context: Any, _total: Any) -> Any:
    """A counter for at most BURST calls of ``add_mismatches``, on top of ``total``."""

    def generate(_context: Any, _builder: Any, _signature: Any, values: Any) -> Any:
        return values[0] if COUNTS_WORDS else ir.Constant(INT32X16.llvm, None)

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
            shift, kept = (ir.Constant(INT32X16.llvm, [value] * 16) for value in (bits, mask))
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
        pointer = pointer_to(context, builder, signature.args[2], array, offset, ir.IntType(32))
        word = splat(builder, builder.load(pointer, align=1), INT32X16)
        differing = builder.and_(builder.xor(weights, word), splat(builder, mask, INT32X16))
        counts = INT32X16 if COUNTS_WORDS else _INT8X64
        kind = counts.llvm
        # llvmlite's declare_intrinsic knows no vector types.
        declare: Any = cgutils.get_or_insert_function
        name = f"llvm.ctpop.v{counts.count}i{counts.element.width}"
        popcount = declare(builder.module, ir.FunctionType(kind, [kind]), name)
        counted = builder.call(popcount, [builder.bitcast(differing, kind)])
        return builder.bitcast(builder.add(builder.bitcast(counter, kind), counted), INT32X16.llvm)

    return INT32X16(INT32X16, INT32X16, source, types.intp, types.uint32), generate


@intrinsic
def store_bits(_context: Any, target: Any, _offset: Any, _bits: Any) -> Any:
    """target[offset : offset + 2] = the low 16 bits of a uint64, lowest first."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = pointer_to(context, builder, signature.args[0], values[0], values[1], ir.IntType(16))
        builder.store(builder.trunc(values[2], ir.IntType(16)), pointer, align=1)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.uint64), generate


@intrinsic
def load_word(_context: Any, source: Any, _offset: Any) -> Any:
    """The uint64 in source[offset : offset + 8], any alignment."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = pointer_to(context, builder, signature.args[0], values[0], values[1], _INT64)
        return builder.load(pointer, align=1)

    return types.uint64(source, types.intp), generate


@intrinsic
def store_word(_context: Any, target: Any, _offset: Any, _word: Any) -> Any:
    """target[offset : offset + 8] = a uint64."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = pointer_to(context, builder, signature.args[0], values[0], values[1], _INT64)
        builder.store(values[2], pointer, align=1)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.uint64), generate

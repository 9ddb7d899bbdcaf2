"""Explicit vectors: their types and the operations that every family of kernels needs.

Numba has no vector types, and LLVM does not find these loops by itself. Each function here emits a line or two of
portable LLVM IR; LLVM's back end turns it into what the machine has (AVX-512, AVX2, NEON). No instruction of one
machine is named. What one family alone needs stands in its own ``vectors`` module.

An operation takes its type from its operands. Where there are none yet, the type is the first argument: ``zeros`` of
INT32X16, a ``load_unaligned`` of np.uint64.

``base`` is a C array or a pointer to an element of one, and an index counts elements of that type, whatever is loaded
from there. Kernels turn arrays into pointers where functions with branches are inlined: Numba counts the references to
arrays that it hands over, with atomic instructions, and between short loops these took a sixth of a kernel's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model
from numpy.typing import NDArray

from tinier_yolo.runtime.kernels.compile import inlined

#: A value of a vector type: it exists only inside compiled code.
Vector = Any
#: The address of an array's element: it exists only inside compiled code, and does not keep the array alive.
Pointer = Any

#: LLVM's types of an index, a byte, and the number of a lane.
INDEX, BYTE, LANE = ir.IntType(64), ir.IntType(8), ir.IntType(32)
_pointer_to: Any = types.CPointer
#: What Numba makes of ``np.uint64`` and the like as arguments.
_ScalarKind: Any = types.NumberClass


class VectorType(types.Type):  # type: ignore[misc,unused-ignore]
    """``count`` integers of ``bits`` bits in one register (or as many as the machine needs)."""

    def __init__(self, bits: int, count: int) -> None:
        self.bits = bits
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
INT16X16 = VectorType(16, 16)
INT8X64 = VectorType(8, 64)
INT8X32 = VectorType(8, 32)


def target() -> tuple[str, str]:
    """The CPU that Numba compiles for and its features, as LLVM names them."""
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return cpu, features


# What the definitions of operations are made with, here and in the families' modules.


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register ``function(context, *types) -> (signature, code generator)`` with Numba."""
    registered: Callable[..., Any] = numba_intrinsic(function)
    return registered


def constant(kind: VectorType, value: int) -> Any:
    """The same number in every lane."""
    return ir.Constant(kind.llvm, [value] * kind.count)


def lanes(numbers: Any) -> Any:
    """Numbers of lanes, for a shuffle."""
    numbers = list(numbers)
    return ir.Constant(ir.VectorType(LANE, len(numbers)), numbers)


def splat_value(builder: Any, scalar: Any, kind: VectorType) -> Any:
    """A scalar, cut off to an element's bits, in every lane."""
    if scalar.type.width > kind.bits:
        scalar = builder.trunc(scalar, kind.element)
    undefined = ir.Constant(kind.llvm, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(LANE, 0))
    return builder.shuffle_vector(first, undefined, lanes([0] * kind.count))


def lesser(builder: Any, a: Any, b: Any) -> Any:
    """The lesser of each pair, signed."""
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def lesser_unsigned(builder: Any, a: Any, b: Any) -> Any:
    """The lesser of each pair, unsigned."""
    return builder.select(builder.icmp_unsigned("<", a, b), a, b)


def pairs_and_odd(builder: Any, sums: Any, kind: VectorType) -> tuple[Any, Any]:
    """Bytes as two vectors of 16 bits, of type ``kind``: even + 256 * odd of each two bytes, and odd alone.

    The first costs nothing, as it is the same bits. Adding up these two and taking ``even_of_pairs`` at the end is an
    instruction less, each time, than taking the even bytes apart too.
    """
    pairs = builder.bitcast(sums, kind.llvm)
    return pairs, builder.lshr(pairs, constant(kind, 8))


def even_of_pairs(builder: Any, pairs: Any, odd: Any, kind: VectorType) -> Any:
    """The sum of the even bytes, from the sums of both parts of ``pairs_and_odd``.

    Let E and O be the sums of the even and of the odd bytes, both less than 2^16. Arithmetic of 16 bits is exact modulo
    2^16: the sum of pairs is E + 256 * O modulo 2^16, though it may have wrapped around many times, and 256 * O here is
    right modulo 2^16, though it may wrap around as well. So is their difference, which is E; and there is only one
    number from 0 to 2^16 - 1 that equals E modulo 2^16, which is E.
    """
    return builder.sub(pairs, builder.shl(odd, constant(kind, 8)))


def address_of(context: Any, builder: Any, kind: Any, base: Any, index: Any, element: ir.Type) -> Any:
    """The address of base[index], where base is of Numba's type ``kind``, as a pointer to ``element``."""
    data = base if isinstance(kind, _pointer_to) else context.make_array(kind)(context, builder, base).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


def _value_type(kind: Any) -> tuple[Any, ir.Type, int]:
    # Of the type that an operation got as an argument: Numba's type of a value, LLVM's, its bytes.
    if isinstance(kind, _ScalarKind):
        scalar: Any = kind.dtype
        return scalar, ir.IntType(scalar.bitwidth), scalar.bitwidth // 8
    vector: VectorType = kind.instance_type
    return vector, vector.llvm, vector.bits * vector.count // 8


def _same(a: Any, b: Any) -> Any:
    if not isinstance(a, VectorType) or a != b:
        raise TypingError(f"not two vectors of one type: {a}, {b}")  # type: ignore[no-untyped-call,unused-ignore]
    return a


# Memory.


@intrinsic
def keep(_context: Any, array: Any) -> Any:
    """Keep an array until here: Numba would free it after its last use, and does not know of pointers to it."""
    return types.void(array), lambda context, _b, _s, _v: context.get_dummy_value()


@intrinsic
def pointer(_context: Any, array: Any) -> Any:
    """A pointer to the first element of a C array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return _pointer_to(array.dtype)(array), generate


@intrinsic
def aligned_pointer(_context: Any, array: Any) -> Any:
    """The same for the first element at a multiple of 64 bytes: at most 63 bytes further on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        number = builder.add(builder.ptrtoint(data, INDEX), ir.Constant(INDEX, 63))
        return builder.inttoptr(builder.and_(number, ir.Constant(INDEX, -64)), data.type)

    return _pointer_to(array.dtype)(array), generate


@intrinsic
def advance(_context: Any, start: Any, _count: Any) -> Any:
    """The pointer to the element that is ``count`` elements further on.

    Where a base and an index both change in a loop, the sum of both is better made into a pointer outside of it.
    """
    return start(start, types.intp), lambda _c, builder, _s, values: builder.gep(values[0], [values[1]])


@intrinsic
def item(_context: Any, base: Any, _index: Any) -> Any:
    """base[index], as int64 (or uint64), for an index that is not negative: Numba's own code tests that every time."""
    number = base.dtype
    result = types.uint64 if number == types.uint64 else types.intp

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], ir.IntType(number.bitwidth))
        value = builder.load(where)
        if value.type == INDEX:
            return value
        return (builder.sext if number.signed else builder.zext)(value, INDEX)

    return result(base, types.intp), generate


@intrinsic
def load(_context: Any, kind: Any, base: Any, _index: Any) -> Any:
    """The vector of type ``kind`` at base[index], whose address is a multiple of the vector's size."""
    value, llvm, size = _value_type(kind)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(address_of(context, builder, signature.args[1], values[1], values[2], llvm), align=size)

    return value(kind, base, types.intp), generate


@intrinsic
def load_unaligned(_context: Any, kind: Any, base: Any, _index: Any) -> Any:
    """The vector or number of type ``kind`` at base[index], at any address."""
    value, llvm, _ = _value_type(kind)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(address_of(context, builder, signature.args[1], values[1], values[2], llvm), align=1)

    return value(kind, base, types.intp), generate


@intrinsic
def store(_context: Any, base: Any, _index: Any, vector: Any) -> Any:
    """base[index ...] = vector, at an address that is a multiple of the vector's size."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], values[2].type)
        builder.store(values[2], where, align=vector.bits * vector.count // 8)
        return context.get_dummy_value()

    return types.void(base, types.intp, vector), generate


@intrinsic
def store_unaligned(_context: Any, base: Any, _index: Any, value: Any) -> Any:
    """base[index ...] = a vector or number, at any address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        where = address_of(context, builder, signature.args[0], values[0], values[1], values[2].type)
        builder.store(values[2], where, align=1)
        return context.get_dummy_value()

    return types.void(base, types.intp, value), generate


@inlined
def store_part(base: NDArray[np.uint8], index: int, word: np.uint64, size: int) -> None:
    """base[index : index + size] = the low bytes of a word."""
    if size == 8:
        store_unaligned(base, index, word)
    else:
        for byte in range(size):
            base[index + byte] = word >> np.uint64(8 * byte) & np.uint64(255)


# Arithmetic. It wraps around.


@intrinsic
def zeros(_context: Any, kind: Any) -> Any:
    """A vector of zeros, of type ``kind``."""
    value, llvm, _ = _value_type(kind)
    return value(kind), lambda _c, _b, _s, _v: ir.Constant(llvm, None)


@intrinsic
def splat(_context: Any, kind: Any, _value: Any) -> Any:
    """A number's low bits in every lane of a vector of type ``kind``."""
    vector, _, _ = _value_type(kind)

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return splat_value(builder, values[1], vector)

    return vector(kind, types.intp), generate


@intrinsic
def add(_context: Any, a: Any, b: Any) -> Any:
    """A + b."""
    return _same(a, b)(a, b), lambda _c, builder, _s, values: builder.add(*values)


@intrinsic
def subtract(_context: Any, a: Any, b: Any) -> Any:
    """A - b."""
    return _same(a, b)(a, b), lambda _c, builder, _s, values: builder.sub(*values)


@intrinsic
def exclusive_or(_context: Any, a: Any, b: Any) -> Any:
    """A ^ b."""
    return _same(a, b)(a, b), lambda _c, builder, _s, values: builder.xor(*values)


@intrinsic
def minimum(_context: Any, a: Any, b: Any) -> Any:
    """The lesser of each pair, signed."""
    return _same(a, b)(a, b), lambda _c, builder, _s, values: lesser(builder, *values)


@intrinsic
def maximum(_context: Any, a: Any, b: Any) -> Any:
    """The greater of each pair, signed."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.select(builder.icmp_signed(">", *values), *values)

    return _same(a, b)(a, b), generate

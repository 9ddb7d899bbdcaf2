"""Eight float32 at a time for the kernels of training: loads, stores and the few operations that they need.

Maps come as float32, or as bfloat16 in arrays of uint16: a bfloat16 is the upper half of a float32, so reading one is a
shift, and writing one rounds to the nearest, ties to even. Everything between is float32. As in
:mod:`tinier_yolo.runtime.kernels.vectors` each function emits portable LLVM IR, no intrinsic of one target.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from tinier_yolo.runtime.kernels.vectors import intrinsic

LANES = 8
#: A value of a vector type: it exists only inside compiled code.
Vector = Any

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_HALVES = ir.VectorType(ir.IntType(16), LANES)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
#: A product and a sum may become one instruction.
_CONTRACT = ("contract",)


class _VectorType(types.Type):  # type: ignore[misc,unused-ignore]
    def __init__(self, name: str, llvm: ir.Type) -> None:
        self.llvm = llvm
        super().__init__(name=name)  # type: ignore[no-untyped-call,unused-ignore]


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc,unused-ignore]
    def __init__(self, manager: Any, kind: _VectorType) -> None:
        super().__init__(manager, kind, kind.llvm)  # type: ignore[no-untyped-call,unused-ignore]


FLOATS = _VectorType("float32x8", _FLOATS)
WORDS = _VectorType("int32x8", _WORDS)
BITS = _VectorType("boolx8", _BITS)


def _constant(kind: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(kind, [ir.Constant(kind.element, value)] * LANES)


def _splat(builder: Any, scalar: Any, kind: ir.Type) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_WORDS, [0] * LANES))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: ir.Type) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


@intrinsic
def load(_context: Any, array: Any, _index: Any) -> Any:
    """array[index : index + 8] of float32, or of bfloat16 as uint16, as float32."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if signature.args[0].dtype == types.float32:
            return builder.load(_address(context, builder, signature.args[0], values[0], values[1], _FLOATS), align=4)
        halves = builder.load(_address(context, builder, signature.args[0], values[0], values[1], _HALVES), align=2)
        return builder.bitcast(builder.shl(builder.zext(halves, _WORDS), _constant(_WORDS, 16)), _FLOATS)

    return FLOATS(array, types.intp), generate


@intrinsic
def store(_context: Any, array: Any, _index: Any, _vector: Any) -> Any:
    """array[index : index + 8] = vector, for the same two kinds of array."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, vector = values
        if signature.args[0].dtype == types.float32:
            pointer = _address(context, builder, signature.args[0], array, index, _FLOATS)
            builder.store(vector, pointer, align=4)
        else:
            pointer = _address(context, builder, signature.args[0], array, index, _HALVES)
            builder.store(_rounded(builder, vector), pointer, align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, FLOATS), generate


def _rounded(builder: Any, vector: Any) -> Any:
    """The upper halves, rounded. A NaN must not be rounded to infinity: it becomes the quiet one."""
    words = builder.bitcast(vector, _WORDS)
    odd = builder.and_(builder.lshr(words, _constant(_WORDS, 16)), _constant(_WORDS, 1))
    words = builder.add(builder.add(words, _constant(_WORDS, 0x7FFF)), odd)
    words = builder.select(builder.fcmp_unordered("uno", vector, vector), _constant(_WORDS, 0x7FC00000), words)
    return builder.trunc(builder.lshr(words, _constant(_WORDS, 16)), _HALVES)


@intrinsic
def splat(_context: Any, _value: Any) -> Any:
    """The same float32 in every lane."""
    return FLOATS(types.float32), lambda _c, builder, _s, values: _splat(builder, values[0], _FLOATS)


@intrinsic
def add(_context: Any, _a: Any, _b: Any) -> Any:
    """A + b."""
    return FLOATS(FLOATS, FLOATS), lambda _c, builder, _s, values: builder.fadd(*values)


@intrinsic
def subtract(_context: Any, _a: Any, _b: Any) -> Any:
    """A - b."""
    return FLOATS(FLOATS, FLOATS), lambda _c, builder, _s, values: builder.fsub(*values)


@intrinsic
def multiply(_context: Any, _a: Any, _b: Any) -> Any:
    """A * b."""
    return FLOATS(FLOATS, FLOATS), lambda _c, builder, _s, values: builder.fmul(*values)


@intrinsic
def multiply_add(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """A * b + c, in one instruction where the machine has it."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.fadd(builder.fmul(values[0], values[1], _CONTRACT), values[2], _CONTRACT)

    return FLOATS(FLOATS, FLOATS, FLOATS), generate


@intrinsic
def exceeds(_context: Any, _a: Any, _b: Any) -> Any:
    """Where a > b, or a is no number."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b = values
        return builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a))

    return BITS(FLOATS, FLOATS), generate


@intrinsic
def above(_context: Any, _a: Any, _b: Any) -> Any:
    """Where a > b."""
    return BITS(FLOATS, FLOATS), lambda _c, builder, _s, values: builder.fcmp_ordered(">", *values)


@intrinsic
def within(_context: Any, _value: Any, _low: Any, _high: Any) -> Any:
    """Where low <= value <= high."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        value, low, high = values
        return builder.and_(builder.fcmp_ordered(">=", value, low), builder.fcmp_ordered("<=", value, high))

    return BITS(FLOATS, FLOATS, FLOATS), generate


@intrinsic
def choose(_context: Any, _mask: Any, _a: Any, _b: Any) -> Any:
    """A where the mask is set, else b."""
    return FLOATS(BITS, FLOATS, FLOATS), lambda _c, builder, _s, values: builder.select(*values)


@intrinsic
def mark(_context: Any, _words: Any, _mask: Any, _value: Any) -> Any:
    """``value``, the same in every lane, where the mask is set, else the words as they were."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        words, mask, value = values
        return builder.select(mask, _splat(builder, builder.trunc(value, ir.IntType(32)), _WORDS), words)

    return WORDS(WORDS, BITS, types.intp), generate


@intrinsic
def set_bits(_context: Any, _words: Any, _mask: Any, _value: Any) -> Any:
    """Words | value where the mask is set."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        words, mask, value = values
        more = _splat(builder, builder.trunc(value, ir.IntType(32)), _WORDS)
        return builder.or_(words, builder.select(mask, more, _constant(_WORDS, 0)))

    return WORDS(WORDS, BITS, types.intp), generate


@intrinsic
def no_words(_context: Any) -> Any:
    """Zeros."""
    return WORDS(), lambda _c, _b, _s, _v: _constant(_WORDS, 0)


@intrinsic
def load_bytes(_context: Any, array: Any, _index: Any) -> Any:
    """array[index : index + 8] of uint8."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = _address(context, builder, signature.args[0], values[0], values[1], _BYTES)
        return builder.zext(builder.load(pointer, align=1), _WORDS)

    return WORDS(array, types.intp), generate


@intrinsic
def store_bytes(_context: Any, array: Any, _index: Any, _words: Any) -> Any:
    """array[index : index + 8] = the words' lowest bytes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, index, words = values
        pointer = _address(context, builder, signature.args[0], array, index, _BYTES)
        builder.store(builder.trunc(words, _BYTES), pointer, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, WORDS), generate


@intrinsic
def equal_under(_context: Any, _words: Any, _mask: Any, _value: Any) -> Any:
    """Where words & mask == value."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        words, mask, value = values
        mask, value = (_splat(builder, builder.trunc(item, ir.IntType(32)), _WORDS) for item in (mask, value))
        return builder.icmp_signed("==", builder.and_(words, mask), value)

    return BITS(WORDS, types.intp, types.intp), generate

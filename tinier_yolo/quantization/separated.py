"""Separated conversion: real numbers become fixed-point ones, each for itself. Source: IFQ-Net, section 2.2, Eq. 5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import ConversionError
from tinier_yolo.quantization.fixed_point import FixedPoint
from tinier_yolo.quantization.float64 import Float64, RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer


def separated(real: RealSubstructure, m: int) -> RealSubstructure:
    """The numbers of a substructure by Eq. 5, Q = 2^m divided back: floor(x Q) / Q, floor(b Q^2) / Q^2 for b.

    The paper's batch norm has a mean and a deviation; Darknet's scale and shift are treated as they are.
    """
    return replace(
        real,
        alpha=floored(real.alpha, m),
        step=float(floored(np.asarray(real.step), m)),
        bias=floored(real.bias, 2 * m),
        mean=floored(real.mean, m),
        deviation=floored(real.deviation, m),
        scale=floored(real.scale, m),
        shift=floored(real.shift, m),
    )


def separated_quantizer(quantizer: Quantizer, m: int) -> Quantizer:
    """The quantiser with the thresholds floor(thr Q) / Q, Q = 2^m. Its step is the next substructure's beta."""
    return replace(quantizer, thresholds=tuple(floored(np.asarray(quantizer.thresholds), m).tolist()))


def floored(values: Float64, m: int) -> Float64:
    """floor(x Q) / Q, Q = 2^m, of each number."""
    # Powers of two only move the exponent: floor is the one rounding.
    return np.asarray(np.ldexp(np.floor(np.ldexp(values, m)), -m))


def fixed_point_output(
    layer: int, real: RealSubstructure, fraction_bits: int, limit: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Multipliers and biases of a last convolution: output = multiplier * accumulator + bias, in units of 2^-m.

    Args:
        layer: the convolution's index, for errors.
        real: its numbers; y = c * a + e, with c = alpha * beta and e = b where there is no batch norm.
        fraction_bits: m.
        limit: the greatest absolute value of an accumulator.

    Returns:
        floor(c * 2^m) and floor(e * 2^m), int32 (filters,).

    Raises:
        ConversionError: an output could leave int32.
    """
    numbers = FixedPoint(fraction_bits)
    fits = numbers.fits(real.slope) & numbers.fits(real.offset)
    multipliers, biases = numbers.encode(real.slope), numbers.encode(real.offset)
    # Saturated encodings are below 2^31 and the limit is too, so int64 holds the extremes.
    extremes = np.abs(multipliers) * limit + np.abs(biases)
    wrong = np.flatnonzero(~fits | (extremes > numbers.highest))
    if len(wrong):
        raise ConversionError(
            f"the output does not fit int32 with {fraction_bits} fraction bits",
            place=f"layer {layer}, channel {wrong[0]}",
            expected=f"at most {numbers.highest}",
            found=f"up to {extremes[wrong[0]]}",
        )
    return multipliers.astype(np.int32), biases.astype(np.int32)

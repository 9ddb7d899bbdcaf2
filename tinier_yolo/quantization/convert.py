"""Conversion: a trained network with quantised maps -> an integer program. Source: IFQ-Net, section 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinier_yolo.darknet.layers import Activation
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.defaults import FRACTION_BITS
from tinier_yolo.errors import ConversionError
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer
from tinier_yolo.ifq.substructures import Substructure, integer_chain, refusal
from tinier_yolo.ifq.tensors import IMAGE_BITS, accumulator_limit, pack_bits
from tinier_yolo.quantization.float64 import IMAGE_STEP, RealSubstructure
from tinier_yolo.quantization.hwgq import Quantizer, quantizer_for
from tinier_yolo.quantization.integrated import integer_thresholds
from tinier_yolo.quantization.proof import LayerProof, Proof, prove
from tinier_yolo.quantization.separated import fixed_point_output, separated, separated_quantizer


@dataclass(frozen=True)
class Conversion:
    """A converted network: the program, and the proof that its levels are those of the float network."""

    program: Program
    proof: Proof


@dataclass(frozen=True, eq=False)
class ConvertedLayer:
    """A quantised substructure in integers, and what it was made of.

    Attributes:
        layer: the integers.
        proof: that they make the levels of the real numbers.
        real: the real numbers.
        quantizer: of its output map.
    """

    layer: QuantizedLayer
    proof: LayerProof
    real: RealSubstructure
    quantizer: Quantizer


def convert(
    network: Network,
    parameters: Parameters,
    *,
    class_names: Sequence[str] = ("face",),
    provenance: Mapping[str, str] | None = None,
    fraction_bits: int = FRACTION_BITS,
    separated_m: Mapping[int, int] | None = None,
) -> Conversion:
    """Convert a network: integrated where a substructure is quantised, separated for the last convolution.

    A substructure may be converted in the separated way instead (Eq. 5). What that computes is monotone in the
    accumulator too, so that thresholds say it without a further loss: they are those of the rounded numbers, and the
    proof compares with them.

    Args:
        network: every convolution binary and every map quantised but the output.
        parameters: its arrays, as ``load_weights`` gives them.
        class_names: a name for each class.
        provenance: where the parameters came from; stored in the program.
        fraction_bits: m, the output's fraction bits.
        separated_m: m of Eq. 5 for some of the substructures, by their number from 0.

    Returns:
        The program and its proof, made over the whole integer domain of every channel.

    Raises:
        ConversionError: the network has no integer program, a number is not finite or does not fit.
    """
    _check_names(network, class_names)
    layers: list[QuantizedLayer] = []
    proofs: list[LayerProof] = []
    bits, step = IMAGE_BITS, IMAGE_STEP
    *quantized, last = integer_chain(network)
    rounded = separated_m or {}
    for number, substructure in enumerate(quantized):
        made = convert_quantized(substructure, parameters, bits, step, rounded.get(number))
        bits, step = made.quantizer.bits, made.quantizer.step
        layers.append(made.layer)
        proofs.append(made.proof)
    real = _real(last, parameters, step, rounded.get(len(quantized)))
    output = _convert_last(last, real, bits, fraction_bits)
    report = Proof(tuple(proofs))
    facts = dict(provenance or {}), report.summary()
    return Conversion(Program(network, tuple(layers), output, tuple(class_names), fraction_bits, *facts), report)


def convert_quantized(
    substructure: Substructure, parameters: Parameters, bits: int, step: float, m: int | None = None
) -> ConvertedLayer:
    """Convert a quantised substructure.

    Args:
        substructure: of ``ifq.substructures.divide``.
        parameters: the arrays of the network.
        bits: of a level of its input map.
        step: the value of such a level.
        m: of Eq. 5, where the real numbers are rounded so; None: they stay as they are.

    Returns:
        The layer, and what it was made of.

    Raises:
        ConversionError: a number is not finite or does not fit.
    """
    convolution, activation = substructure.convolution, substructure.quantizer
    assert isinstance(activation, Activation), "integer_chain lets no other through"
    real, limit = _real(substructure, parameters, step, m), accumulator_limit(substructure.convolution, bits)
    quantizer = quantizer_for(activation.bits, activation.quantizer)
    if m is not None:
        quantizer = separated_quantizer(quantizer, m)
    thresholds, flips = integer_thresholds(real, quantizer, limit)
    proof = prove(substructure.start, thresholds, flips, real, quantizer, limit)
    layer = QuantizedLayer(
        convolution=convolution,
        input_bits=bits,
        packed=pack_bits(real.signs > 0),
        pool=substructure.pool,
        bits=quantizer.bits,
        thresholds=thresholds.astype(np.int32),
        flips=flips,
    )
    return ConvertedLayer(layer, proof, real, quantizer)


def _convert_last(substructure: Substructure, real: RealSubstructure, bits: int, fraction_bits: int) -> OutputLayer:
    limit = accumulator_limit(substructure.convolution, bits)
    multipliers, biases = fixed_point_output(substructure.start, real, fraction_bits, limit)
    return OutputLayer(substructure.convolution, bits, pack_bits(real.signs > 0), multipliers, biases)


def _real(substructure: Substructure, parameters: Parameters, step: float, m: int | None) -> RealSubstructure:
    real = RealSubstructure.of(substructure, parameters, step)
    for name in ("alpha", "bias", "mean", "deviation", "scale", "shift"):
        wrong = np.flatnonzero(~np.isfinite(getattr(real, name)))
        if len(wrong):
            raise refusal(substructure.layers[0], f"the {name} of channel {wrong[0]} is not a finite number")
    if m is None:
        return real
    rounded = separated(real, m)
    if len(wrong := np.flatnonzero(rounded.deviation == 0)):
        problem = f"m = {m} is too small: the deviation of channel {wrong[0]} becomes 0"
        raise refusal(substructure.layers[0], problem)
    return rounded


def _check_names(network: Network, class_names: Sequence[str]) -> None:
    classes = network.classes
    if len(class_names) != classes:
        raise ConversionError(
            "the number of class names is not that of the classes",
            path=network.path,
            expected=classes,
            found=len(class_names),
        )

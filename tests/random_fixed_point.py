"""Fixed-point programs with random numbers, made to be awkward, and their plain-Python oracle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tests import naive
from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq.fixed_point.chain import fixed_point_chain
from tinier_yolo.ifq.fixed_point.layer import IMAGE_FORMAT, FixedPointLayer, LayerFormats
from tinier_yolo.ifq.fixed_point.number_format import NumberFormat
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram


def random_cfg(rng: np.random.Generator, layers: int) -> str:
    """A cfg of some convolutions, pools of several kinds among them, for an image of random size."""
    lines = [f"[net]\nwidth={rng.integers(6, 20)}\nheight={rng.integers(6, 20)}\nchannels={rng.choice([1, 3, 4])}"]
    side = 6
    for _ in range(layers):
        size = int(rng.choice([1, 3, 3, 5]))
        padding = int(rng.integers(size // 2, size // 2 + 2))
        activation = rng.choice(["linear", "leaky", "leaky", "relu"])
        lines.append(
            f"[convolutional]\nfilters={rng.choice([1, 6, 8, 11, 16, 24, 30])}\nsize={size}\n"
            f"stride={rng.integers(1, 3)}\npadding={padding}\nactivation={activation}"
        )
        side = -(-side // 2)
        if rng.random() < 0.5:
            lines.append("[maxpool]\n" + str(rng.choice(["size=2\nstride=1", "size=2\nstride=2", "size=3\nstride=2"])))
            side = -(-side // 2)
    return "\n".join(lines)


def random_program(
    rng: np.random.Generator, layers: int = 1, bits: int | None = None, text: str | None = None
) -> FixedPointProgram:
    """A program of full-range weights, and biases and shifts such that both ends of the formats are met."""
    network = Network.parse(text or random_cfg(rng, layers))
    made, read = [], IMAGE_FORMAT
    for part in fixed_point_chain(network):
        width = bits or int(rng.integers(2, 10))
        taps = int(np.prod(part.convolution.weight_shape[1:]))
        weights = NumberFormat(width, int(rng.integers(0, 9)))
        signed = part.signed or bool(rng.random() < 0.3)
        # The usual size of a sum in bits; what lies above the output's bits is shifted out, or saturates.
        usual = np.log2(2.0**weights.bits * 2.0**read.bits * np.sqrt(taps)) - 3
        shift = int(np.clip(usual - width + rng.integers(-2, 2), 0, 20))
        maps = NumberFormat(width, weights.fraction + read.fraction - shift, signed)
        biases = NumberFormat(8, weights.fraction + read.fraction - int(rng.integers(0, 4)))
        made.append(
            FixedPointLayer(
                part.convolution,
                part.pool,
                read,
                LayerFormats(weights, biases, maps),
                rng.integers(weights.lowest, weights.highest + 1, part.convolution.weight_shape).astype(np.int16),
                rng.integers(biases.lowest, biases.highest + 1, part.convolution.filters).astype(np.int16),
            )
        )
        read = maps
    return FixedPointProgram(network, tuple(made), ("face",))


def naive_layer(layer: FixedPointLayer, values: naive.Map) -> naive.Map:
    """The layer in exact fractions: real numbers, rounded once an operation, ties away from zero."""
    convolution, formats = layer.convolution, layer.formats
    sums = naive.convolve(values, layer.weights.tolist(), convolution.stride, convolution.padding)
    unit = Fraction(2) ** -(formats.weights.fraction + layer.read.fraction)
    bias_unit = Fraction(2) ** -formats.biases.fraction
    out = []
    for plane, bias in zip(sums, layer.biases.tolist(), strict=True):
        out.append([[_finish(value * unit + bias * bias_unit, unit, layer) for value in row] for row in plane])
    pool = layer.pool  # Behind the activation here, before it in the code under test: both are monotone.
    return out if pool is None else naive.max_pool(out, pool.size, pool.stride, pool.padding)


def _finish(value: Fraction, unit: Fraction, layer: FixedPointLayer) -> int:
    activation, made = layer.convolution.activation, layer.formats.maps
    if value < 0 and activation == "leaky":
        value = _round(value / unit * 3276 / 2**15) * unit
    elif value < 0 and activation == "relu":
        value = Fraction(0)
    return min(max(_round(value * Fraction(2) ** made.fraction), made.lowest), made.highest)


def _round(value: Fraction) -> int:
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def image_for(program: FixedPointProgram, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise, zeros and 255 in it, of the network's size."""
    channels, height, width = program.network.input
    image = rng.integers(0, 256, (height, width, channels))
    return np.where(rng.random(image.shape) < 0.3, rng.choice([0, 255], image.shape), image).astype(np.uint8)

"""IFQ networks and integer programs with random numbers, made to be awkward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer
from tinier_yolo.ifq.substructures import integer_chain
from tinier_yolo.ifq.tensors import accumulator_limit, pack_bits


@dataclass(frozen=True)
class Block:
    """One quantised substructure; ``pool`` is (size, stride) or (size, stride, padding)."""

    filters: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    pool: tuple[int, ...] | None = None
    bits: int = 2
    quantizer: str = "uniform"
    norm: bool = True


REGION = "\n[region]\nanchors=1,1.5\nnum=1\nclasses=1\ncoords=4\nsoftmax=1\n"


def ifq_cfg(
    blocks: Sequence[Block], width: int, height: int, channels: int = 3, outputs: int = 6, size: int = 1
) -> str:
    """A cfg of these blocks and a last convolution, without [region]."""
    lines = [f"[net]\nwidth={width}\nheight={height}\nchannels={channels}\n"]
    for block in blocks:
        lines.append(
            f"[convolutional]\nbinary=1\nfilters={block.filters}\nsize={block.size}\nstride={block.stride}\n"
            f"padding={block.padding}\nactivation=linear\n"
        )
        if block.pool:
            keys = zip(("size", "stride", "padding"), block.pool, strict=False)
            lines.append("[maxpool]\n" + "".join(f"{key}={value}\n" for key, value in keys))
        if block.norm:
            lines.append("[batchnorm]\n")
        lines.append(f"[activation]\nactivation=hwgq\nbits={block.bits}\nquantizer={block.quantizer}\n")
    lines.append(f"[convolutional]\nbinary=1\nfilters={outputs}\nsize={size}\npad=1\nactivation=linear\n")
    return "\n".join(lines)


def random_parameters(network: Network, rng: np.random.Generator) -> Parameters:
    """Arrays for a network: half of the batch-norm scales negative, some of them and some weights zero."""

    def array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        values = rng.normal(0, 1, shape)
        if name == "variances":
            values = rng.uniform(0.2, 2, shape)
        elif name == "scales":
            values = np.where(rng.random(shape) < 0.06, 0, values)
        elif name == "weights":
            values = np.where(rng.random(shape) < 0.02, 0, values)
        return values.astype(np.float32)

    return tuple({name: array(name, shape) for name, shape in layer.parameters} for layer in network.layers)


def random_image(rng: np.random.Generator, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Noise, with the extremes in it more often than by chance."""
    image = rng.integers(0, 256, (height, width, channels))
    extreme = rng.integers(0, 5, image.shape)
    return np.where(extreme == 0, 0, np.where(extreme == 1, 255, image)).astype(np.uint8)


def random_program(text: str, rng: np.random.Generator, image: NDArray[np.uint8]) -> Program:
    """A program for a cfg whose thresholds lie at, just below and just above sums that occur on ``image``.

    A filter in eight has thresholds at the ends of the range or beyond, so that its level never changes.
    """
    network = Network.parse(text)
    *quantized, last = integer_chain(network)
    layers: list[QuantizedLayer] = []
    levels, bits = image.transpose(2, 0, 1), 8
    for substructure in quantized:
        convolution, pool = substructure.convolution, substructure.pool
        assert substructure.quantizer is not None
        signs = rng.choice(np.array([-1, 1], np.int8), convolution.weight_shape)
        sums = reference.convolve(levels, signs, convolution.stride, convolution.padding)
        sums = sums if pool is None else reference.max_pool(sums, pool)
        limit = accumulator_limit(convolution, bits)
        thresholds = _thresholds(rng, sums, (1 << substructure.quantizer.bits) - 1, limit)
        flips = rng.random(convolution.filters) < 0.5
        packed = pack_bits(signs > 0)
        layers.append(QuantizedLayer(convolution, bits, packed, pool, substructure.quantizer.bits, thresholds, flips))
        levels, bits = reference.quantize(sums, thresholds, flips), substructure.quantizer.bits
    filters = last.convolution.filters
    signs = rng.choice(np.array([-1, 1], np.int8), last.convolution.weight_shape)
    multipliers = rng.integers(-(1 << 14), 1 << 14, filters).astype(np.int32)
    biases = rng.integers(-(1 << 20), 1 << 20, filters).astype(np.int32)
    output = OutputLayer(last.convolution, bits, pack_bits(signs > 0), multipliers, biases)
    return Program(network, tuple(layers), output, ("face",), 14)


def _thresholds(rng: np.random.Generator, sums: NDArray[np.int32], n: int, limit: int) -> NDArray[np.int32]:
    flat = sums.reshape(len(sums), -1)
    picked = np.stack([rng.choice(row, n) for row in flat]) + rng.integers(-1, 2, (len(flat), n))
    ends = np.where(rng.random((len(flat), n)) < 0.5, -limit - 1, limit + 1)
    constant = rng.random((len(flat), 1)) < 0.125
    return np.sort(np.clip(np.where(constant, ends, picked), -limit - 1, limit + 1), axis=1).astype(np.int32)

"""An integer program as an ONNX graph of stock operators, equal to the reference in every value.

Levels and sums are whole numbers in float32, exact up to 2^24, which no accumulator leaves: a convolution adds them in
any order without error. What rounds all the same is a reader that computes with less than float32, or transforms the
convolution (Winograd); docs/web.md names the settings. The last layer, whose values need 31 bits, is int32.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tinier_yolo.darknet.layers import Convolutional, MaxPool, Region
from tinier_yolo.export.onnx import INPUT_NAME, IR_VERSION, OPSET, OUTPUT_NAME
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

Float32 = NDArray[np.float32]


def program_graph(program: Program, height: int, width: int) -> onnx.ModelProto:
    """The ONNX graph of an integer program, up to the map that [region] decodes.

    Args:
        program: the program.
        height: of the image.
        width: of the image.

    Returns:
        A model with the input ``image``, float32 (1, channels, height, width), RGB bytes as numbers 0..255, and the
        output ``map``, int32 (1, filters, height / stride, width / stride), in units of 2^-``fraction_bits``; that and
        what a decoder needs stand in the metadata.

    Raises:
        CfgError: the network cannot take the size.
    """
    shapes = program.shapes(height, width)
    graph = Nodes()
    levels = INPUT_NAME
    for layer, shape in zip(program.layers, shapes, strict=False):
        sums = graph.add("Conv", levels, signs(layer), **convolution(layer.convolution))
        if layer.pool is not None:
            sums = graph.add("MaxPool", sums, **max_pool(layer.pool, layer.convolved(shape)[1:]))
        levels = _levels(graph, sums, layer)
    output(graph, levels, program.output, signs(program.output))
    return graph.model(program, shapes[0], shapes[-1])


class Nodes:
    """A graph that grows by a node at a time."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def add(
        self, operator: str, read: str, *arrays: NDArray[Any] | str, name: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Add a node that reads a tensor, then others by their names or constants; returns its output's name."""
        name = name or f"{operator.lower()}{len(self._nodes)}"
        inputs = [read]
        for index, array in enumerate(arrays):
            inputs.append(array if isinstance(array, str) else self.constant(array, f"{name}.{index}"))
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, array: NDArray[Any], name: str) -> str:
        """Add a constant; returns its name."""
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def model(self, program: Program, read: tuple[int, ...], made: tuple[int, ...], *domains: str) -> onnx.ModelProto:
        """The model of these nodes, from a map of one shape to one of another."""
        tensors = (
            helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, (1, *read)),
            helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.INT32, (1, *made)),
        )
        body = helper.make_graph(self._nodes, "tinier-yolo", tensors[:1], tensors[1:], self._initializers)
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
        model = helper.make_model(body, opset_imports=opsets, producer_name="tinier-yolo")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, _metadata(program))
        return model


def signs(layer: QuantizedLayer | OutputLayer) -> Float32:
    """The weights, +1 and -1."""
    return layer.signs.astype(np.float32)


def convolution(layer: Convolutional) -> dict[str, Any]:
    """The attributes of a Conv."""
    sides = {"kernel_shape": (layer.size,) * 2, "strides": (layer.stride,) * 2, "pads": (layer.padding,) * 4}
    return {**sides, "group": 1, "dilations": (1, 1)}


def max_pool(pool: MaxPool, sides: tuple[int, int]) -> dict[str, Any]:
    """The attributes of a MaxPool over a map of (height, width): of the padding just what a window reaches."""
    before = pool.padding // 2
    cells = ((side + pool.padding - pool.size) // pool.stride for side in sides)
    after = (max(0, n * pool.stride + pool.size - before - side) for n, side in zip(cells, sides, strict=True))
    return {"kernel_shape": (pool.size,) * 2, "strides": (pool.stride,) * 2, "pads": (before, before, *after)}


def per_channel(values: NDArray[Any], kind: type[np.generic] = np.float32) -> NDArray[Any]:
    """(filters,) as (1, filters, 1, 1)."""
    return values.astype(kind).reshape(1, -1, 1, 1)


def flipped(graph: Nodes, counts: str, layer: QuantizedLayer) -> str:
    """Levels from the numbers of exceeded thresholds: where the flip is set, their complement."""
    if not layer.flips.any():
        return counts
    counts = graph.add("Mul", counts, per_channel(np.where(layer.flips, -1, 1)))
    return graph.add("Add", counts, per_channel(np.where(layer.flips, (1 << layer.bits) - 1, 0)))


def output(graph: Nodes, levels: str, layer: OutputLayer, weights: Float32 | str) -> None:
    """The last layer: multiplier * sum + bias in int32."""
    sums = graph.add("Conv", levels, weights, **convolution(layer.convolution))
    whole = graph.add("Cast", sums, to=TensorProto.INT32)
    product = graph.add("Mul", whole, per_channel(layer.multipliers, np.int32))
    graph.add("Add", product, per_channel(layer.biases, np.int32), name=OUTPUT_NAME)


def _levels(graph: Nodes, sums: str, layer: QuantizedLayer) -> str:
    counts = ""
    for column in layer.thresholds.T:
        # Below every sum. Close to 2^24 a threshold of -limit - 1 would be rounded to a sum that occurs.
        threshold = np.where(column < -layer.limit, -2.0 * layer.limit - 2, column)
        exceeded = graph.add("Greater", sums, per_channel(threshold))
        one = graph.add("Cast", exceeded, to=TensorProto.FLOAT)
        counts = graph.add("Add", counts, one) if counts else one
    return flipped(graph, counts, layer)


def _metadata(program: Program) -> dict[str, str]:
    last = program.network.layers[-1]
    facts = {"fraction_bits": str(program.fraction_bits), "class_names": json.dumps(program.class_names)}
    if isinstance(last, Region):
        facts |= {"anchors": json.dumps(last.anchors), "stride": str(program.network.stride)}
    return facts

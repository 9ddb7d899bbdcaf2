"""An integer program as QONNX, for FINN and others that build circuits: 1-bit weights and small levels have types.

Operators of the domain ``qonnx.custom_op.general`` (qonnx 1.0): BipolarQuant gives the weights the type BIPOLAR,
MultiThreshold counts how many thresholds a sum reaches and gives the levels the type UINTk. Both are defined on
numbers in float32 containers, so all values are those of the reference.

FINN pools levels, not sums: where no channel of a layer is flipped both give the same, since the levels grow with the
sums, and MultiThreshold comes before MaxPool. A flipped channel without a pool gets the weights and thresholds of the
opposite sign. A flipped channel under a pool needs the pool first and its complement after the thresholds, a Mul and
an Add of a constant for each channel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from tinier_yolo.export.onnx import INPUT_NAME
from tinier_yolo.export.onnx_program import Nodes, convolution, flipped, max_pool, output, signs
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

DOMAIN = "qonnx.custom_op.general"
Float32 = NDArray[np.float32]


def qonnx_graph(program: Program, height: int, width: int) -> onnx.ModelProto:
    """The QONNX graph of an integer program; input, output and errors are those of ``program_graph``."""
    shapes = program.shapes(height, width)
    graph = Nodes()
    levels = INPUT_NAME
    for layer, shape in zip(program.layers, shapes, strict=False):
        turned = layer.flips if layer.pool is None else np.zeros_like(layer.flips)
        weights = signs(layer) * np.where(turned, -1, 1)[:, None, None, None].astype(np.float32)
        sums = graph.add("Conv", levels, _bipolar(graph, weights, layer), **convolution(layer.convolution))
        levels = _thresholds_and_pool(graph, sums, layer, turned, layer.convolved(shape)[1:])
    output(graph, levels, program.output, _bipolar(graph, signs(program.output), program.output))
    model = graph.model(program, shapes[0], shapes[-1], DOMAIN)
    # The name under which qonnx looks for the type of a tensor.
    note = onnx.StringStringEntryProto(key="finn_datatype", value="UINT8")
    model.graph.quantization_annotation.append(
        onnx.TensorAnnotation(tensor_name=INPUT_NAME, quant_parameter_tensor_names=[note])
    )
    return model


def refused_by_finn(program: Program, height: int, width: int) -> Iterator[str]:
    """What FINN will not take as it is (its InferStreamingMaxPool, read in 2026), a line each."""
    for layer, shape in zip(program.layers, program.shapes(height, width), strict=False):
        pool = layer.pool
        if pool is None:
            continue
        sides = layer.convolved(shape)[1:]
        place = f"line {pool.section.line}, [maxpool]"
        if pool.size != pool.stride:
            yield f"{place}: FINN's streaming pool needs a stride that is the size, found {pool.size}/{pool.stride}"
        elif any(max_pool(pool, sides)["pads"]) or any(side % pool.size for side in sides):
            yield f"{place}: FINN's streaming pool needs whole windows, found {sides[0]}x{sides[1]} by {pool.size}"
        if layer.flips.any():
            yield f"{place}: channels with a negative scale are pooled before their thresholds, FINN pools levels"


def _bipolar(graph: Nodes, weights: Float32, layer: QuantizedLayer | OutputLayer) -> str:
    name = f"weights{layer.convolution.section.line}"
    return graph.add("BipolarQuant", graph.constant(weights, name), np.ones((), np.float32), domain=DOMAIN)


def _thresholds_and_pool(
    graph: Nodes, sums: str, layer: QuantizedLayer, turned: NDArray[np.bool_], sides: tuple[int, int]
) -> str:
    pool = {} if layer.pool is None else max_pool(layer.pool, sides)
    thresholds = _reached(layer, turned)
    if layer.pool is not None and layer.flips.any():
        return flipped(graph, _thresholds(graph, graph.add("MaxPool", sums, **pool), thresholds, layer), layer)
    levels = _thresholds(graph, sums, thresholds, layer)
    return graph.add("MaxPool", levels, **pool) if pool else levels


def _thresholds(graph: Nodes, sums: str, thresholds: Float32, layer: QuantizedLayer) -> str:
    return graph.add(
        "MultiThreshold",
        sums,
        thresholds,
        domain=DOMAIN,
        out_dtype="BINARY" if layer.bits == 1 else f"UINT{layer.bits}",
    )


def _reached(layer: QuantizedLayer, turned: NDArray[np.bool_]) -> Float32:
    # sum > T  <=>  sum >= T + 1.    Turned: n - #(sum > T) = #(sum <= T) = #(-sum >= -T).
    reached = np.where(turned[:, None], -layer.thresholds[:, ::-1], layer.thresholds + 1).astype(np.float64)
    # Above every sum. Close to 2^24 the number next to the limit would be rounded to it.
    return np.where(reached > layer.limit, 2.0 * layer.limit + 2, reached).astype(np.float32)

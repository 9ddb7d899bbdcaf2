"""A float Darknet network as an ONNX graph, for OpenCV's DNN module, ONNX Runtime and others.

Each kind of layer has one small creator in the table ``_CREATORS``; a quantised layer has none, since its home is the
integer program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tinier_yolo.darknet.layers import (
    BATCH_NORM_EPSILON,
    LEAKY_SLOPE,
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Convolutional,
    Cost,
    Dropout,
    Layer,
    MaxPool,
    Region,
    Softmax,
)
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import WeightsError

INPUT_NAME, OUTPUT_NAME = "image", "map"
#: Old enough for every reader since OpenCV 4.9 and ONNX Runtime 1.10, new enough for all operators used here.
OPSET, IR_VERSION = 15, 8

Arrays = Mapping[str, NDArray[np.float32]]


def onnx_graph(network: Network, parameters: Parameters, *, fold_batch_norm: bool = True) -> onnx.ModelProto:
    """The ONNX graph of a float network, up to the map that [region] decodes or [softmax] reads.

    Args:
        network: a network without quantised layers; its input size is the graph's.
        parameters: the arrays of each layer.
        fold_batch_norm: fold the batch normalisation of a convolution into its weights and biases, in float64;
            otherwise it stays a node of its own.

    Returns:
        A model with the input ``image``, float32 (1, channels, height, width), RGB in 0..1, and the output ``map``,
        float32 (1, filters, height / stride, width / stride).

    Raises:
        CfgError: the network has a layer that is quantised, or none with a node.
        WeightsError: an array is not finite, as it comes from a variance below zero.
    """
    graph = _Graph(network.path)
    for layer, arrays in zip(network.layers, parameters, strict=True):
        if isinstance(layer, Region | Dropout | Softmax | Cost):
            continue
        if type(layer) not in _CREATORS:
            raise layer.section.error("no float form of this layer")
        _CREATORS[type(layer)](graph, layer, arrays, fold_batch_norm)
    if not graph.nodes:
        raise network.layers[0].section.error("no float form of a network that computes nothing")
    graph.nodes[-1].output[0] = OUTPUT_NAME
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape))
        for name, shape in ((INPUT_NAME, network.input), (OUTPUT_NAME, network.output))
    ]
    body = helper.make_graph(graph.nodes, "tinier-yolo", tensors[:1], tensors[1:], graph.initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tinier-yolo")
    model.ir_version = IR_VERSION
    return model


class _Graph:
    """Nodes in a row: each takes the output of the one before it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, *arrays: NDArray[Any], **attributes: Any) -> None:
        number = len(self.nodes)
        previous = self.nodes[-1].output[0] if self.nodes else INPUT_NAME
        names = [f"{operator.lower()}{number}.{index}" for index in range(len(arrays))]
        for name, array in zip(names, arrays, strict=True):
            # Some readers turn NaN into 0 at the next activation, and nobody would notice.
            if not np.isfinite(array).all():
                raise WeightsError("the weights give numbers that are not finite", path=self._path, place=name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        output = f"{operator.lower()}{number}"
        self.nodes.append(helper.make_node(operator, [previous, *names], [output], name=output, **attributes))


def _convolutional(graph: _Graph, layer: Convolutional, arrays: Arrays, fold: bool) -> None:
    geometry = {
        "kernel_shape": (layer.size, layer.size),
        "strides": (layer.stride, layer.stride),
        "pads": (layer.padding,) * 4,
    }
    _weighted(graph, layer, arrays, fold, geometry)


def _connected(graph: _Graph, layer: Connected, arrays: Arrays, fold: bool) -> None:
    weights = arrays["weights"].reshape(layer.weight_shape)
    _weighted(graph, layer, {**arrays, "weights": weights}, fold, {"kernel_shape": weights.shape[2:]})


def _weighted(
    graph: _Graph, layer: Convolutional | Connected, arrays: Arrays, fold: bool, geometry: Mapping[str, Any]
) -> None:
    if layer.binary:
        raise layer.section.error("a binary layer has no float form", "binary", expected="a float cfg")
    weights, biases = arrays["weights"], arrays["biases"]
    if layer.batch_normalize and fold:
        graph.add("Conv", *_folded(arrays), **geometry)
    elif layer.batch_normalize:
        graph.add("Conv", weights, **geometry)
        _batch_normalization(graph, arrays)
    else:
        graph.add("Conv", weights, biases, **geometry)
    _nonlinearity(graph, layer, layer.activation)


def _folded(arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # scale * (w*x - mean) / sqrt(variance + eps) + bias  =  (f*w) * x + (bias - f*mean),  f = scale / sqrt(...)
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    with np.errstate(invalid="ignore"):
        factor = exact["scales"] / np.sqrt(exact["variances"] + BATCH_NORM_EPSILON)
    return exact["weights"] * factor[:, None, None, None], exact["biases"] - factor * exact["means"]


def _batch_normalization(graph: _Graph, arrays: Arrays) -> None:
    names = ("scales", "biases", "means", "variances")
    graph.add("BatchNormalization", *(arrays[name] for name in names), epsilon=BATCH_NORM_EPSILON)


def _nonlinearity(graph: _Graph, layer: Layer, activation: str) -> None:
    if activation == "leaky":
        graph.add("LeakyRelu", alpha=LEAKY_SLOPE)
    elif activation in ("relu", "logistic"):
        graph.add({"relu": "Relu", "logistic": "Sigmoid"}[activation])
    elif activation != "linear":
        raise layer.section.error("a quantised layer has no float form", "activation", found=activation)


def _maxpool(graph: _Graph, layer: MaxPool, _arrays: Arrays, _fold: bool) -> None:
    # Darknet begins at -(padding // 2). Only the part of the padding that a window reaches is written down: readers
    # differ in what they make of the rest.
    before = layer.padding // 2
    after = (
        max(0, (cells - 1) * layer.stride + layer.size - before - side)
        for cells, side in zip(layer.output[1:], layer.input[1:], strict=True)
    )
    pads = (before, before, *after)
    if max(pads) >= layer.size:
        raise layer.section.error("a window that lies in the padding alone has no maximum", "padding")
    kernel, strides = (layer.size, layer.size), (layer.stride, layer.stride)
    graph.add("MaxPool", kernel_shape=kernel, strides=strides, pads=pads)


def _batchnorm(graph: _Graph, _layer: BatchNorm, arrays: Arrays, _fold: bool) -> None:
    _batch_normalization(graph, arrays)


def _avgpool(graph: _Graph, _layer: AvgPool, _arrays: Arrays, _fold: bool) -> None:
    graph.add("GlobalAveragePool")


def _activation(graph: _Graph, layer: Activation, _arrays: Arrays, _fold: bool) -> None:
    _nonlinearity(graph, layer, layer.activation)


_CREATORS: Mapping[type[Layer], Callable[[_Graph, Any, Arrays, bool], None]] = {
    Convolutional: _convolutional,
    Connected: _connected,
    MaxPool: _maxpool,
    AvgPool: _avgpool,
    BatchNorm: _batchnorm,
    Activation: _activation,
}

"""Float inference: a Darknet network and its weights through ONNX and OpenCV's DNN module.

It has the shape of :class:`tinier_yolo.runtime.engine.Engine`: an image goes in, the output map comes out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters
from tinier_yolo.errors import UsageError, WeightsError
from tinier_yolo.export.onnx import INPUT_NAME, OUTPUT_NAME, onnx_graph


class FloatEngine:
    """A float network, ready to run.

    Args:
        network: a network without quantised layers, at the size that it shall run at.
        parameters: the arrays of each of its layers.
        threads: OpenCV's threads; a setting of the whole process, since OpenCV has no other.

    Raises:
        CfgError: the network has a layer without a float form.
        WeightsError: the weights give numbers that are not finite.
    """

    def __init__(self, network: Network, parameters: Parameters, threads: int = 1) -> None:
        cv2.setNumThreads(threads)
        model = onnx_graph(network, parameters).SerializeToString()
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        self._input, self._path = network.input, network.path

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The output map of one image.

        Args:
            image: RGB uint8 (height, width, 3), of the network's size.

        Returns:
            float32 (channels, height / stride, width / stride).

        Raises:
            UsageError: the image is not of the network's size.
            WeightsError: the map is not finite.
        """
        channels, height, width = self._input
        if image.shape != (height, width, channels):
            raise UsageError("not the network's input", expected=(height, width, channels), found=image.shape)
        self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255), INPUT_NAME)
        output = np.asarray(self._net.forward(OUTPUT_NAME)[0], np.float32)
        if not np.isfinite(output).all():
            raise WeightsError("the output map is not finite: the weights of this network are damaged", path=self._path)
        return output

"""PartialEngine: the integer parts of a network that is partly quantised, by the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.ifq.program import QuantizedLayer
from tinier_yolo.quantization.partial import IntegerPart, PartialProgram
from tinier_yolo.runtime.maps import MapLayout, PackedMap

Bytes = NDArray[np.uint8]
Float64 = NDArray[np.float64]

#: So many images are run by the reference in NumPy, which takes less than to load the kernels, or to compile them.
REFERENCE_IMAGES = 50


class PartialEngine:
    """Runs a :class:`PartialProgram`; not for several threads at once.

    Args:
        program: the network. Its float parts run in float64 as ever.
    """

    def __init__(self, program: PartialProgram) -> None:
        self.program = program
        self._images = 0
        self._layers: dict[IntegerPart, LayerEngine] = {}

    def run(self, image: Bytes) -> Float64:
        """As :meth:`PartialProgram.run`, bit for bit.

        Raises:
            UsageError: the image is of another size.
        """
        self._images += 1
        if self._images <= REFERENCE_IMAGES:
            return self.program.run(image)
        return self.program.run_with(self.run_part, image)

    def run_part(self, part: IntegerPart, levels: Bytes) -> Bytes:
        """As :meth:`IntegerPart.run`, by the kernels."""
        if part not in self._layers:
            self._layers[part] = LayerEngine(part.layer)
        return self._layers[part].run(levels)


class LayerEngine:
    """Runs one quantised layer by the kernels, at the size that its network names; not for several threads at once.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: QuantizedLayer) -> None:
        from tinier_yolo.runtime.kernels.select import PackedLayer  # Numba with it

        convolution, last = layer.convolution, layer.pool or layer.convolution
        self._read = PackedMap(MapLayout(convolution.input, layer.input_bits, convolution.padding))
        self._write = PackedMap(MapLayout(last.output, layer.bits, 0))
        self._steps = PackedLayer(layer).steps(self._read, self._write)

    def run(self, levels: Bytes) -> Bytes:
        """As ``ifq.reference.run_quantized``: uint8 levels, (filters, ...), from levels (channels, height, width)."""
        layout = self._read.layout
        levels = levels.reshape(layout.shape)
        image = levels  # of a packed map no step reads it
        if layout.is_image:
            image = np.ascontiguousarray(levels.transpose(1, 2, 0))
        else:
            layout.pack(levels, self._read.data)
        for step in self._steps:
            step.run(image)
        return self._write.levels()

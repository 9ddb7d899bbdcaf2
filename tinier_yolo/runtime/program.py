"""The integer program and its .ifq file, as the runtime takes them.

They are defined beside the conversion that makes them: imports go from quantization to runtime and never back.
"""

from tinier_yolo.quantization.program import BinaryConvolution, OutputLayer, Program, QuantizedLayer

__all__ = ["BinaryConvolution", "OutputLayer", "Program", "QuantizedLayer"]

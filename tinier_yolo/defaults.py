"""The defaults that the command line, the API and the evaluations share."""

from __future__ import annotations

#: The least score of a detection, and the IoU above which the lower one of two boxes goes.
THRESH, NMS = 0.25, 0.45
#: The least score in an evaluation. A curve needs the detections of low scores too: at THRESH it would end too early.
EVALUATION_THRESH = 0.01
#: Fraction bits of an integer program's output: IFQ-Net finds m = 14 enough for the last substructure (section 4.1.2).
FRACTION_BITS = 14
#: Width and height of a network's input where no network says them.
NETWORK_SIZE = 416
#: Pictures of a run that are many, but that nobody has counted: worth the compiled kernels from the second one on.
MANY_PICTURES = 1 << 30

"""A detector's [region] layer -> NAME_boxes.h and NAME_boxes.c."""

from __future__ import annotations

import math

import numpy as np

from tinier_yolo import __version__
from tinier_yolo.darknet.layers import Region
from tinier_yolo.export.c99 import tables, text
from tinier_yolo.export.c99.source import stride
from tinier_yolo.ifq.program import Program

_INT32 = np.iinfo(np.int32)


def files(program: Program, region: Region, name: str, origin: str) -> dict[str, str]:
    """The pair of files; file name -> text."""
    anchors = np.rint(np.array(region.anchors) * (1 << tables.FRACTION)).astype(np.int32)
    definitions = [
        "/* (width, height) of each anchor, in units of 2^-16 cells. */",
        text.array("anchors", anchors),
        "/* The least logit whose sigmoid reaches so many percent. */",
        text.array("logits", logits(program.fraction_bits)),
        text.array("sigmoids", tables.sigmoid_table()),
        text.array("powers", tables.power_table()),
    ]
    values = {
        "version": __version__,
        "source": text.comment(origin),
        "sigmoid_error": _rounded_up(tables.sigmoid_error()),
        "exp_error": _rounded_up(tables.exp_error()),
        "classes": region.classes,
        "outputs": program.output.convolution.filters,
        "stride": stride(program),
        "anchors": len(anchors),
        "softmax": int(region.softmax),
        "letter_box": int(program.network.options.letter_box),
        "sigmoid_rest": tables.FRACTION - tables.SIGMOID_STEP,
        "sigmoid_end": tables.SIGMOID_END,
        "power_rest": tables.POWER_BITS - tables.POWER_STEP,
        "exp_end": tables.EXP_END,
        "log2_e": tables.LOG2_E,
        "tables": "\n".join(definitions),
    }
    return {
        f"{name}_boxes.h": text.filled("boxes.h", name, values),
        f"{name}_boxes.c": text.filled("boxes.c", name, values),
    }


def logits(fraction_bits: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """For 0..100 percent the least integer logit, in units of 2^-fraction_bits, whose sigmoid reaches it."""
    shares = np.arange(1, 100) / 100
    least = [math.ceil((math.log(share) - math.log1p(-share)) * 2.0**fraction_bits) for share in shares.tolist()]
    return np.clip([_INT32.min, *least, _INT32.max], _INT32.min, _INT32.max).astype(np.int32)


def _rounded_up(error: float) -> str:
    scale = 10.0 ** (math.floor(math.log10(error)) - 1)
    return f"{math.ceil(error / scale) * scale:.1e}"

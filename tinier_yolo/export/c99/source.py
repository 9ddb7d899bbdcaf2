"""A program -> the text of NAME.h and NAME.c."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinier_yolo import __version__
from tinier_yolo.darknet.layers import Region
from tinier_yolo.export.c99 import layers as packing
from tinier_yolo.export.c99 import text
from tinier_yolo.export.c99.layers import Arrays
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

AnyLayer = QuantizedLayer | OutputLayer
#: Bytes of the stream's state, as stream.c has them: a head, and so many for each layer.
_HEAD_BYTES, _STAGE_BYTES = 16, 60


def header(program: Program, arrays: Sequence[Arrays], name: str, source: str) -> str:
    """NAME.h."""
    network = program.network
    width, output_width = "(width)", "(width)"
    for layer in _layers(program):
        output_width = _output_side(layer, output_width)
    values = _common(source) | {
        "channels": network.input.channels,
        "stride": stride(program),
        "outputs": program.output.convolution.filters,
        "fraction_bits": program.fraction_bits,
        "layers": len(arrays),
        "width": network.options.width,
        "height": network.options.height,
        "output_width": output_width,
        "arena": _arena(program, arrays, width).format(cells=f"{name.upper()}_CELLS"),
    }
    return text.filled("network.h", name, values)


def code(program: Program, arrays: Sequence[Arrays], name: str, source: str) -> str:
    """NAME.c."""
    values = _common(source) | {
        "defines": _defines(program),
    }
    parts = [text.filled("head.c", name, values)]
    rows = []
    for number, (layer, packed) in enumerate(zip(_layers(program), arrays, strict=True)):
        definitions, row = _constants(layer, packed, number)
        parts += definitions
        rows.append(row)
    parts.append(f"static const layer layers[{name.upper()}_LAYERS] = {{\n" + ",\n".join(rows) + "\n};\n")
    parts += [text.filled(template, name, values) for template in ("words.c", "stream.c", "maps.c", "portable.c")]
    return "\n".join(parts)


def stride(program: Program) -> int:
    """What the sides of an image are multiples of."""
    network = program.network
    return network.stride if isinstance(network.layers[-1], Region) else 1


def _common(source: str) -> dict[str, object]:
    return {"version": __version__, "source": text.comment(source)}


def _layers(program: Program) -> tuple[AnyLayer, ...]:
    return (*program.layers, program.output)


def _output_side(layer: AnyLayer, side: str) -> str:
    convolution = layer.convolution
    side = _windows(side, convolution.size, convolution.stride, 2 * convolution.padding)
    pool = layer.pool if isinstance(layer, QuantizedLayer) else None
    return side if pool is None else _windows(side, pool.size, pool.stride, pool.padding)


def _windows(side: str, size: int, stride: int, padding: int) -> str:
    if stride == 1 and padding == size - 1:
        return side
    shifted = (
        side
        if padding == size
        else f"({side} + {padding - size})"
        if padding > size
        else f"({side} - {size - padding})"
    )
    return f"({shifted} / {stride} + 1)" if stride > 1 else f"({shifted} + 1)"


def _defines(program: Program) -> str:
    sizes = max(layer.convolution.size for layer in _layers(program))
    return (
        f"#define LARGEST_SIZE {sizes} /* of a window */\n"
        f"#define WIDE_SUMS {int(_wide(program))}    /* whether a D may need more than 16 bits */\n"
        f"#define TABLE_WORDS {packing.table_words(program)}\n"
        f"#define SCRATCH_BYTES (TABLE_WORDS * CELLS + {_most_filters(program)} * sizeof(sums_of))"
    )


def _wide(program: Program) -> bool:
    return any(layer.limit > 0xFFFF for layer in _layers(program))


def _most_filters(program: Program) -> int:
    return max(layer.convolution.filters for layer in _layers(program))


def _arena(program: Program, arrays: Sequence[Arrays], width: str) -> str:
    # As lay_out in stream.c adds it up.
    head = -(-(_HEAD_BYTES + _STAGE_BYTES * len(arrays)) // 8) * 8
    cell_bytes = packing.table_words(program) + _most_filters(program) * (4 if _wide(program) else 2)
    terms = [f"{head} + {cell_bytes} * (size_t){{cells}}"]
    for number, layer in enumerate(_layers(program)):
        convolution = layer.convolution
        lines = _lines(convolution.input.channels, layer.input_bits) if number else convolution.input.channels
        columns = f"({width} + {2 * convolution.padding})" if convolution.padding else width
        term = f"{convolution.size * lines} * (size_t){columns}"
        width = _output_side(layer, width)
        size, stride, padding = packing.pool_numbers(layer)
        if isinstance(layer, QuantizedLayer) and (size, stride, padding) != (1, 1, 0):
            rows = -(-size // stride)
            term += f" + {rows * _lines(convolution.filters, layer.bits)} * (size_t){width}"
        terms.append(f"({term} + 7) / 8 * 8")
    return "(" + " + \\\n     ".join(terms) + ")"


def _lines(channels: int, bits: int) -> int:
    return -(-channels // 4) * (2 if bits > 2 else 1)


def _constants(layer: AnyLayer, packed: Arrays, number: int) -> tuple[list[str], str]:
    convolution = layer.convolution
    named: dict[str, Any] = {"weights": packed.weights}
    if isinstance(layer, QuantizedLayer):
        named["narrow" if packed.limits.dtype == np.uint16 else "wide"] = packed.limits
        named["flips"] = packed.flips
    else:
        named |= {"base": packed.base, "multipliers": layer.multipliers, "biases": layer.biases}
    definitions = [text.array(f"{key}_{number}", numbers) for key, numbers in named.items()]
    pointers = {
        key: f"{key}_{number}" if key in named else "NULL"
        for key in ("weights", "narrow", "wide", "flips", "base", "multipliers", "biases")
    }
    bits = layer.bits if isinstance(layer, QuantizedLayer) else 0
    geometry = (convolution.input.channels, convolution.filters, convolution.size, convolution.stride)
    numbers = (
        *geometry,
        convolution.padding,
        *packing.pool_numbers(layer),
        layer.input_bits,
        bits,
        packing.group(layer),
        packed.weights.shape[1],
    )
    return definitions, "    {" + ", ".join([*map(str, numbers), *pointers.values()]) + "}"

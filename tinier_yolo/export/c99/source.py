"""A program -> the text of NAME.h and NAME.c."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinier_yolo import __version__
from tinier_yolo.darknet.layers import Region
from tinier_yolo.export.c99 import layers as packing
from tinier_yolo.export.c99 import text, vectors
from tinier_yolo.export.c99.layers import Arrays
from tinier_yolo.ifq.program import OutputLayer, Program, QuantizedLayer

AnyLayer = QuantizedLayer | OutputLayer
#: Bytes of the stream's state, as stream.c has them: a head, and so many for each layer.
_HEAD_BYTES, _STAGE_BYTES = 16, 60


def header(program: Program, arrays: Sequence[Arrays], name: str, source: str, target: str) -> str:
    """NAME.h."""
    network = program.network
    output_width = "(width)"
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
        "arena": _largest_arena(program, name, target),
    }
    return text.filled("network.h", name, values)


def code(program: Program, arrays: Sequence[Arrays], name: str, source: str, target: str) -> str:
    """NAME.c."""
    simd = target == "simd" and vectors.fits(program)
    values = _common(source) | {
        "defines": _defines(program),
        "vectors": text.filled("vectors.c", name, {}) if simd else "#define VECTORS 0",
    }
    parts = [text.filled("head.c", name, values)]
    if simd:
        bits = sorted({layer.input_bits for layer in _layers(program)[1:]})
        tables = [text.array(f"tables_{k}", vectors.tables(k)) for k in bits]
        parts += ["#if VECTORS\n", *tables, "#endif\n"]
    rows = []
    for number, (layer, packed) in enumerate(zip(_layers(program), arrays, strict=True)):
        definitions, row = _constants(layer, packed, number, simd)
        parts += definitions
        rows.append(row)
    parts.append(f"static const layer layers[{name.upper()}_LAYERS] = {{\n" + ",\n".join(rows) + "\n};\n")
    parts += [text.filled(template, name, values) for template in ("words.c", "stream.c")]
    portable = [text.filled(template, name, values) for template in ("maps.c", "portable.c")]
    if simd:
        parts += ["#if VECTORS", text.filled("simd.c", name, {}), "#else", *portable, "#endif\n"]
    else:
        parts += portable
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
        f"#if VECTORS\n#define ZEROS {vectors.zeros(program)}\n"
        f"#define SCRATCH_BYTES 0\n#else\n"
        f"#define SCRATCH_BYTES (TABLE_WORDS * AT_ONCE + {_most_filters(program)} * sizeof(sums_of))\n#endif"
    )


def _wide(program: Program) -> bool:
    return any(layer.limit > 0xFFFF for layer in _layers(program))


def _most_filters(program: Program) -> int:
    return max(layer.convolution.filters for layer in _layers(program))


def _largest_arena(program: Program, name: str, target: str) -> str:
    # As lay_out in stream.c adds it up; for vectors the larger one, since they may be absent.
    words = packing.table_words(program) + _most_filters(program) * (4 if _wide(program) else 2)
    portable = _arena(program, f"{words} * (size_t){name.upper()}_CELLS", False)
    if target != "simd" or not vectors.fits(program):
        return portable
    simd = _arena(program, "0", True)
    return f"({portable} > {simd} ? {portable} : {simd})"


def _arena(program: Program, scratch: str, simd: bool) -> str:
    width = "(width)"
    head = -(-(_HEAD_BYTES + _STAGE_BYTES * (len(program.layers) + 1)) // 8) * 8
    terms = [f"{head} + {scratch}"]
    for number, layer in enumerate(_layers(program)):
        convolution = layer.convolution
        lines = _lines(convolution.input.channels, layer.input_bits) if number else convolution.input.channels
        columns = f"({width} + {2 * convolution.padding})" if convolution.padding else width
        term = f"{convolution.size * lines} * (size_t){columns}"
        if simd and number == 0:
            pitch = f"(({columns} + {vectors.LANES - 1}) / {vectors.LANES // 2} * {vectors.LANES // 2})"
            term = f"{vectors.image_row_bytes(layer) * (convolution.size + 1) + lines} * (size_t){pitch}"
        convolved = _windows(width, convolution.size, convolution.stride, 2 * convolution.padding)
        width = _output_side(layer, width)
        if isinstance(layer, QuantizedLayer):
            size, stride, padding = packing.pool_numbers(layer)
            rows = 0 if (size, stride, padding) == (1, 1, 0) else -(-size // stride)
            bytes_ = _lines(convolution.filters, layer.bits)
            term += f" + {(rows + simd) * bytes_} * (size_t){convolved if simd else width}"
        terms.append(f"({term} + 7) / 8 * 8")
    return "(" + " + \\\n     ".join(terms) + ")"


def _lines(channels: int, bits: int) -> int:
    return -(-channels // 4) * (2 if bits > 2 else 1)


def _constants(layer: AnyLayer, packed: Arrays, number: int, simd: bool) -> tuple[list[str], str]:
    convolution = layer.convolution
    named: dict[str, Any] = {"weights": packing.in_pairs(packed.weights)}
    if isinstance(layer, QuantizedLayer):
        named["narrow" if packed.limits.dtype == np.uint16 else "wide"] = packed.limits
        named["flips"] = packed.flips
    else:
        named |= {"base": packed.base, "multipliers": layer.multipliers, "biases": layer.biases}
    definitions = [text.array(f"{key}_{number}", numbers) for key, numbers in named.items()]
    if simd:
        lanes = text.array(f"weights_{number}", vectors.weights(layer, number == 0))
        definitions[0] = f"#if VECTORS\n{lanes}#else\n{definitions[0]}#endif\n"
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
    extra = (
        f" FOR_VECTORS({vectors.chunk(layer)}, {f'tables_{layer.input_bits}' if number else 'NULL'})" if simd else ""
    )
    return definitions, "    {" + ", ".join([*map(str, numbers), *pointers.values()]) + extra + "}"

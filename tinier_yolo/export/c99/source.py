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


class Portable:
    """The form whose maps are planes of bits; ``portable.c``."""

    name = "portable"
    template = "portable.c"
    words = "bytes of the image, else 32-bit words of a plane"
    weight_type = flip_type = "uint32_t"
    tile = packing.TILE

    def pack(self, program: Program) -> list[Arrays]:
        """Every layer of a program."""
        return list(packing.portable(program))

    def defines(self, program: Program, arrays: Sequence[Arrays]) -> str:
        """What the template reads from the preprocessor."""
        window, cell = self._scratch(program, arrays)
        sizes = max(layer.convolution.size for layer in _layers(program))
        return (
            f"#define LARGEST_SIZE {sizes}\n#define WINDOW_WORDS {window}\n"
            f"#define SCRATCH_BYTES {self.scratch(program, arrays)}u"
        )

    def scratch(self, program: Program, arrays: Sequence[Arrays]) -> int:
        """Bytes of scratch memory."""
        return 4 * sum(self._scratch(program, arrays))

    def ring_row(self, layer: AnyLayer, first: bool, width: str) -> str:
        """Bytes of an input row, as C."""
        cells = f"({width} + {2 * layer.convolution.padding})"
        if first:
            return f"(({cells} * {layer.convolution.input.channels} + 3) / 4 * 4)"
        return f"({cells} * {4 * _words(layer.convolution.input.channels) * layer.input_bits})"

    def open_row(self, layer: QuantizedLayer, width: str) -> str:
        """Bytes of a row of open pooling windows, as C."""
        return f"({width} * {4 * _words(layer.convolution.filters) * layer.bits})"

    def _scratch(self, program: Program, arrays: Sequence[Arrays]) -> tuple[int, int]:
        windows = [-(-arrays[0].words // 4)]
        for layer, packed in zip(_layers(program)[1:], arrays[1:], strict=True):
            windows.append(packed.words * layer.input_bits)
        cells = [_words(layer.convolution.filters) * layer.bits for layer in program.layers]
        return max(windows), max(cells, default=1)


Form = Portable
FORMS: dict[str, Form] = {"portable": Portable()}


def header(program: Program, form: Form, arrays: Sequence[Arrays], name: str, source: str) -> str:
    """NAME.h."""
    network = program.network
    width, output_width = "(width)", "(width)"
    for layer in _layers(program):
        output_width = _output_side(layer, output_width)
    values = _common(form, source) | {
        "channels": network.input.channels,
        "stride": stride(program),
        "outputs": program.output.convolution.filters,
        "fraction_bits": program.fraction_bits,
        "layers": len(arrays),
        "width": network.options.width,
        "height": network.options.height,
        "output_width": output_width,
        "arena": _arena(program, form, arrays, width),
    }
    return text.filled("network.h", name, values)


def code(program: Program, form: Form, arrays: Sequence[Arrays], name: str, source: str) -> str:
    """NAME.c."""
    values = _common(form, source) | {
        "tile": form.tile,
        "words": form.words,
        "weight_type": form.weight_type,
        "flip_type": form.flip_type,
        "defines": form.defines(program, arrays),
    }
    parts = [text.filled("head.c", name, values)]
    rows = []
    for number, (layer, packed) in enumerate(zip(_layers(program), arrays, strict=True)):
        definitions, row = _constants(layer, packed, number)
        parts += definitions
        rows.append(row)
    parts.append(f"static const layer layers[{name.upper()}_LAYERS] = {{\n" + ",\n".join(rows) + "\n};\n")
    parts += [text.filled(template, name, values) for template in ("stream.c", "lanes.c", form.template)]
    return "\n".join(parts)


def stride(program: Program) -> int:
    """What the sides of an image are multiples of."""
    network = program.network
    return network.stride if isinstance(network.layers[-1], Region) else 1


def _common(form: Form, source: str) -> dict[str, object]:
    return {"version": __version__, "source": text.comment(source), "target": form.name}


def _layers(program: Program) -> tuple[AnyLayer, ...]:
    return (*program.layers, program.output)


def _words(channels: int) -> int:
    return -(-channels // 32)


def _output_side(layer: AnyLayer, side: str) -> str:
    convolution = layer.convolution
    side = _windows(side, convolution.size, convolution.stride, 2 * convolution.padding)
    pool = layer.pool if isinstance(layer, QuantizedLayer) else None
    return side if pool is None else _windows(side, pool.size, pool.stride, pool.padding)


def _windows(side: str, size: int, stride: int, padding: int) -> str:
    if stride == 1 and padding == size - 1:
        return side
    shifted = side if padding == size else f"({side} + {padding - size})" if padding > size else f"({side} - {size - padding})"
    return f"({shifted} / {stride} + 1)" if stride > 1 else f"({shifted} + 1)"


def _arena(program: Program, form: Form, arrays: Sequence[Arrays], width: str) -> str:
    head = _HEAD_BYTES + _STAGE_BYTES * len(arrays)
    terms = [f"(size_t){-(-head // 8) * 8 + form.scratch(program, arrays)}"]
    for number, layer in enumerate(_layers(program)):
        terms.append(f"{layer.convolution.size} * (size_t){form.ring_row(layer, number == 0, width)}")
        width = _output_side(layer, width)
        if isinstance(layer, QuantizedLayer) and layer.pool is not None:
            rows = -(-layer.pool.size // layer.pool.stride)
            terms.append(f"{rows} * (size_t){form.open_row(layer, width)}")
    return "(" + " + \\\n     ".join(terms) + ")"


def _constants(layer: AnyLayer, packed: Arrays, number: int) -> tuple[list[str], str]:
    convolution = layer.convolution
    limits = text.narrowed(packed.limits)
    named: dict[str, Any] = {"weights": packed.weights}
    if isinstance(layer, QuantizedLayer):
        named["narrow" if limits.dtype == np.uint16 else "wide"] = limits
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
    numbers = (*geometry, convolution.padding, *packing.pool_numbers(layer), layer.input_bits, bits, packed.words)
    return definitions, "    {" + ", ".join([*map(str, numbers), *pointers.values()]) + "}"

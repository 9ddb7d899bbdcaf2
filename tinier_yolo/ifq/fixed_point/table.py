"""The rows of a program's table, for either arithmetic."""

from __future__ import annotations

from dataclasses import replace

from tinier_yolo.ifq.fixed_point.chain import fixed_point_chain
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.ifq.load import AnyProgram
from tinier_yolo.ifq.table import Row, rows


def program_rows(program: AnyProgram) -> tuple[Row, ...]:
    """One row for each layer of the network, with the bits and bytes of the program's file."""
    table = list(rows(program.network))
    if not isinstance(program, FixedPointProgram):
        return tuple(table)
    for part, layer in zip(fixed_point_chain(program.network), program.layers, strict=True):
        formats, row = layer.formats, table[part.start]
        bits = layer.weights.size * formats.weights.bits, layer.biases.size * formats.biases.bits
        size = sum(-(-number // 8) for number in bits)
        table[part.start] = replace(row, weight_bits=formats.weights.bits, size=size, map_bits=None, map_size=0)
        # The map is made behind the pool, where there is one.
        last = part.start + (part.pool is not None)
        values = table[last].map_size or row.map_size
        table[last] = replace(table[last], map_bits=formats.maps.bits, map_size=-(-values * formats.maps.bits // 32))
    return tuple(table)

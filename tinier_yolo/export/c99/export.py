"""``NAME.c``, ``NAME.h`` and ``NAME_test.c`` of a program, and for a detector its boxes and letterbox.

A WebAssembly module needs no more than ``NAME_letterbox`` (an image of any size to the input), ``NAME_run`` (the whole
input to the output map, in an arena of ``NAME_ARENA_BYTES``) and ``NAME_boxes`` (boxes in the image). The target
``simd`` uses simd128 where clang has ``-msimd128``; the only header of a C library that they include is string.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinier_yolo import __version__
from tinier_yolo.darknet.layers import Region
from tinier_yolo.errors import OutputError, PathLike, UsageError
from tinier_yolo.export.c99 import boxes, golden, layers, source, text
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq.program import Program
from tinier_yolo.output_folder import OutputFolder

#: The grey around a letterboxed image, as detection/letterbox.py has it.
PADDING = 128
#: The forms of the network.
TARGETS = ("portable", "simd")


def c_files(program: Program, name: str, target: str = "portable", origin: str = "a program") -> dict[str, str]:
    """The files of a program as C.

    Args:
        program: the program.
        name: what every public name begins with; a C identifier.
        target: one of TARGETS.
        origin: the file it came from, for the comment at the top.

    Returns:
        File name -> text.

    Raises:
        UsageError: the name is no identifier, or there is no such target.
    """
    text.check_name(name)
    if target not in TARGETS:
        raise UsageError("no such target", expected=" or ".join(TARGETS), found=target)
    arrays = list(layers.packed(program))
    files = {
        f"{name}.h": source.header(program, arrays, name, origin, target),
        f"{name}.c": source.code(program, arrays, name, origin, target),
        f"{name}_test.c": _test(program, name, target),
    }
    last = program.network.layers[-1]
    if isinstance(last, Region):
        files |= boxes.files(program, last, name, origin)
        files |= _letterbox(program, name)
    return files


def write(files: Mapping[str, str], folder: PathLike) -> list[Path]:
    """Write files into a folder, which is made if it is missing.

    Raises:
        OutputError: the folder or one of them cannot be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError("not a folder", path=folder)
    OutputFolder(target).check()
    paths = []
    for name, content in files.items():
        with atomic_write(target / name, "w") as file:
            file.write(content)
        paths.append(target / name)
    return paths


def _letterbox(program: Program, name: str) -> dict[str, str]:
    values = {
        "version": __version__,
        "channels": program.network.input.channels,
        "letter_box": int(program.network.options.letter_box),
        "grey": PADDING,
    }
    return {f"{name}_letterbox.{kind}": text.filled(f"letterbox.{kind}", name, values) for kind in "hc"}


def _test(program: Program, name: str, target: str) -> str:
    data, cases = golden.make(program)
    sizes = ", ".join(f"{{{case.width}, {case.height}}}" for case in cases)
    sums = ",\n    ".join("{" + ", ".join(f"0x{value:08x}u" for value in case.sums or (0,)) + "}" for case in cases)
    starts = np.cumsum([0, *(case.output.size for case in cases)])[:-1]
    outputs = np.concatenate([case.output.ravel() for case in cases]).astype(np.int32)
    definitions = [
        f"static const int32_t sizes[CASES][2] = {{{sizes}}};",
        f"#ifdef {name.upper()}_TRACE",
        f"static const uint32_t sums[CASES][{max(1, len(program.layers))}] = {{\n    {sums}\n}};",
        "#endif",
        f"static const size_t first_output[CASES] = {{{', '.join(map(str, starts.tolist()))}}};",
        text.array("outputs", outputs),
    ]
    largest = max(case.width for case in cases), max(case.height for case in cases)
    values = {
        "cases": len(cases),
        "largest_width": largest[0],
        "largest_height": largest[1],
        "values": max(case.output.size for case in cases),
        "image": text.array("image", data),
        "golden": "\n".join(definitions),
        # The constant is for either form of the maps, of which the other one may need less.
        "arena_differs": f"bytes {'>' if target == 'simd' else '!='} {name.upper()}_ARENA_BYTES(width, height)",
    }
    return text.filled("test.c", name, values)

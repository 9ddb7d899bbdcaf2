"""``index.html`` of a detector: the module, the model and all else in one file that opens from disk.

The module is generic: it takes the program as data (model.py), so that any .ifq becomes a page without a compiler, and
one module can be compared with the reference over random programs. It is built from ``source/`` by
``scripts/build_web_module.sh`` (Clang, as the Python package ziglang has it) and kept in the package. A module compiled
for one network would save the 7 ms that unpacking its weights takes, and cost every user a compiler.

The page's policy lets it run its own script, named by a digest, and nothing else: no connection to any place.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tinier_yolo import __version__
from tinier_yolo.defaults import NMS, THRESH
from tinier_yolo.errors import CfgError, OutputError, PathLike, ProgramError
from tinier_yolo.export.c99.golden import fnv1a
from tinier_yolo.export.web.model import program_words
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.output_folder import OutputFolder

_PLACEHOLDER = re.compile("@([a-z]+)@")
#: Inputs that the page offers beside the network's own.
SIDES = (160, 224, 320, 416, 608, 832)
#: The largest side of an input that the module takes.
MAX_SIDE = 4096


def web_page(program: Program, name: str) -> str:
    """The page of a detector.

    Args:
        program: a program that ends in [region] and takes three channels.
        name: of the model, as the page shows it.

    Returns:
        HTML.

    Raises:
        CfgError: the network does not end in [region].
        ProgramError: it does not take RGB images, or is too large for the page.
    """
    facts = _facts(program)
    style, script = _part("page.css"), _part("detector.js") + _part("page.js")
    sources = f"script-src {_digest(script)} 'wasm-unsafe-eval'; style-src {_digest(style)}; img-src data:"
    layers = f"{len(program.layers) + 1} layers of 1-bit weights, integers alone"
    values = {
        "policy": f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "name": html.escape(name),
        "facts": f"{layers}, {len(program.to_bytes()):,} bytes",
        "version": html.escape(__version__),
        # No </script> in it can end the element.
        "data": json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], _part("page.html"))


def write_page(page: str, folder: PathLike) -> Path:
    """Write ``index.html`` into a folder, which is made if it is missing.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OutputError("not a folder", path=folder)
    OutputFolder(target).check()
    with atomic_write(target / "index.html", "w") as file:
        file.write(page)
    return target / "index.html"


def _facts(program: Program) -> dict[str, Any]:
    network = program.network
    region, options = network.region, network.options
    if network.input.channels != 3:
        problem = "not a network for RGB images"
        raise ProgramError(problem, path=network.path, expected="channels=3", found=network.input.channels)
    own = (options.width, options.height)
    if max(own) > MAX_SIDE:
        raise ProgramError("too large an input for the page", path=network.path, expected=MAX_SIDE, found=max(own))
    output, cells = program.shapes(options.height, options.width)[-1], options.width // network.stride
    if (output.height, output.width) != (options.height // network.stride, cells):
        problem = "the page needs a map of the input's size over the stride"
        raise ProgramError(problem, path=network.path, expected=f"{cells} wide", found=output.width)
    sizes = {own, *((side, side) for side in SIDES if _takes(program, side))}
    return {
        "classNames": program.class_names,
        "classes": region.classes,
        "anchors": region.anchors,
        "softmax": region.softmax,
        "stride": network.stride,
        "fractionBits": program.fraction_bits,
        "letterBox": bool(options.letter_box),
        "size": own,
        "sizes": sorted(sizes),
        "thresh": THRESH,
        "nms": NMS,
        "proof": _proof(program),
        "module": _base64(files(__package__).joinpath("module.wasm").read_bytes()),
        "words": _base64(program_words(program).astype("<u4").tobytes()),
    }


def _takes(program: Program, side: int) -> bool:
    try:
        program.shapes(side, side)
    except CfgError:
        return False
    return True


def _proof(program: Program) -> dict[str, int]:
    """A small input of a known pattern and the hash of the map that the reference makes of it."""
    stride = program.network.stride
    cells = max(1, 64 // stride)
    height, width = cells * stride, (cells + 1) * stride
    count = np.arange(height * width * 3, dtype=np.uint64)
    image = ((count * 7919 % (1 << 32)) >> np.uint64(3)).astype(np.uint8).reshape(height, width, 3)
    _, output = reference.run_maps(program, image)
    return {"width": width, "height": height, "values": output.size, "sum": fnv1a(output.astype("<i4").tobytes())}


def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _digest(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"

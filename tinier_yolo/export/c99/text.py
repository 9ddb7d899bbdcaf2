"""Numbers as C, and templates of C with their placeholders filled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from numpy.typing import NDArray

from tinier_yolo.errors import UsageError

#: The name that everything public has in the templates.
_NAME = re.compile(r"\bnetwork(?=_|\.|:)|\bNETWORK(?=_)")
_PLACEHOLDER = re.compile(r"@([a-z0-9_]+)@")
_TYPES = {"u1": "uint8_t", "u2": "uint16_t", "u4": "uint32_t", "i1": "int8_t", "i2": "int16_t", "i4": "int32_t"}
# fmt: off
_KEYWORDS = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
    "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
    "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "alignas",
    "alignof", "bool", "constexpr", "false", "nullptr", "static_assert", "thread_local", "true", "typeof", "and",
    "or", "not", "xor", "class", "delete", "new", "namespace", "operator", "private", "protected", "public",
    "template", "this", "throw", "try", "using", "virtual",
))
# fmt: on
_COLUMNS = 118


def check_name(name: str) -> str:
    """A prefix for the names of a C file.

    Raises:
        UsageError: it is no identifier, or one that C has taken.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name.lower() in _KEYWORDS or len(name) > 40:
        raise UsageError(
            "not a name for C functions", expected="a letter, then letters, digits and _, no keyword", found=repr(name)
        )
    return name


def filled(template: str, name: str, values: Mapping[str, object]) -> str:
    """A template with its placeholders ``@key@`` filled and its public names turned into those of ``name``."""
    text = files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    text = _NAME.sub(lambda match: name if match[0].islower() else name.upper(), text)
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)


def array(name: str, numbers: NDArray[Any], public: str = "static ") -> str:
    """The definition of a constant array."""
    kind = _TYPES[numbers.dtype.str[1:]]
    flat = numbers.ravel()
    if flat.dtype.kind == "u":
        digits = 2 * flat.dtype.itemsize
        words = [f"0x{value:0{digits}x}" for value in flat.tolist()]
    else:
        # The least int32 has no literal of its own type.
        words = [str(value) if value > -(1 << 31) else "(-2147483647 - 1)" for value in flat.tolist()]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > _COLUMNS:
            lines.append(line)
            line = "   "
        line += f" {word},"
    lines.append(line)
    body = "\n".join(lines)
    return f"{public}const {kind} {name}[{len(flat)}] = {{\n{body}\n}};\n"


def comment(text: object) -> str:
    """Text that ends no comment and holds nothing but printable ASCII."""
    shown = "".join(char if " " <= char <= "~" and char not in "?\\\\" else "." for char in str(text))
    return shown.replace("*/", "* /").replace("/*", "/ *")

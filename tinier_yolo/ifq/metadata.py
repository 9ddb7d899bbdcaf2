"""The metadata of an .ifq file beside its cfg: what each text may hold, in both directions.

names           JSON list of a name for each class: text of one line
fraction_bits   decimal, 0..30
provenance      JSON object of texts
proof           JSON object of whole numbers, texts, and lists of whole numbers
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from tinier_yolo.errors import ProgramError
from tinier_yolo.ifq.limits import MAX_FRACTION_BITS

#: Classes, entries of an object, numbers of a list.
MAX_CLASSES, MAX_ENTRIES, MAX_NUMBERS = 16_384, 64, 512
#: Characters of a name or key, of another text, and of a whole JSON text.
MAX_NAME, MAX_TEXT, MAX_JSON = 200, 4_096, 1 << 20
MAX_NUMBER = (1 << 63) - 1

_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Facts(NamedTuple):
    """What a program knows beside its numbers."""

    class_names: tuple[str, ...]
    fraction_bits: int
    provenance: Mapping[str, str]
    proof: Mapping[str, Any]


def read_facts(metadata: Mapping[str, str]) -> Facts:
    """The facts that the metadata of a file hold.

    Raises:
        ProgramError: a text is missing, is no JSON or holds what :func:`check_facts` refuses.
    """
    names = _load(metadata, "names")
    if not isinstance(names, list):
        _refuse("names", "a list of names", names)
    text = metadata.get("fraction_bits", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        _refuse("fraction_bits", f"0..{MAX_FRACTION_BITS}", text)
    facts = Facts(tuple(names), int(text), _load(metadata, "provenance"), _load(metadata, "proof"))
    check_facts(facts)
    return facts


def texts(facts: Facts) -> dict[str, str]:
    """The same as texts, in one form."""
    return {
        "names": _dump(list(facts.class_names)),
        "fraction_bits": str(facts.fraction_bits),
        "provenance": _dump(facts.provenance),
        "proof": _dump(facts.proof),
    }


def is_text(value: object, most: int) -> bool:
    """Whether a value is a text of one line, without control characters, of at most so many characters."""
    return (
        isinstance(value, str)
        and len(value) <= most
        and not any(unicodedata.category(character) in _CONTROL for character in value)
    )


def check_facts(facts: Facts, classes: int | None = None) -> None:
    """Check types, lengths and characters.

    Args:
        facts: what to check.
        classes: of the network, where it has a [region].

    Raises:
        ProgramError: naming the first one that is not as the module's head says.
    """
    names = facts.class_names
    for name in names[: MAX_CLASSES + 1]:
        if not is_text(name, MAX_NAME) or not name.strip():
            _refuse("names", f"names of one line of at most {MAX_NAME} characters", name)
    if not 1 <= len(names) <= MAX_CLASSES or (classes is not None and len(names) != classes):
        _refuse("names", f"{classes or f'1..{MAX_CLASSES}'} of them", len(names))
    if not _is_number(facts.fraction_bits) or not 0 <= facts.fraction_bits <= MAX_FRACTION_BITS:
        _refuse("fraction_bits", f"0..{MAX_FRACTION_BITS}", facts.fraction_bits)
    for key, values in (("provenance", facts.provenance), ("proof", facts.proof)):
        if not isinstance(values, Mapping) or len(values) > MAX_ENTRIES:
            _refuse(key, f"an object of at most {MAX_ENTRIES} entries", values)
        for name, value in values.items():
            if not is_text(name, MAX_NAME):
                _refuse(key, f"keys of one line of at most {MAX_NAME} characters", name)
            if not (is_text(value, MAX_TEXT) or (key == "proof" and _is_count(value))):
                _refuse(f"{key} {name}", f"text of one line of at most {MAX_TEXT} characters", value)


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) <= MAX_NUMBER


def _is_count(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_NUMBERS and all(map(_is_number, value))
    return _is_number(value)


def _load(metadata: Mapping[str, str], key: str) -> Any:
    text = metadata.get(key, "")
    if len(text) > MAX_JSON:
        _refuse(key, f"at most {MAX_JSON} characters", len(text))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        _refuse(key, "JSON", text)


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refuse(place: str, expected: object, found: object) -> NoReturn:
    shown = repr(found[:40]) if isinstance(found, str) else found if _is_number(found) else type(found).__name__
    raise ProgramError("bad metadata", place=place[:60], expected=expected, found=shown)

"""Darknet cfg: text -> sections with line numbers and typed, checked keys.

The format (Darknet's ``parser.c``): ``[name]`` opens a section, ``key = value`` belongs to the section above it,
``#`` and ``;`` open comments, blanks mean nothing. Where Darknet prints "Unused field" and goes on, an unknown key or
section is an error here: a misspelt key changes the network in silence.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinier_yolo.errors import CfgError, PathLike

MAX_BYTES = 1 << 20
MAX_SECTIONS = 512

Value = int | float | str | tuple[int, ...] | tuple[float, ...]


def _integer(text: str) -> int:
    return int(text, 10)


def _flag(text: str) -> int:
    value = int(text, 10)
    if value not in (0, 1):
        raise ValueError
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _word(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part, 10) for part in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


_EXPECTED: dict[Callable[[str], Value], str] = {
    _integer: "a whole number",
    _flag: "0 or 1",
    _number: "a finite number",
    _word: "a word",
    _integers: "whole numbers separated by commas",
    _numbers: "finite numbers separated by commas",
}

#: Every section that is understood and the type of each of its keys. Darknet's names; our own are listed apart.
KEYS: Mapping[str, Mapping[str, Callable[[str], Value]]] = {
    "net": {
        **dict.fromkeys(("width", "height", "channels", "batch", "subdivisions", "max_batches", "burn_in"), _integer),
        **dict.fromkeys(("time_steps", "max_crop", "min_crop", "step"), _integer),
        # Ours: how a classifier's small images are shown.
        **dict.fromkeys(("max_shift", "cutout"), _integer),
        # Ours: the learning rate of Muon.
        "muon": _number,
        **dict.fromkeys(("momentum", "decay", "learning_rate", "power", "gamma", "scale"), _number),
        **dict.fromkeys(("angle", "aspect", "saturation", "exposure", "hue"), _number),
        **dict.fromkeys(("B1", "B2", "eps", "label_smooth_eps"), _number),
        **dict.fromkeys(("adam", "flip", "letter_box"), _flag),
        "policy": _word,
        "steps": _integers,
        "scales": _numbers,
    },
    "convolutional": {
        **dict.fromkeys(("filters", "size", "stride", "padding", "groups"), _integer),
        **dict.fromkeys(("batch_normalize", "pad", "binary", "xnor", "flipped"), _flag),
        "activation": _word,
    },
    "maxpool": dict.fromkeys(("size", "stride", "padding"), _integer),
    "batchnorm": {},
    # bits and quantizer are ours: the half-wave Gaussian quantiser of IFQ-Net.
    "activation": {"activation": _word, "bits": _integer, "quantizer": _word},
    "region": {
        **dict.fromkeys(("classes", "coords", "num", "max", "random"), _integer),
        **dict.fromkeys(("softmax", "bias_match", "rescore", "absolute", "log", "sqrt", "background"), _flag),
        **dict.fromkeys(("jitter", "thresh"), _number),
        **dict.fromkeys(("object_scale", "noobject_scale", "class_scale", "coord_scale"), _number),
        "anchors": _numbers,
    },
    "connected": {"output": _integer, "activation": _word, "batch_normalize": _flag, "binary": _flag},
    "dropout": {"probability": _number},
    "avgpool": {},
    "softmax": {"groups": _integer, "temperature": _number},
    "cost": {"type": _word, "scale": _number},
}

#: Keys of [net] that the training of a classifier follows, and nothing of a detector.
OF_CLASSIFIERS = frozenset({"angle", "aspect", "cutout", "label_smooth_eps", "max_crop", "max_shift", "min_crop"})

#: Keys that are read and checked, and change nothing in a detector.
WITHOUT_EFFECT: Mapping[str, frozenset[str]] = {
    "net": OF_CLASSIFIERS | {"B1", "B2", "eps", "time_steps"},
    "region": frozenset({"absolute", "background", "bias_match", "log", "max", "sqrt"}),
    "cost": frozenset({"scale", "type"}),
}

#: The other sections of Darknet (pjreddie's, AlexeyAB's and hank-ai's), in lower case; none has a form here.
UNSUPPORTED = frozenset(
    (
        "contrastive",
        "conv_lstm",
        "crnn",
        "crop",
        "deconv",
        "deconvolutional",
        "detection",
        "empty",
        "gaussian_yolo",
        "gru",
        "history",
        "iseg",
        "l2norm",
        "local",
        "local_avg",
        "local_avgpool",
        "logistic",
        "lrn",
        "lstm",
        "normalization",
        "reorg",
        "reorg3d",
        "rnn",
        "route",
        "sam",
        "scale_channels",
        "shortcut",
        "upsample",
        "yolo",
    )
)

_ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "conn": "connected",
    "soft": "softmax",
}


@dataclass(frozen=True)
class Option:
    """One ``key = value`` line: its value, already of the key's type, and its line number (from 1)."""

    value: Value
    line: int


@dataclass(frozen=True)
class Section:
    """One section of a cfg: its name (aliases resolved), the line of its header, its options by key."""

    name: str
    line: int
    options: Mapping[str, Option]
    path: str = "<cfg>"

    def integer(self, key: str, default: int) -> int:
        """The whole number under ``key``, or ``default``."""
        return int(self._value(key, default))  # type: ignore[arg-type]

    def flag(self, key: str, default: bool = False) -> bool:
        """The 0/1 under ``key`` as a bool, or ``default``."""
        return bool(self._value(key, default))

    def number(self, key: str, default: float) -> float:
        """The number under ``key``, or ``default``."""
        return float(self._value(key, default))  # type: ignore[arg-type]

    def word(self, key: str, default: str) -> str:
        """The word under ``key``, or ``default``."""
        return str(self._value(key, default))

    def integers(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The list of whole numbers under ``key``, or ``default``."""
        return tuple(int(value) for value in self._value(key, default))  # type: ignore[union-attr]

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """The list of numbers under ``key``, or ``default``."""
        return tuple(float(value) for value in self._value(key, default))  # type: ignore[union-attr]

    def error(self, problem: str, key: str | None = None, *, expected: object = None, found: object = None) -> CfgError:
        """An error that names this section, the key and the line."""
        option = self.options.get(key) if key else None
        line = option.line if option else self.line
        place = f"line {line}, [{self.name}]" + (f" {key}" if key else "")
        return CfgError(problem, path=self.path, place=place, expected=expected, found=found)

    def _value(self, key: str, default: Value) -> Value:
        if key not in KEYS[self.name]:
            raise KeyError(f"[{self.name}] has no key {key!r}")
        option = self.options.get(key)
        return default if option is None else option.value


def read_cfg_text(path: PathLike) -> str:
    """The text of a cfg file, at most ``MAX_BYTES`` of UTF-8.

    Raises:
        CfgError: the file is missing, unreadable, too large or not text.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CfgError("cannot read the cfg", path=path, found=error.strerror) from error
    except UnicodeDecodeError as error:
        raise CfgError("not a cfg: not UTF-8 text", path=path, place=f"byte {error.start}") from error


def parse_cfg(text: str, path: str = "<cfg>") -> tuple[Section, ...]:
    """Parse the text of a cfg.

    Args:
        text: the cfg.
        path: the name that errors give.

    Returns:
        The sections in order; the first is always ``[net]``.

    Raises:
        CfgError: an unknown section or key, a value of the wrong type, a key before the first section, a key given
            twice, a text without [net] at its head, or one beyond the limits.
    """
    if len(text.encode()) > MAX_BYTES:
        raise CfgError("the cfg is too large", path=path, expected=f"at most {MAX_BYTES} bytes")
    sections: list[Section] = []
    options: dict[str, Option] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _strip(raw)
        if line.startswith("["):
            options = {}
            sections.append(Section(_section_name(line, number, path), number, options, path))
        elif line:
            if not sections:
                raise CfgError("a key before the first section", path=path, place=f"line {number}", found=line[:60])
            key, option = _parse_option(line, number, sections[-1])
            options[key] = option
    if not sections:
        raise CfgError("no sections", path=path, expected="[net] first", found="an empty cfg")
    if sections[0].name != "net":
        raise sections[0].error("the cfg does not begin with [net]", expected="[net] first")
    if len(sections) > MAX_SECTIONS:
        raise sections[MAX_SECTIONS].error("too many sections", expected=f"at most {MAX_SECTIONS}")
    return tuple(sections)


def _strip(line: str) -> str:
    for mark in "#;":
        line = line.partition(mark)[0]
    return line.strip()


def _section_name(line: str, number: int, path: str) -> str:
    place = f"line {number}"
    if not line.endswith("]"):
        raise CfgError("a section header without its closing bracket", path=path, place=place, found=line[:60])
    name = line[1:-1].strip().lower()
    name = _ALIASES.get(name, name)
    if name in UNSUPPORTED:
        problem = f"[{name}] is a section of Darknet that is not supported here"
        raise CfgError(problem, path=path, place=place, expected="a chain of layers")
    if name not in KEYS:
        hint = did_you_mean(name, KEYS)
        raise CfgError(f"unknown section [{name[:60]}]{hint}", path=path, place=place)
    return name


def _parse_option(line: str, number: int, section: Section) -> tuple[str, Option]:
    place = f"line {number}, [{section.name}]"
    key, equals, text = (part.strip() for part in line.partition("="))
    if not equals:
        raise CfgError("not a key=value line", path=section.path, place=place, found=line[:60])
    known = KEYS[section.name]
    if key not in known:
        hint = did_you_mean(key, known)
        raise CfgError(f"unknown key {key[:60]!r}{hint}", path=section.path, place=place)
    if key in section.options:
        first = section.options[key].line
        raise CfgError(f"key {key!r} given twice", path=section.path, place=place, found=f"first on line {first}")
    try:
        value = known[key](text)
    except ValueError:
        raise CfgError(
            "bad value",
            path=section.path,
            place=f"{place} {key}",
            expected=_EXPECTED[known[key]],
            found=repr(text[:60]),
        ) from None
    return key, Option(value, number)


def keys_without_effect(sections: Sequence[Section]) -> list[str]:
    """The keys of a cfg that change nothing here: ``"[region] bias_match (line 99)"``."""
    used = OF_CLASSIFIERS if sections[-1].name in ("softmax", "cost") else frozenset()
    return [
        f"[{section.name}] {key} (line {option.line})"
        for section in sections
        for key, option in section.options.items()
        if key in WITHOUT_EFFECT.get(section.name, ()) and key not in used
    ]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``", did you mean 'filters'?"`` for a near miss, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""

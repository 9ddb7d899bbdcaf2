from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinier_yolo.darknet.cfg import (
    KEYS,
    MAX_BYTES,
    MAX_SECTIONS,
    UNSUPPORTED,
    WITHOUT_EFFECT,
    did_you_mean,
    keys_without_effect,
    parse_cfg,
    read_cfg_text,
)
from tinier_yolo.errors import CfgError


def error_of(text: str) -> str:
    with pytest.raises(CfgError) as caught:
        parse_cfg(text, "x.cfg")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sections_keep_their_lines_and_types() -> None:
    net, conv = parse_cfg(
        "# head\n[net]\nwidth = 416\nhue=.1 ; colour\n\n[convolutional]\nfilters=8\nactivation=leaky\n"
    )
    assert (net.name, net.line, net.options["width"].line) == ("net", 2, 3)
    assert net.integer("width", 0) == 416
    assert net.number("hue", 0) == 0.1
    assert conv.word("activation", "") == "leaky"
    assert conv.integer("size", 7) == 7


def test_lists_flags_and_aliases() -> None:
    net, conv = parse_cfg("[network]\nsteps=1, 2,3\nscales=.1,1e-2,1\n[conv]\nbinary=1\n")
    assert net.name == "net"
    assert net.integers("steps") == (1, 2, 3)
    assert net.numbers("scales") == (0.1, 0.01, 1.0)
    assert conv.flag("binary")
    assert not conv.flag("pad")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no sections", "[net] first"]),
        ("width=3\n[net]\n", ["line 1", "before the first section"]),
        ("[convolutional]\n", ["line 1", "begin with [net]"]),
        ("[net]\nwidht=3", ["line 2", "[net]", "'widht'", "did you mean 'width'"]),
        ("[net]\n[convolutionl]", ["line 2", "[convolutionl]", "did you mean 'convolutional'"]),
        ("[net]\nwidth=a", ["line 2", "[net] width", "a whole number", "'a'"]),
        ("[net]\nwidth=1.5", ["width", "a whole number"]),
        ("[net]\nhue=nan", ["hue", "finite"]),
        ("[net]\n[convolutional]\nbinary=2", ["binary", "0 or 1"]),
        ("[net]\nwidth=1\nwidth=2", ["line 3", "given twice", "line 2"]),
        ("[net]\nwidth", ["line 2", "key=value"]),
        ("[net", ["line 1", "bracket"]),
        ("[net]\n" + "[dropout]\n" * MAX_SECTIONS, ["too many sections", str(MAX_SECTIONS)]),
        ("#" * (MAX_BYTES + 1), ["too large", str(MAX_BYTES)]),
    ],
)
def test_errors_name_the_place(text: str, parts: list[str]) -> None:
    message = error_of(text)
    for part in ["x.cfg", *parts]:
        assert part in message


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(CfgError, match=r"none\.cfg: cannot read the cfg"):
        read_cfg_text(tmp_path / "none.cfg")
    (tmp_path / "b.cfg").write_bytes(b"[net]\n\xff\xfe")
    with pytest.raises(CfgError, match="byte 6"):
        read_cfg_text(tmp_path / "b.cfg")
    with pytest.raises(CfgError, match="cannot read the cfg"):
        read_cfg_text(tmp_path)


def test_did_you_mean() -> None:
    assert did_you_mean("filter", KEYS["convolutional"]) == ", did you mean 'filters'?"
    assert did_you_mean("zzzzzz", KEYS["convolutional"]) == ""


@given(st.text(alphabet="[]=#;.,-abnetwidh0123 \n\r\t\x00é", max_size=200))
def test_any_text_gives_sections_or_one_clear_line(text: str) -> None:
    try:
        sections = parse_cfg(text, "x.cfg")
    except CfgError as error:
        message = str(error)
    else:
        message = "x.cfg" if sections[0].name == "net" else "no [net]"
    assert message.startswith("x.cfg")
    assert "\n" not in message


@given(st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_they_were_written(whole: int, real: float) -> None:
    (net,) = parse_cfg(f"[net]\nwidth={whole}\nhue={real!r}\n")
    assert net.integer("width", 0) == whole
    assert net.number("hue", 0) == real


def test_a_classifier_follows_the_keys_of_its_crops() -> None:
    text = "[net]\nmin_crop=4\nangle=3\nB1=.9\n[{}]\n"
    assert keys_without_effect(parse_cfg(text.format("cost"))) == ["[net] B1 (line 4)"]
    assert len(keys_without_effect(parse_cfg(text.format("avgpool")))) == 3


def test_keys_without_effect_are_known_and_reported() -> None:
    for name, keys in WITHOUT_EFFECT.items():
        assert keys <= set(KEYS[name])
    sections = parse_cfg("[net]\nangle=3\nwidth=1\n[region]\nbias_match=1\n")
    assert keys_without_effect(sections) == ["[net] angle (line 2)", "[region] bias_match (line 5)"]


@pytest.mark.parametrize("name", ["route", "shortcut", "yolo", "Gaussian_yolo", "reorg", "upsample", "sam", " LSTM "])
def test_sections_of_darknet_without_a_form_here_are_named_as_such(name: str) -> None:
    with pytest.raises(CfgError) as caught:
        parse_cfg(f"[net]\n[{name}]\nlayers=-1\n", "x.cfg")
    expected = f"x.cfg: line 2: [{name.strip().lower()}] is a section of Darknet that is not supported here"
    expected += " (expected a chain of layers)"
    assert str(caught.value) == expected


def test_no_section_is_both_known_and_not_supported() -> None:
    assert not UNSUPPORTED & KEYS.keys()
    with pytest.raises(CfgError, match=r"unknown section \[dropuot\], did you mean 'dropout'\?"):
        parse_cfg("[net]\n[dropuot]\n")

"""The metadata of a file have types, lengths and characters; whatever else there is, is one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ifq.test_limits import file_of
from tests.networks import REGION, Block, ifq_cfg
from tinier_yolo.errors import ProgramError
from tinier_yolo.ifq import container
from tinier_yolo.ifq.metadata import MAX_ENTRIES, MAX_NAME, MAX_NUMBERS, MAX_TEXT, Facts, check_facts, read_facts, texts
from tinier_yolo.ifq.program import Program

GOOD = Facts(("face",), 14, {"weights": "x"}, {"channels": 3, "constant": [0, 1], "note": "y"})


def test_texts_and_facts_are_each_others_inverse() -> None:
    facts = GOOD._replace(class_names=("Gesicht \u00e4", "\u9854 \U0001f600"))
    assert read_facts(texts(facts)) == facts
    check_facts(facts, classes=2)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *((key, "[" * 200_000 + "]" * 200_000) for key in ("names", "provenance", "proof")),
        *((key, text) for key in ("names", "provenance", "proof") for text in ("", "null", "1", '"x"', "nan", "{")),
        ("names", "[]"),
        ("names", "[1,2]"),
        ("names", '["face","face"]'),
        ("names", '[""]'),
        ("names", '["a\\nb"]'),
        ("names", '["\\u001b[31m"]'),
        ("names", '["\\ud800"]'),
        ("names", json.dumps(["x" * (MAX_NAME + 1)])),
        ("names", '[["face"]]'),
        ("names", "{}"),
        ("provenance", "[]"),
        ("provenance", '"abc"'),
        ("provenance", '{"a":1}'),
        ("provenance", '{"a":{}}'),
        ("provenance", '{"\\u0000":"x"}'),
        ("provenance", json.dumps({"a": "x" * (MAX_TEXT + 1)})),
        ("provenance", json.dumps({str(i): "" for i in range(MAX_ENTRIES + 1)})),
        ("proof", "[]"),
        ("proof", '{"a":[[1]]}'),
        ("proof", '{"a":1.5}'),
        ("proof", '{"a":NaN}'),
        ("proof", '{"a":true}'),
        ("proof", json.dumps({"a": 1 << 63})),
        ("proof", '{"a":' + "1" * 5000 + "}"),
        ("proof", json.dumps({"a": [0] * (MAX_NUMBERS + 1)})),
        *(
            ("fraction_bits", text)
            for text in ("", "-1", "31", "1024", "-99999999999999999999999", "1_4", "\u0661", " 9")
        ),
    ],
)
def test_what_a_file_may_not_say(key: str, text: str) -> None:
    tensors, metadata = container.unpack(file_of(ifq_cfg([Block(3)], 4, 4) + REGION))
    data = container.pack(tensors, {**metadata, key: text})
    with pytest.raises(ProgramError, match=rf"^x\.ifq: {key}.*: not a program: bad metadata \(expected ") as caught:
        Program.from_bytes(data, "x.ifq")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ("face", "head")},
        {"class_names": ("a\tb",)},
        {"fraction_bits": 31},
        {"provenance": {"a": 1}},
        {"proof": {"a": 0.5}},
    ],
)
def test_no_program_is_made_whose_file_would_be_refused(change: dict[str, Any]) -> None:
    program = Program.from_bytes(file_of(ifq_cfg([Block(3)], 4, 4) + REGION))
    facts = program.facts._replace(**change)
    with pytest.raises(ProgramError, match="bad metadata"):
        Program(program.network, program.layers, program.output, *facts)


def test_headers_that_no_text_encoding_knows_are_refused() -> None:
    def said(header: dict[str, Any]) -> str:
        text = json.dumps(header).encode()
        with pytest.raises(ProgramError) as caught:
            container.unpack(len(text).to_bytes(8, "little") + text)
        return str(caught.value)

    base = {"format": "ifq", "version": "1"}
    for metadata in ({**base, "a": "\ud800"}, {**base, "\udfff": "a"}):
        assert "header cannot be read" in said({"__metadata__": metadata})
    for size in ((1 << 64) - 1, 1 << 63, 1 << 62):
        view = {"dtype": "U8", "shape": [0, size, size], "data_offsets": [0, 0]}
        assert "damaged" in said({"__metadata__": base, "a": view})
    assert "damaged" in said({"__metadata__": base, "a": {"dtype": "U8", "shape": [1] * 99, "data_offsets": [0, 0]}})

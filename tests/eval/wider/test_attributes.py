from __future__ import annotations

import numpy as np
import pytest

from tinier_yolo.datasets.wider import WiderImage
from tinier_yolo.errors import UsageError
from tinier_yolo.eval.wider.attributes import parse_attribute, wider_faces

ALL = (0.0, float("inf"))


def test_attributes_by_word_and_by_number() -> None:
    assert parse_attribute("blur=heavy") == ("blur", 2)
    assert parse_attribute("pose=1") == ("pose", 1)
    assert parse_attribute("event=Parade") == ("event", "Parade")


@pytest.mark.parametrize("text", ["blur", "blur=", "blur=3", "mood=1", "event=", "=1", "blur=²"])
def test_unknown_attributes(text: str) -> None:
    with pytest.raises(UsageError, match=r"unknown attribute \(expected blur=clear\|normal\|heavy; .*event=TEXT"):
        parse_attribute(text)


def test_faces_that_meet_all_conditions() -> None:
    attributes = np.zeros((4, 6), np.int8)
    attributes[:3, 0] = 2  # heavy blur
    attributes[0, 3] = 1  # invalid
    image = WiderImage("0--Parade/a", np.array([[0, 0, 5, 10]] * 3 + [[0, 0, 5, 40]], float), attributes)
    assert wider_faces(image, [], ALL).tolist() == [False, True, True, True]
    assert wider_faces(image, [("blur", 2)], ALL).tolist() == [False, True, True, False]
    assert wider_faces(image, [("blur", 2), ("pose", 1)], ALL).tolist() == [False] * 4
    assert wider_faces(image, [], (10, 40)).tolist() == [False, True, True, False]
    assert wider_faces(image, [("event", "parade")], ALL).any()
    assert not wider_faces(image, [("event", "Soccer")], ALL).any()

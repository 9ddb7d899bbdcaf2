from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests import naive
from tinier_yolo.eval.matching import FALSE_ALARM, IGNORED, match

FACES = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])
NONE = np.empty((0, 4))
CORNERS = st.integers(0, 8)
BOXES = st.tuples(CORNERS, CORNERS, st.integers(1, 8), st.integers(1, 8)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
ROWS = st.tuples(BOXES, st.sampled_from([0.25, 0.5, 0.75, 1.0]))
Box = tuple[int, int, int, int]


def naive_match(rows: list[tuple[Box, float]], faces: list[Box], ignored: list[Box]) -> list[int]:
    found, taken = [], set()
    for box, _ in sorted(rows, key=lambda row: (-row[1], row[0])):
        overlaps = [naive.iou(box, face) for face in faces]
        best = max(range(len(faces)), key=lambda index: overlaps[index], default=None)
        if best is not None and overlaps[best] >= 0.5:
            found.append(FALSE_ALARM if best in taken else best)
            taken.add(best)
        else:
            excused = any(naive.iou(box, other) >= 0.5 for other in ignored)
            found.append(IGNORED if excused else FALSE_ALARM)
    return found


@given(st.lists(ROWS, max_size=6), st.lists(BOXES, max_size=4), st.lists(BOXES, max_size=3), st.randoms())
def test_match_equals_the_naive_one_in_any_order(
    rows: list[tuple[Box, float]], faces: list[Box], ignored: list[Box], random: object
) -> None:
    random.shuffle(rows)  # type: ignore[attr-defined]
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float32)
    matches = match(boxes, scores, np.array(faces, float).reshape(-1, 4), np.array(ignored, float).reshape(-1, 4))
    assert matches.face.tolist() == naive_match(rows, faces, ignored)
    assert matches.scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_a_second_detection_of_a_face_is_a_false_alarm_even_on_an_ignored_box() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]])
    matches = match(boxes, np.array([0.5, 0.9, 0.7]), FACES, FACES[:1])
    assert matches.scores.tolist() == [0.9, 0.7, 0.5]
    assert matches.face.tolist() == [0, 1, FALSE_ALARM]
    assert matches.overlap.tolist() == [0.9, 1.0, 0.0]


def test_half_is_enough() -> None:
    assert match(np.array([[0.0, 0, 10, 5]]), np.array([1.0]), FACES, NONE).face.tolist() == [0]
    assert match(np.array([[0.0, 0, 10, 4.9]]), np.array([1.0]), FACES, NONE).face.tolist() == [FALSE_ALARM]
    assert match(np.array([[0.0, 0, 10, 5]]), np.array([1.0]), NONE, FACES).face.tolist() == [IGNORED]


def test_nothing_found_and_a_threshold() -> None:
    assert len(match(NONE, np.empty(0), FACES, FACES).face) == 0
    matches = match(FACES, np.array([0.25, 0.75]), FACES, NONE).above(0.5)
    assert (matches.face.tolist(), matches.scores.tolist(), matches.boxes.tolist()) == (
        [1],
        [0.75],
        [FACES[1].tolist()],
    )

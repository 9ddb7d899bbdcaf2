from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinier_yolo.detection.boxes import iou
from tinier_yolo.eval.error_analysis import Analysis, Judged, Miss, analyse
from tinier_yolo.eval.matching import is_hit, match

NONE = np.empty((0, 4))
Row = tuple[float, float, float, float, float]


def judged(
    faces: list[tuple[float, ...]],
    rows: list[Row],
    threshold: float = 0.5,
    ignored: np.ndarray = NONE,
    name: str = "a",
    scale: float = 1.0,
) -> Judged:
    table, truth = np.array(rows).reshape(-1, 5), np.array(faces, float).reshape(-1, 4)
    found = match(table[:, :4], table[:, 4], truth, ignored)
    overlap = iou(found.boxes, truth)
    kept = found.scores >= threshold
    return Judged(name, Path(name), scale, truth, found.boxes, found.scores, overlap, is_hit(overlap), found.face, kept)


def analysed(*images: Judged) -> Analysis:
    return analyse(images, 0.5, (416, 416))


def kinds(analysis: Analysis) -> tuple[list[str], list[str]]:
    return [error.kind.value for error in analysis.misses], [error.kind.value for error in analysis.false_alarms]


FACE = (0.0, 0.0, 100.0, 100.0)
GOOD, HALF, LOOSE, FAR = (0, 0, 100, 90), (0, 0, 100, 50), (0, 0, 100, 49), (0, 0, 100, 9)


@pytest.mark.parametrize(
    ("rows", "missed", "wrong"),
    [
        ([], ["no_response"], []),
        ([(*GOOD, 0.6)], [], []),
        ([(*HALF, 0.5)], [], []),
        ([(*GOOD, 0.4)], ["under_threshold"], []),
        ([(*LOOSE, 0.4)], ["under_threshold"], []),
        ([(*LOOSE, 0.6)], ["loose_box"], ["loose_box"]),
        # A box that is good enough but for its score says more than a loose one of a higher score.
        ([(*LOOSE, 0.6), (*GOOD, 0.4)], ["under_threshold"], ["loose_box"]),
        ([(*LOOSE, 0.6), (*LOOSE, 0.4)], ["loose_box"], ["loose_box"]),
        # Under a tenth of the face does not belong to it.
        ([(*FAR, 0.6)], ["no_response"], ["background"]),
        ([(0, 0, 100, 10, 0.6)], ["loose_box"], ["loose_box"]),
        ([(200, 0, 300, 100, 0.6)], ["no_response"], ["background"]),
        ([(*GOOD, 0.9), (*HALF, 0.6), (*LOOSE, 0.55)], [], ["duplicate", "loose_box"]),
    ],
)
def test_kinds(rows: list[Row], missed: list[str], wrong: list[str]) -> None:
    assert kinds(analysed(judged([FACE], rows))) == (missed, wrong)


def test_what_found_a_face_does_not_respond_to_its_neighbour() -> None:
    # The box overlaps the second face by a third; it found the first one.
    neighbour = (50.0, 0.0, 150.0, 100.0)
    assert kinds(analysed(judged([FACE, neighbour], [(*FACE, 0.9)]))) == (["no_response"], [])
    # Under the threshold it belongs to the face that it overlaps most.
    errors = analysed(judged([FACE, neighbour], [(*FACE, 0.4)])).misses
    assert [(error.kind, error.box) for error in errors] == [
        (Miss.NO_RESPONSE, neighbour),
        (Miss.UNDER_THRESHOLD, FACE),
    ]


def test_ignored_boxes_are_no_errors() -> None:
    excuse = np.array([[200.0, 0, 300, 100]])
    assert kinds(analysed(judged([], [(200, 0, 300, 100, 0.6)], ignored=excuse))) == ([], [])
    assert kinds(analysed(judged([], [(200, 0, 300, 100, 0.6)]))) == ([], ["background"])


def test_what_lies_on_an_ignored_box_is_no_response_to_a_face() -> None:
    excuse, row = np.array([[0.0, 80, 100, 120]]), (0.0, 80.0, 100.0, 120.0, 0.6)
    assert kinds(analysed(judged([FACE], [row], ignored=excuse))) == (["no_response"], [])
    assert kinds(analysed(judged([FACE], [row]))) == (["loose_box"], ["loose_box"])


def test_an_error_tells_of_both_boxes() -> None:
    miss = analysed(judged([FACE], [(*LOOSE, 0.6)], scale=0.5)).misses[0]
    alarm = analysed(judged([FACE], [(*LOOSE, 0.6)], scale=0.5)).false_alarms[0]
    assert (miss.box, miss.other, miss.height, miss.score, miss.overlap) == (FACE, LOOSE, 50, 0.6, 0.49)
    assert (alarm.box, alarm.other, alarm.height, alarm.score, alarm.overlap) == (LOOSE, FACE, 24.5, 0.6, 0.49)
    alone = analysed(judged([FACE], [(200, 0, 210, 10, 0.6)]))
    assert (alone.misses[0].score, alone.misses[0].other, alone.misses[0].overlap) == (None, None, 0)
    assert (alone.false_alarms[0].other, alone.false_alarms[0].overlap) == (None, 0)


def test_bands_and_order() -> None:
    faces = [(0.0, 0.0, 10.0, height) for height in (47.9, 48.0, 64.0, 96.0, 500.0)]
    images = [judged([face], [], name=str(index)) for index, face in enumerate(faces)]
    images.append(judged([(0.0, 0.0, 10.0, 70.0)], [(0, 0, 10, 70, 0.9)], name="found"))
    images.append(judged([FACE], [(*GOOD, 0.2)], name="weak"))
    analysis = analysed(*images)
    assert [(band.faces, len(band.misses)) for band in analysis.bands] == [(1, 1), (1, 1), (2, 1), (3, 3)]
    assert [error.image for error in analysis.misses] == ["4", "3", "2", "1", "0", "weak"]
    assert (analysis.images, analysis.faces) == (7, 7)


def test_summary_and_text() -> None:
    analysis = analysed(judged([FACE, (0.0, 200.0, 10.0, 220.0)], [(*LOOSE, 0.6), (300, 0, 310, 10, 0.7)]))
    summary = analysis.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["misses"]["by_height"][0] == {
        "height": "under 48", "faces": 1, "total": 1, "no_response": 1, "under_threshold": 0, "loose_box": 0,
    }  # fmt: skip
    assert summary["misses"]["total"] == 2
    assert summary["false_alarms"] == {"total": 2, "duplicate": 0, "loose_box": 1, "background": 1}
    assert [(row["number"], row["error"], row["kind"]) for row in summary["errors"]] == [
        (1, "miss", "no_response"),
        (2, "miss", "loose_box"),
        (3, "false_alarm", "loose_box"),
        (4, "false_alarm", "background"),
    ]
    assert analysis.text().splitlines() == [
        "errors at score 0.5000: 2 of 2 faces missed, 2 false alarms",
        "faces by height at 416x416 (pixels)   faces  missed  no response  under threshold  loose box",
        "                              under 48       1       1            1                0          0",
        "                                 48-64       0       0            0                0          0",
        "                                 64-96       0       0            0                0          0",
        "                               over 96       1       1            0                0          1",
        "                                   all       2       2            1                0          1",
        "false alarms: 0 duplicate, 1 loose box, 1 background",
    ]


def test_nothing_kept_and_nothing_there() -> None:
    assert kinds(analyse([judged([FACE], [(*GOOD, 0.9)], threshold=np.inf)], None, (416, 416)))[0] == [
        "under_threshold"
    ]
    empty = analyse([], None, (416, 416))
    assert (empty.faces, empty.misses, empty.summary()["threshold"]) == (0, (), None)
    assert empty.text().startswith("errors at no threshold: 0 of 0 faces missed")

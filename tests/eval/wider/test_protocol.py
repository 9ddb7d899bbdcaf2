from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.eval.wider import naive_wider
from tinier_yolo.datasets.wider import WiderImage, load_wider_split, load_wider_subset
from tinier_yolo.detection.formats.wider import read_wider
from tinier_yolo.eval.wider.protocol import SUBSETS, curves, pixel_iou

SIDES = st.integers(0, 12)
BOXES = st.tuples(SIDES, SIDES, SIDES, SIDES)
ROWS = st.tuples(SIDES, SIDES, SIDES, SIDES, st.sampled_from([-3.0, 0.0, 0.1, 0.25, 0.5, 1.0, 7.0]))
IMAGES = st.lists(
    st.tuples(st.lists(BOXES, max_size=4), st.sets(st.integers(0, 3)), st.lists(ROWS, max_size=5)),
    min_size=1,
    max_size=3,
)
Case = list[tuple[list[tuple[int, ...]], set[int], list[tuple[float, ...]]]]


def image(name: str, boxes: object) -> WiderImage:
    table = np.array(boxes, float).reshape(-1, 4)
    return WiderImage(name, table, np.zeros((len(table), 6), np.int8))


def parts(case: Case) -> tuple[list[WiderImage], dict[str, list[int]], dict[str, list[tuple[float, ...]]]]:
    images = [image(str(i), boxes) for i, (boxes, _, _) in enumerate(case)]
    counted = {str(i): sorted(n for n in chosen if n < len(boxes)) for i, (boxes, chosen, _) in enumerate(case)}
    return images, counted, {str(i): rows for i, (_, _, rows) in enumerate(case)}


def average_precision(images: list[WiderImage], counted: dict[str, list[int]], rows: dict[str, object]) -> float:
    subset = {name: np.array(indices, np.intp) for name, indices in counted.items()}
    tables = {name: np.array(found, float).reshape(-1, 5) for name, found in rows.items()}
    return curves(images, {"all": subset}, tables)["all"].average_precision


@settings(max_examples=200, deadline=None)
@given(IMAGES)
def test_ap_equals_the_toolbox(case: Case) -> None:
    images, counted, rows = parts(case)
    expected = naive_wider.average_precision({i.name: i.boxes.tolist() for i in images}, counted, rows, 1000)
    assert average_precision(images, counted, rows) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(IMAGES, st.randoms(use_true_random=False))
def test_no_order_changes_a_bit(case: Case, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    images, counted, rows = parts(case)
    shuffled = {
        name: rng.permutation(np.array(rows[name], float).reshape(-1, 5)) for name in rng.permutation(list(rows))
    }
    assert average_precision(images, counted, rows) == average_precision(
        [images[i] for i in rng.permutation(len(images))], counted, shuffled
    )


def test_both_end_pixels_count() -> None:
    assert pixel_iou(np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4], [10, 0, 0, 0]])).tolist() == [[0.5, 0.0]]
    assert pixel_iou(np.array([[0.0, 0, 0, 0]]), np.array([[0.0, 0, 0, 0]])).tolist() == [[1.0]]


def test_half_is_enough() -> None:
    faces = [image("a", [[0, 0, 9, 9]])]
    assert average_precision(faces, {"a": [0]}, {"a": [(0, 0, 9, 4, 1.0)]}) == 1
    assert average_precision(faces, {"a": [0]}, {"a": [(0, 0, 9, 3.9, 1.0)]}) == 0


def test_a_detection_on_a_face_that_does_not_count_is_neither_right_nor_wrong() -> None:
    faces = [image("a", [[0, 0, 9, 9], [50, 50, 9, 9]])]
    found = [(50, 50, 9, 9, 1.0), (0, 0, 9, 9, 0.5)]
    assert average_precision(faces, {"a": [0]}, {"a": found}) == 1
    assert average_precision(faces, {"a": [0, 1]}, {"a": found}) == 1
    assert average_precision(faces, {"a": [0]}, {"a": [(90, 90, 9, 9, 1.0), *found]}) == 0.5


def test_a_second_detection_of_a_face_is_a_false_alarm() -> None:
    faces = [image("a", [[0, 0, 9, 9], [50, 50, 9, 9]])]
    found = [(0, 0, 9, 9, 1.0), (0, 0, 9, 9, 0.9), (50, 50, 9, 9, 0.5)]
    assert average_precision(faces, {"a": [0, 1]}, {"a": found}) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_images_without_detections_or_annotations() -> None:
    images = [image("a", [[0, 0, 9, 9]]), image("b", []), image("c", [[0, 0, 9, 9]])]
    # The toolbox passes over images without annotations.
    found = {"a": [(0, 0, 9, 9, 0.5)], "b": [(0, 0, 9, 9, 1.0)], "elsewhere": [(0, 0, 1, 1, 99.0)]}
    assert average_precision(images, {"a": [0], "c": [0]}, found) == 0.5
    assert average_precision(images, {"a": [0], "c": [0]}, {}) == 0


@pytest.mark.shared
def test_the_reference_evaluation_is_reproduced(shared: Path, tmp_path: Path) -> None:
    wider = shared / "data/wider"
    with tarfile.open(wider / "synthetic_detections.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    rows = {record.name: record.rows for record in read_wider(next(tmp_path.iterdir()))}
    images = load_wider_split(wider / "ground_truth/wider_face_val.mat")
    subsets = {name: load_wider_subset(wider / f"ground_truth/wider_{name}_val.mat") for name in SUBSETS}
    expected = json.loads((wider / "expected_ap.json").read_text())
    found = curves(images, subsets, rows)
    for name in SUBSETS:
        assert found[name].average_precision == pytest.approx(expected[name], abs=1e-9)
    rng = np.random.default_rng(3)
    shuffled = {name: rng.permutation(rows[name]) for name in rng.permutation(list(rows))}
    again = curves([images[i] for i in rng.permutation(len(images))], subsets, shuffled)
    assert all(np.array_equal(found[name].precision, again[name].precision) for name in SUBSETS)

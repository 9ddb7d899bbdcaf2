from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from tests.eval.fddb import naive_fddb
from tinier_yolo.datasets.fddb import FddbImage, load_fddb
from tinier_yolo.detection.formats.fddb import read_fddb
from tinier_yolo.errors import DetectionsError
from tinier_yolo.eval.fddb.protocol import curve, find_faces
from tinier_yolo.eval.roc import Roc, write_continuous, write_discrete

SIZE = (24, 20)
SCORES = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 30.0])
PLACES = st.integers(-6, 26)
ROWS = st.tuples(PLACES, PLACES, st.integers(0, 14), st.integers(0, 14), SCORES)
ELLIPSES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.floats(-3, 3), PLACES, PLACES)
IMAGES = st.lists(st.tuples(st.lists(ROWS, max_size=3), st.lists(ELLIPSES, max_size=3)), min_size=1, max_size=3)
Pairs = list[tuple[list[tuple[float, ...]], list[tuple[float, ...]]]]


def run(pairs: Pairs) -> Roc:
    images = [FddbImage(str(i), np.array(ellipses, float).reshape(-1, 5)) for i, (_, ellipses) in enumerate(pairs)]
    rows = {str(i): np.array(found, float).reshape(-1, 5) for i, (found, _) in enumerate(pairs)}
    return curve(images, rows, {image.name: SIZE for image in images})


@settings(max_examples=150, deadline=None)
@given(IMAGES)
def test_curve_equals_the_naive_one(pairs: Pairs) -> None:
    roc = run(pairs)
    expected = naive_fddb.curve({str(i): (*pair, SIZE) for i, pair in enumerate(pairs)})
    assert roc.scores.tolist() == [point[0] for point in expected]
    assert (roc.true_positives + roc.false_positives).tolist() == [point[1] for point in expected]
    assert all(count in point[2] for count, point in zip(roc.true_positives, expected, strict=True))
    assert_allclose(roc.similarity, [point[3] for point in expected], atol=1e-12)
    assert (roc.faces, roc.images) == (sum(len(ellipses) for _, ellipses in pairs), len(pairs))


def equal(a: Roc, b: Roc) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("scores", "true_positives", "false_positives", "similarity", "faces", "images")
    )


@settings(max_examples=100, deadline=None)
@given(IMAGES, st.randoms(use_true_random=False))
def test_no_order_changes_a_bit(pairs: Pairs, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    images = [FddbImage(str(i), np.array(ellipses, float).reshape(-1, 5)) for i, (_, ellipses) in enumerate(pairs)]
    rows = {str(i): np.array(found, float).reshape(-1, 5) for i, (found, _) in enumerate(pairs)}
    sizes = {image.name: SIZE for image in images}
    shuffled = [FddbImage(images[i].name, rng.permutation(images[i].ellipses)) for i in rng.permutation(len(images))]
    rows_too = {str(i): rng.permutation(rows[str(i)]) for i in rng.permutation(len(images))}
    assert equal(curve(images, rows, sizes), curve(shuffled, rows_too, sizes))


def test_half_is_not_enough() -> None:
    # An ellipse of radii 2 and 0 is a line of 5 pixels; boxes of one row cover 5 of 10 and 5 of 9 pixels.
    face = (2.0, 0.5, 0.0, 12.0, 10.0)
    assert naive_fddb.ellipse_mask(face, SIZE).sum() == 5
    assert run([([(10, 10, 9, 0, 1)], [face])]).true_positives.tolist() == [0]
    assert run([([(10, 10, 8, 0, 1)], [face])]).true_positives.tolist() == [1]


def test_which_face_each_detection_finds() -> None:
    # Half is not enough here either; the third detection touches nothing.
    assert find_faces(np.array([[0.0, 0.6], [0.5, 0.0], [0.0, 0.0], [0.0, 0.59]])).tolist() == [1, -1, -1, -1]
    assert find_faces(np.array([[0.6, 0.55], [0.55, 0.1]])).tolist() == [1, 0]
    assert find_faces(np.empty((2, 0))).tolist() == [-1, -1]
    assert find_faces(np.empty((0, 3))).tolist() == []


def test_the_assignment_maximises_the_sum_not_each_pair() -> None:
    # The first box has IoU 0.643 and 0.551 with the faces, the second one 0.551 and 0.211: greedily the first box
    # takes the left face and the second finds none.
    left, right = (4.0, 4.0, 0.0, 7.0, 8.0), (4.0, 4.0, 0.0, 10.0, 8.0)
    roc = run([([(4, 4, 8, 8, 0.9), (1, 4, 8, 8, 0.8)], [left, right])])
    assert roc.true_positives.tolist() == [1, 2]
    assert roc.false_positives.tolist() == [0, 0]


def test_assignments_of_equal_sums_are_settled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2/3 + 1/3 and 1/2 + 1/2: one true positive or none.
    table = {1.0: [2 / 3, 0.5], 2.0: [0.5, 1 / 3]}
    monkeypatch.setattr(
        "tinier_yolo.eval.fddb.protocol.overlaps", lambda boxes, *_: np.array([table[x] for x in boxes[:, 0]])
    )
    faces = [(4.0, 4.0, 0.0, 7.0, 8.0), (4.0, 4.0, 0.0, 10.0, 8.0)]
    rows = [(1, 0, 5, 5, 1), (2, 0, 5, 5, 1)]
    assert equal(run([(rows, faces)]), run([(rows[::-1], faces)]))


def test_detections_of_other_images_are_left_aside_and_sizes_are_needed() -> None:
    images = [FddbImage("a", np.array([[4.0, 4, 0, 6, 8]]))]
    roc = curve(images, {"b": np.ones((1, 5))}, {})
    assert (roc.images, roc.faces, len(roc.scores)) == (1, 1, 0)
    with pytest.raises(DetectionsError, match="a: the image's size is not known"):
        curve(images, {"a": np.ones((1, 5))}, {})


Published = tuple[list[FddbImage], dict[str, NDArray[np.float64]], dict[str, tuple[int, int]]]


@pytest.fixture(scope="module", params=["MTCNN", "jfda"])
def published(request: pytest.FixtureRequest, shared: Path) -> tuple[Path, Published]:
    data = shared / "data/fddb"
    sizes = {name: tuple(size) for name, size in json.loads((data / "image_sizes.json").read_text()).items()}
    folder = data / "published" / request.param
    rows = {record.name: record.rows for record in read_fddb(folder)}
    images = [image for fold in load_fddb(data / "FDDB-folds") for image in fold.images]
    return folder, (images, rows, sizes)


@pytest.mark.shared
def test_published_curves_are_reproduced_to_the_byte(published: tuple[Path, Published], tmp_path: Path) -> None:
    folder, inputs = published
    roc = curve(*inputs)
    write_discrete(tmp_path / "disc", roc)
    write_continuous(tmp_path / "cont", roc)
    assert (tmp_path / "disc").read_text() == (folder / f"{folder.name}DiscROC.txt").read_text()
    assert (tmp_path / "cont").read_text() == (folder / f"{folder.name}ContROC.txt").read_text()
    assert roc.budget == 284
    assert f"{roc.rate_at():.6f}" == {"MTCNN": "0.896345", "jfda": "0.899826"}[folder.name]
    official = np.loadtxt(folder / f"{folder.name}DiscROC.txt")
    for count in np.unique(official[:, 1]):
        assert abs(roc.rate_at(int(count)) - official[official[:, 1] <= count, 0].max()) < 1e-6


@pytest.mark.shared
def test_published_curves_survive_a_shuffle(published: tuple[Path, Published]) -> None:
    images, rows, sizes = published[1]
    rng = np.random.default_rng(7)
    names = rng.permutation(list(rows))
    shuffled = curve(
        [images[i] for i in rng.permutation(len(images))], {name: rng.permutation(rows[name]) for name in names}, sizes
    )
    assert equal(curve(images, rows, sizes), shuffled)
    assert_array_equal(np.diff(shuffled.scores) < 0, True)

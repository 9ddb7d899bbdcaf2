from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.eval.fakes import BrightDetector, draw
from tests.eval.fddb.test_protocol import IMAGES, SIZE, Pairs, run
from tinier_yolo.datasets.fddb import FddbImage
from tinier_yolo.defaults import NETWORK_SIZE
from tinier_yolo.eval.error_analysis import ErrorOptions, analyse
from tinier_yolo.eval.fddb.benchmark import Detected, evaluate_detector, evaluate_files, score
from tinier_yolo.eval.fddb.dataset import FddbSet, load_detections, load_sizes
from tinier_yolo.eval.fddb.errors import judge, judge_all
from tinier_yolo.eval.fddb.overlap import ellipse_boxes, ellipse_mask
from tinier_yolo.eval.report import Source
from tinier_yolo.eval.run import Subject


@settings(max_examples=100, deadline=None)
@given(IMAGES)
def test_counts_are_those_of_the_curve(pairs: Pairs) -> None:
    roc = run(pairs)
    for threshold, found, wrong in zip(roc.scores, roc.true_positives, roc.false_positives, strict=True):
        images = [
            judge(
                FddbImage(str(index), np.array(ellipses, float).reshape(-1, 5)),
                Path(str(index)),
                np.array(rows, float).reshape(-1, 5),
                SIZE,
                threshold,
                1.0,
            )
            for index, (rows, ellipses) in enumerate(pairs)
        ]
        analysis = analyse(images, threshold, (416, 416))
        assert (analysis.faces - len(analysis.misses), len(analysis.false_alarms)) == (found, wrong)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, np.pi / 2])
def test_the_box_of_an_ellipse_is_that_of_its_pixels(angle: float) -> None:
    ellipse = np.array([40.0, 25.0, angle, 60.0, 55.0])
    mask, corner = ellipse_mask(ellipse, (120, 110))
    rows, columns = np.nonzero(mask)
    pixels = [columns.min() + corner[0], rows.min() + corner[1], columns.max() + corner[0], rows.max() + corner[1]]
    assert ellipse_boxes(ellipse[None])[0] == pytest.approx(pixels, abs=1.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folds").mkdir()
    # Circles of radius 10 in pictures of 104x52: a fourth of the network's size.
    text = "d/a\n2\n10 10 0 20 20 1\n10 10 0 60 20 1\nd/b\n1\n10 10 0 20 20 1\nd/c\n1\n15 15 0 20 20 1\n"
    (tmp_path / "folds/FDDB-fold-01-ellipseList.txt").write_text(text)
    areas = {"a": [(10, 10, 30, 30, 250), (50, 10, 70, 16, 230)], "b": [(60, 20, 80, 40, 100)], "c": []}
    for name, rectangles in areas.items():
        draw(tmp_path / f"images/d/{name}.jpg", (104, 52), *rectangles)
    return tmp_path


def test_a_run_and_its_files_tell_the_same_errors(folder: Path) -> None:
    fddb, options = FddbSet.load(folder / "folds"), ErrorOptions((NETWORK_SIZE, NETWORK_SIZE))
    subject = Subject("bright", BrightDetector)
    result = evaluate_detector(fddb, subject, folder / "images", folder / "out", errors=options)
    assert result.errors is not None
    # No false positive is allowed, so that nothing but the first detection is kept.
    assert result.errors.threshold == pytest.approx(250 / 255)
    assert [(error.image, error.kind.value) for error in result.errors.misses] == [
        ("d/c", "no_response"),
        ("d/b", "no_response"),
        ("d/a", "under_threshold"),
    ]
    assert [error.height for error in result.errors.misses] == pytest.approx([120, 80, 80])
    assert [band.faces for band in result.errors.bands] == [0, 0, 3, 1]
    assert (folder / "out/errors.png").is_file()
    assert result.text().splitlines()[1] == "errors at score 0.9804: 3 of 4 faces missed, 0 false alarms"
    assert "errors" not in result.summary()
    again = evaluate_files(fddb, folder / "out", folder / "again", name="files", root=folder / "images", errors=options)
    assert again.errors == result.errors


def test_images_that_cannot_be_read_are_left_out(folder: Path) -> None:
    (folder / "images/d/c.jpg").unlink()
    fddb, options = FddbSet.load(folder / "folds"), ErrorOptions((104, 52))
    result = evaluate_detector(fddb, Subject("b", BrightDetector), folder / "images", folder / "out", errors=options)
    assert result.errors is not None
    assert (result.errors.images, result.errors.faces, result.roc.faces) == (2, 3, 4)


@pytest.mark.shared
def test_errors_of_published_detections_sum_to_the_official_figures(shared: Path) -> None:
    data = shared / "data/fddb"
    fddb, sizes = FddbSet.load(data / "FDDB-folds"), load_sizes(data / "image_sizes.json")
    rows = load_detections(data / "published/jfda", fddb)
    roc = score(fddb, Detected(rows, sizes, Source("jfda"))).roc
    judged = judge_all(fddb, fddb.files("none"), rows, sizes, roc.threshold, ErrorOptions((416, 416)))
    analysis = analyse(judged, roc.threshold, (416, 416))
    point = roc.operating_point()
    assert point is not None
    assert (analysis.images, analysis.faces) == (2845, 5171)
    assert len(analysis.misses) == 5171 - roc.true_positives[point]
    assert len(analysis.false_alarms) == roc.false_positives[point]

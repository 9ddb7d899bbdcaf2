from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.eval.fakes import BrightDetector, draw
from tinier_yolo.datasets.labels import Sample
from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.eval.figure import FigureOptions
from tinier_yolo.eval.labelled.benchmark import LabelledImage, evaluate_detector, load_set
from tinier_yolo.eval.run import Subject

# Pictures of 80x60. Two faces of 10 and of 40 pixels; a face and an ignored one; a scene without faces.
LABELS = {"a": [(10, 10, 20, 20), (30, 10, 70, 50)], "b": [(10, 10, 30, 30)], "scene": []}
IGNORED = {"b": [(50, 10, 60, 20)]}
AREAS = {
    "a": [(10, 10, 20, 20, 250), (30, 10, 70, 50, 200)],
    "b": [(50, 10, 60, 20, 240), (12, 11, 30, 30, 150)],
    "scene": [(5, 5, 20, 20, 180)],
}


def label(boxes: list[tuple[int, int, int, int]]) -> str:
    rows = [((x1 + x2) / 160, (y1 + y2) / 120, (x2 - x1) / 80, (y2 - y1) / 60) for x1, y1, x2, y2 in boxes]
    return "".join("0 " + " ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder, labels in {"labels": LABELS, "ignore": IGNORED}.items():
        (tmp_path / folder).mkdir()
        for name, boxes in labels.items():
            (tmp_path / folder / f"{name}.txt").write_text(label(boxes))
    for name, areas in AREAS.items():
        draw(tmp_path / "images" / f"{name}.jpg", (80, 60), *areas)
    (tmp_path / "val.txt").write_text("".join(f"images/{name}.jpg\n" for name in LABELS))
    (tmp_path / "faces.data").write_text("classes = 1\nvalid = val.txt\n")
    return tmp_path / "faces.data"


def test_a_run_writes_summary_and_curves(data: Path) -> None:
    out = data.parent / "out"
    subject = Subject("bright", BrightDetector, details={"model_bytes": 7})
    summary = evaluate_detector(load_set(data), subject, out, network_size=(160, 160)).summary()
    summary.pop("ms_per_image")
    # By score: found, ignored, found, false alarm, found.
    assert summary == {
        "benchmark": "YOLO-labelled set",
        "ap": pytest.approx(2 / 3 + 1 / 3 * 3 / 4, abs=1e-6),
        "images": 3,
        "faces": 3,
        "false_positives": 0,
        "rate": pytest.approx(2 / 3, abs=1e-6),
        "threshold": pytest.approx(200 / 255),
        "end": {"rate": 1.0, "false_positives": 1},
        "by_height": [
            {"height": "under 16", "faces": 0, "ap": None, "rate": None},
            {"height": "16-32", "faces": 1, "ap": 1.0, "rate": 1.0},
            # At twice the size: the face of 20 pixels, and before it the false alarm of 15, which lies below the range.
            {"height": "32-64", "faces": 1, "ap": 1.0, "rate": 0.0},
            {"height": "over 64", "faces": 1, "ap": 1.0, "rate": 1.0},
        ],
        "network_size": [160, 160],
        "ignored": 1,
        "name": "bright",
        "model_bytes": 7,
        "missing_images": [],
    }
    assert json.loads((out / "summary.json").read_text())["faces"] == 3
    assert (out / "DiscROC.txt").read_text().splitlines()[0] == "1 1 0.588235"
    assert (out / "pr.csv").read_text().splitlines()[:2] == ["threshold,recall,precision", "0.980392,0.333333,1"]
    assert {path.name for path in out.iterdir()} == {"DiscROC.txt", "pr.csv", "pr.png", "roc.png", "summary.json"}


def test_errors(data: Path) -> None:
    out, subject = data.parent / "out", Subject("bright", BrightDetector)
    result = evaluate_detector(load_set(data), subject, out, network_size=(160, 160), errors=True)
    assert result.errors is not None
    # At the operating point the detection of 200 is the last one kept; the ignored box is no false alarm.
    assert [(e.image, e.kind.value, e.height) for e in result.errors.misses] == [
        ("images/b.jpg", "under_threshold", pytest.approx(40, abs=1e-3))
    ]
    assert (result.errors.false_alarms, result.errors.faces) == ((), 3)
    assert {"errors.json", "errors.png"} < {path.name for path in out.iterdir()}
    assert "errors at score 0.7843: 1 of 3 faces missed, 0 false alarms" in result.text()


def test_an_image_that_cannot_be_read_counts_as_missed(data: Path) -> None:
    samples = load_set(data)
    (data.parent / "images/a.jpg").write_bytes(b"text")
    summary = evaluate_detector(
        samples, Subject("b", BrightDetector), data.parent / "out", network_size=(160, 160)
    ).summary()
    assert summary["missing_images"] == ["images/a.jpg"]
    assert (summary["faces"], summary["end"]["rate"]) == (3, 0.333333)
    assert summary["ap"] == 0.166667  # one of three faces, after a false alarm


def test_heights_follow_the_resize_policy(data: Path) -> None:
    samples, subject = load_set(data), Subject("b", BrightDetector)
    # Heights are 10, 20 and 40. Stretched to 80x240 they are four times that; a letterbox there changes nothing.
    sizes = (((160, 60), False, [1, 1, 1, 0]), ((80, 240), False, [0, 0, 1, 2]), ((80, 240), True, [1, 1, 1, 0]))
    for size, letter_box, faces in sizes:
        summary = evaluate_detector(
            samples, subject, data.parent / "out", network_size=size, letter_box=letter_box
        ).summary()
        assert [row["faces"] for row in summary["by_height"]] == faces


def test_the_figure(data: Path) -> None:
    out, samples, subject = data.parent / "out", load_set(data), Subject("b", BrightDetector)

    def names(options: FigureOptions) -> list[str]:
        result = evaluate_detector(samples, subject, out, network_size=(160, 160), figure=options)
        return list(result.figure)

    assert names(FigureOptions(count=5)) == ["images/a.jpg", "images/b.jpg"]
    assert names(FigureOptions(count=5, heights=(0, 16))) == ["images/a.jpg"]
    assert names(FigureOptions(names=("images/scene.jpg",), pictures=True)) == ["images/scene.jpg"]
    assert (out / "pictures/images/a.jpg").is_file()


def test_a_figure_that_cannot_be_drawn_loses_no_results(data: Path) -> None:
    out, samples, subject = data.parent / "out", load_set(data), Subject("b", BrightDetector)

    def run(options: FigureOptions) -> None:
        evaluate_detector(samples, subject, out, network_size=(160, 160), figure=options)

    with pytest.raises(UsageError, match="no such image in the set"):
        run(FigureOptions(names=("typo",)))
    assert not out.exists()  # told before the run
    with pytest.raises(UsageError, match="no image has a face of that kind"):
        run(FigureOptions(count=1, heights=(5000, 6000)))
    assert (out / "summary.json").is_file()


def test_boxes_in_pixels() -> None:
    boxes = np.array([[0.5, 0.5, 0.25, 0.5]], np.float32)
    image = LabelledImage.of(Sample(Path("x"), boxes, np.zeros(1, np.int32), boxes[:0]), (80, 60))
    assert_allclose(image.faces, [[30, 15, 50, 45]])
    assert image.ignored.shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "listed", "told"),
    [
        ("classes = 1\n", "", "no list to evaluate"),
        ("classes = 1\nvalid = val.txt\n", "images/a.jpg\nimages/a.jpg\n", "an image twice in the list"),
        ("classes = 1\nvalid = val.txt\n", "\n", "an image list without images"),
        ("classes = 2\nvalid = val.txt\nnames = two.names\n", "images/a.jpg\n", "not a set of faces alone"),
    ],
)
def test_bad_sets(data: Path, text: str, listed: str, told: str) -> None:
    data.write_text(text)
    (data.parent / "two.names").write_text("a\nb\n")
    (data.parent / "val.txt").write_text(listed)
    with pytest.raises(DataError, match=told):
        load_set(data)

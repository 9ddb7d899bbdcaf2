from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.eval.fakes import BrightDetector, draw
from tests.eval.wider.wider_files import write_ground_truth
from tinier_yolo.datasets.wider import WiderImage
from tinier_yolo.errors import DataError, DetectionsError, UsageError
from tinier_yolo.eval.figure import FigureOptions
from tinier_yolo.eval.run import Subject
from tinier_yolo.eval.wider.attributes import Condition
from tinier_yolo.eval.wider.benchmark import Drawing, WiderSet, evaluate_detector, evaluate_files, load_detections
from tinier_yolo.media.images import read_image

ATTRIBUTES = np.zeros((2, 6), np.int8)
BLURRED = ATTRIBUTES + np.array([[2, 0, 0, 0, 0, 0], [2, 0, 0, 1, 0, 0]], np.int8)  # the second one is invalid
IMAGES = (
    WiderImage("0--Parade/a", np.array([[10.0, 10, 20, 20], [50, 10, 8, 8]]), ATTRIBUTES),
    WiderImage("0--Parade/b.t", np.array([[10.0, 10, 20, 20], [50, 10, 8, 8]]), BLURRED),
    WiderImage("1--Handshaking/c", np.array([[5.0, 5, 40, 40]]), ATTRIBUTES[:1]),
)
EASY, MEDIUM = {"0--Parade/a": [0], "1--Handshaking/c": [0]}, {"0--Parade/a": [0, 1], "1--Handshaking/c": [0]}
HARD = {"0--Parade/a": [0, 1], "0--Parade/b.t": [0, 1], "1--Handshaking/c": [0]}
AREAS = {
    "0--Parade/a": [(10, 10, 30, 30, 250), (50, 10, 58, 18, 200)],
    "0--Parade/b.t": [(10, 10, 30, 30, 240), (70, 50, 80, 60, 230)],
    "1--Handshaking/c": [],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_ground_truth(tmp_path / "truth", IMAGES, {"easy": EASY, "medium": MEDIUM, "hard": HARD})
    for name, areas in AREAS.items():
        draw(tmp_path / "images" / f"{name}.jpg", (90, 80), *areas)
    return tmp_path


def test_a_run_writes_detections_curves_and_summary(folder: Path) -> None:
    subject = Subject("bright", BrightDetector, details={"model_bytes": 7})
    summary = evaluate_detector(WiderSet.load(folder / "truth"), subject, folder / "images", folder / "out").summary()
    summary.pop("ms_per_image")
    # Easy: a face, one that does not count, a false alarm, a face that does not count; 1 of 2 faces at precision 1.
    # Hard: 2 of 5 at precision 1, then 3 of 5 at 3/4.
    assert summary == {
        "benchmark": "WIDER FACE validation",
        "easy": 0.5,
        "medium": pytest.approx(1 / 3 + 1 / 3 * 2 / 3, abs=1e-6),
        "hard": pytest.approx(0.4 + 0.2 * 0.75),
        "images": 3,
        "faces": {"easy": 2, "medium": 3, "hard": 5},
        "detections": 4,
        "name": "bright",
        "model_bytes": 7,
        "missing_images": [],
    }
    out = folder / "out"
    assert (out / "detections/0--Parade/b.t.txt").read_text().startswith("b.t\n2\n10.000 10.000 20.000 20.000 0.94")
    rows = (out / "pr_hard.csv").read_text().splitlines()
    assert rows[0] == "threshold,recall,precision"
    assert rows[1] == "0.999,0.2,1"
    assert rows[-1] == "0,0.6,0.75"
    assert len(rows) == 1001
    assert read_image(out / "pr.png").size


def test_written_detections_score_the_same_without_images(folder: Path) -> None:
    wider = WiderSet.load(folder / "truth")
    first = evaluate_detector(wider, Subject("bright", BrightDetector), folder / "images", folder / "out").summary()
    (folder / "out/detections/1--Handshaking/c.txt").unlink()
    second = evaluate_files(wider, folder / "out/detections", folder / "again", name="files").summary()
    assert [second[name] for name in ("easy", "medium", "hard")] == [first[name] for name in ("easy", "medium", "hard")]
    assert second["missing_images"] == ["1--Handshaking/c"]


def test_missing_images_are_named(folder: Path) -> None:
    (folder / "images/0--Parade/a.jpg").unlink()
    wider = WiderSet.load(folder / "truth")
    summary = evaluate_detector(wider, Subject("bright", BrightDetector), folder / "images", folder / "out").summary()
    assert summary["missing_images"] == ["0--Parade/a"]
    assert summary["easy"] == 0


def test_the_qualitative_figure(folder: Path) -> None:
    wider, subject = WiderSet.load(folder / "truth"), Subject("bright", BrightDetector)

    def names(options: FigureOptions, *conditions: Condition) -> list[str]:
        drawing = Drawing(options, folder / "images", conditions)
        summary = evaluate_detector(wider, subject, folder / "images", folder / "out", drawing=drawing).summary()
        figure: list[str] = summary["figure"]
        return figure

    assert names(FigureOptions(count=9)) == [image.name for image in IMAGES]
    assert read_image(folder / "out/figure.png").shape[1] == 2400
    assert names(FigureOptions(count=9), ("blur", 2)) == ["0--Parade/b.t"]
    # What is missed there is invalid.
    assert not (read_image(folder / "out/figure.png")[:-90] == (240, 228, 66)).all(axis=2).any()
    assert names(FigureOptions(count=9, heights=(30, 99))) == ["1--Handshaking/c"]
    assert names(FigureOptions(names=("1--Handshaking/c", "0--Parade/a"))) == ["1--Handshaking/c", "0--Parade/a"]
    with pytest.raises(UsageError, match="no such image in the set"):
        names(FigureOptions(names=("x",)))
    with pytest.raises(UsageError, match="no image has a face of that kind"):
        names(FigureOptions(count=1, heights=(500, 600)))


def test_one_picture_an_image(folder: Path) -> None:
    wider = WiderSet.load(folder / "truth")
    evaluate_detector(
        wider,
        Subject("b", BrightDetector),
        folder / "images",
        folder / "out",
        drawing=Drawing(FigureOptions(pictures=True), folder / "images"),
    )
    written = sorted(
        path.relative_to(folder / "out/pictures").as_posix() for path in folder.glob("out/pictures/*/*.jpg")
    )
    assert written == [f"{image.name}.jpg" for image in IMAGES]
    assert not (folder / "out/figure.png").exists()


def test_detections_of_another_run_in_the_folder_do_not_count(folder: Path) -> None:
    (folder / "out/detections/9--Other").mkdir(parents=True)
    (folder / "out/detections/9--Other/x.txt").write_text("x\n0\n")
    wider = WiderSet.load(folder / "truth")
    result = evaluate_detector(wider, Subject("bright", BrightDetector), folder / "images", folder / "out")
    assert result.detections == 4


def test_bad_input(folder: Path) -> None:
    wider = WiderSet.load(folder / "truth")
    (folder / "found/0--Parade").mkdir(parents=True)
    (folder / "found/0--Parade/x.txt").write_text("x\n0\n")
    with pytest.raises(DetectionsError, match=r"x\.txt: detections for an unknown image"):
        load_detections(folder / "found", wider)
    (folder / "truth/wider_hard_val.mat").unlink()
    with pytest.raises(DataError, match=r"wider_hard_val\.mat: cannot read the \.mat file"):
        WiderSet.load(folder / "truth")

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.eval.fakes import BrightDetector, draw
from tinier_yolo.errors import DataError, DetectionsError, MediaError, UsageError
from tinier_yolo.eval.fddb.benchmark import FddbResult, evaluate_detector, evaluate_files
from tinier_yolo.eval.fddb.dataset import FddbSet, load_detections, load_sizes
from tinier_yolo.eval.run import Subject

# Four images with five faces; circles of radius 10.
FOLDS = {
    "01": "d/a\n2\n10 10 0 20 20 1\n10 10 0 60 20 1\nd/b\n1\n10 10 0 20 20 1\n",
    "02": "d/c\n0\nd/d\n2\n10 10 0 20 20 1\n10 10 0 60 60 1\n",
}
AREAS = {
    "d/a": [(10, 10, 30, 30, 250), (50, 10, 70, 30, 200)],
    "d/b": [(40, 40, 60, 60, 150)],
    "d/c": [],
    "d/d": [(10, 10, 30, 30, 100)],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folds").mkdir()
    for number, text in FOLDS.items():
        (tmp_path / "folds" / f"FDDB-fold-{number}-ellipseList.txt").write_text(text)
    for name, areas in AREAS.items():
        draw(tmp_path / "images" / f"{name}.jpg", (90, 80), *areas)
    (tmp_path / "sizes.json").write_text(json.dumps({name: [90, 80] for name in AREAS}))
    return tmp_path


def detect(folder: Path, out: str = "out", **options: Any) -> FddbResult:
    subject = Subject("bright", BrightDetector, details={"model_bytes": 7})
    return evaluate_detector(FddbSet.load(folder / "folds"), subject, folder / "images", folder / out, **options)


def test_a_run_writes_curves_folds_plot_and_summary(folder: Path) -> None:
    summary = detect(folder).summary()
    time = summary.pop("ms_per_image")
    assert time >= 0
    assert summary == {
        "benchmark": "FDDB",
        "images": 4,
        "faces": 5,
        "false_positives": 0,
        "rate": 0.4,
        "threshold": pytest.approx(200 / 255),
        "end": {"rate": 0.6, "false_positives": 1},
        # A disc of radius 10 has 347 of its square's 441 pixels.
        "continuous": {"rate": round(2 / 5 * 347 / 441, 6), "end": round(3 / 5 * 347 / 441, 6)},
        "subset": True,
        "name": "bright",
        "model_bytes": 7,
        "detections": 4,
        "missing_images": [],
        "note": "4 images with 5 faces, a subset of FDDB's 2845 with 5171: "
        "not comparable with published figures on all of it",
    }
    out = folder / "out"
    assert json.loads((out / "summary.json").read_text())["rate"] == 0.4
    assert (out / "DiscROC.txt").read_text() == (
        "0.6 1 0.392157\n0.4 1 0.588235\n0.4 0 0.784314\n0.2 0 0.980392\n0 0 1.79769e+308\n"
    )
    assert (out / "fold-01-out.txt").read_text() == (
        "d/a\n2\n10.000 10.000 20.000 20.000 0.980392158\n50.000 10.000 20.000 20.000 0.784313738\n"
        "d/b\n1\n40.000 40.000 20.000 20.000 0.588235319\n"
    )
    assert (out / "fold-02-out.txt").read_text() == "d/c\n0\nd/d\n1\n10.000 10.000 20.000 20.000 0.392156869\n"
    assert (out / "roc.png").stat().st_size > 1000
    assert len((out / "ContROC.txt").read_text().splitlines()) == 5


@pytest.mark.parametrize("source", ["sizes", "root"])
def test_written_folds_score_the_same(folder: Path, source: str) -> None:
    detect(folder)
    where: dict[str, Any] = (
        {"sizes": load_sizes(folder / "sizes.json")} if source == "sizes" else {"root": folder / "images"}
    )
    fddb = FddbSet.load(folder / "folds")
    summary = evaluate_files(fddb, folder / "out", folder / "again", name="files", **where).summary()
    assert summary["missing_images"] == []
    for name in ("DiscROC.txt", "ContROC.txt"):
        assert (folder / "again" / name).read_text() == (folder / "out" / name).read_text()


def test_the_order_of_files_and_records_does_not_matter(folder: Path) -> None:
    detect(folder)
    out, sizes, fddb = folder / "out", load_sizes(folder / "sizes.json"), FddbSet.load(folder / "folds")
    records = (out / "fold-02-out.txt").read_text() + (out / "fold-01-out.txt").read_text()
    (folder / "one.txt").write_text(records)
    evaluate_files(fddb, folder / "one.txt", folder / "again", name="files", sizes=sizes)
    assert (folder / "again" / "ContROC.txt").read_text() == (out / "ContROC.txt").read_text()


def test_a_subset_and_curves_to_compare(folder: Path) -> None:
    (folder / "list.txt").write_text("d/d\n\nd/a\n")
    fddb = FddbSet.load(folder / "folds", [folder / "list.txt"])
    assert [image.name for image in fddb.images] == ["d/a", "d/d"]
    (folder / "other.txt").write_text("d/a\nd/b\n")
    both = FddbSet.load(folder / "folds", [folder / "list.txt", folder / "other.txt"])
    assert [image.name for image in both.images] == ["d/a", "d/b", "d/d"]
    detect(folder)
    compare = [("all", folder / "out" / "DiscROC.txt")]
    summary = evaluate_files(
        fddb, folder / "out", folder / "subset", name="s", sizes=load_sizes(folder / "sizes.json"), compare=compare
    ).summary()
    assert (summary["images"], summary["faces"], summary["rate"], summary["detections"]) == (2, 4, 0.75, 3)
    with pytest.raises(DataError, match="cannot read the ROC file"):
        detect(folder, "never", compare=[("x", folder / "none.txt")])
    assert not (folder / "never").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "an empty list of images"),
        ("d/a\nd/x\n", r"line 2: unknown image in the list \(found d/x\)"),
        ("d/a\n\nd/a\n", "line 3: an image twice in the list"),
    ],
)
def test_bad_lists(folder: Path, text: str, told: str) -> None:
    (folder / "list.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        FddbSet.load(folder / "folds", [folder / "list.txt"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("d/a\n0\nd/x\n0\n", r"line 3: unknown image \(expected a name of the annotations, without .jpg, found d/x\)"),
        ("d/a\n0\nd/a\n0\n", r"line 3: d/a twice \(found also found.txt line 1\)"),
        ("d/a\n1\n1 2 3 4 nan\n", "line 3: score is not a finite number"),
        ("d/a\n1\n1 2 3\n", "line 3: malformed line"),
    ],
)
def test_bad_detections(folder: Path, text: str, told: str) -> None:
    (folder / "found.txt").write_text(text)
    with pytest.raises(DataError, match=told):
        load_detections(folder / "found.txt", FddbSet.load(folder / "folds"))


def test_detections_that_lack_images(folder: Path) -> None:
    fddb, sizes = FddbSet.load(folder / "folds"), load_sizes(folder / "sizes.json")
    (folder / "found.txt").write_text("d/a\n0\n")
    summary = evaluate_files(fddb, folder / "found.txt", folder / "out", name="none", sizes=sizes).summary()
    assert summary["missing_images"] == ["d/b", "d/c", "d/d"]
    assert (summary["rate"], summary["end"], summary["threshold"]) == (0.0, {"rate": 0.0, "false_positives": 0}, None)
    assert (folder / "out" / "DiscROC.txt").read_text() == "0 0 1.79769e+308\n"
    (folder / "list.txt").write_text("d/b\n")
    with pytest.raises(DetectionsError, match=r"no image of the set \(expected some of 1\)"):
        load_detections(folder / "found.txt", FddbSet.load(folder / "folds", [folder / "list.txt"]))


def test_missing_images_are_named_and_their_faces_missed(folder: Path) -> None:
    (folder / "images/d/a.jpg").unlink()
    (folder / "images/d/c.jpg").write_bytes(b"text")
    summary = detect(folder).summary()
    assert summary["missing_images"] == ["d/a", "d/c"]
    assert (summary["faces"], summary["end"]["rate"]) == (5, 0.2)
    fddb = FddbSet.load(folder / "folds")
    (folder / "found.txt").write_text("d/a\n1\n1 2 3 4 5\n")
    with pytest.raises(MediaError, match=r"a\.jpg: cannot read the image"):
        evaluate_files(fddb, folder / "found.txt", folder / "out", name="x", root=folder / "images")
    with pytest.raises(DetectionsError, match="d/a: the image's size is not known"):
        evaluate_files(fddb, folder / "found.txt", folder / "out", name="x", sizes={})
    with pytest.raises(UsageError, match="none of the 4 images can be read"):
        evaluate_detector(fddb, Subject("bright", BrightDetector), folder / "nowhere", folder / "out")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[1]", r"not a file of image sizes \(expected .*, found list\)"),
        ('{"a": [1]}', r"a: not a size \(expected \[width, height\], found \[1\]\)"),
        ('{"a": [1, 0]}', "a: not a size"),
        ('{"a": [1.5, 2]}', "a: not a size"),
        ('{"a": [true, 2]}', "a: not a size"),
        ('{"a": [1000000000, 1000000000]}', "a: a size that is too large"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_sizes(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "sizes.json").write_text(text)
    with pytest.raises(DataError, match=told):
        load_sizes(tmp_path / "sizes.json")


@pytest.mark.shared
def test_the_published_rate_from_files_alone(shared: Path, tmp_path: Path) -> None:
    data = shared / "data/fddb"
    sizes = load_sizes(data / "image_sizes.json")
    whole = FddbSet.load(data / "FDDB-folds")
    assert not whole.is_subset
    summary = evaluate_files(whole, data / "published/jfda", tmp_path, name="jfda", sizes=sizes).summary()
    assert (summary["rate"], summary["false_positives"], "note" in summary) == (0.899826, 284, False)
    subset = FddbSet.load(data / "FDDB-folds", [data / "dev_images.txt"])
    summary = evaluate_files(subset, data / "published/jfda", tmp_path, name="jfda", sizes=sizes).summary()
    assert (summary["images"], summary["faces"], summary["false_positives"]) == (947, 1012, 94)
    assert summary["rate"] == pytest.approx(0.983, abs=5e-4)

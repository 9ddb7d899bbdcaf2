from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import red_detector
from tests.eval.wider.wider_files import write_ground_truth
from tinier_yolo.cli import main
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.datasets.wider import WiderImage
from tinier_yolo.defaults import EVALUATION_THRESH, NMS
from tinier_yolo.detection.detector import Detector
from tinier_yolo.media.images import write_image

# One face of 32x32 pixels in a picture of 128x128, a second picture without any.
FACE = (32, 32, 64, 64)
ROUND = "d/a\n1\n18 18 0 48 48 1\nd/b\n0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny set in the form of each benchmark: FDDB, WIDER FACE, YOLO labels."""
    pictures = {"a": red_detector.picture((128, 128), FACE), "b": red_detector.picture((128, 128))}
    for name, rgb in pictures.items():
        write_image(tmp_path / "fddb" / "d" / f"{name}.png", rgb)
        (tmp_path / "fddb" / "d" / f"{name}.png").rename(tmp_path / "fddb" / "d" / f"{name}.jpg")
        write_image(tmp_path / "yolo" / "images" / f"{name}.png", rgb)
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "FDDB-fold-01-ellipseList.txt").write_text(ROUND)
    (tmp_path / "yolo" / "labels").mkdir()
    (tmp_path / "yolo" / "labels" / "a.txt").write_text("0 0.375 0.375 0.25 0.25\n")
    (tmp_path / "yolo" / "labels" / "b.txt").write_text("")
    (tmp_path / "yolo" / "val.txt").write_text("images/a.png\nimages/b.png\n")
    (tmp_path / "yolo" / "red.data").write_text("valid = val.txt\n")
    images = [WiderImage(f"d/{name}", np.array(boxes, float).reshape(-1, 4), np.zeros((len(boxes), 6), np.int8))
              for name, boxes in {"a": [[32, 32, 31, 31]], "b": []}.items()]  # fmt: skip
    write_ground_truth(tmp_path / "truth", images, {name: {"d/a": [0]} for name in ("easy", "medium", "hard")})
    return tmp_path


def run(folder: Path, *words: object) -> int:
    return main(["eval", *map(str, words), "--out", str(folder / "out")])


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "out/summary.json").read_text())
    return content


def error(capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> str:
    assert run(folder, *words) == 2
    assert not (folder / "out").exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0].replace(str(folder), "DIR")


def test_fddb_with_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = red_detector.write_model(folder)
    assert (
        run(folder, "fddb", "--annotations", folder / "folds", "--images", folder / "fddb", *model, "--name", "ours")
        == 0
    )
    assert capsys.readouterr().out.splitlines()[0] == (
        "FDDB (a subset), ours: rate 1.000000 at 0 false positives (0.1 an image; 2 images, 1 faces); end 1.000000 at 0"
    )
    found = summary(folder)
    assert (found["name"], found["model"], found["network_size"]) == ("ours", "red.weights", [128, 128])
    assert found["model_bytes"] == (folder / "red.weights").stat().st_size
    assert (found["thresh"], found["nms"]) == (EVALUATION_THRESH, NMS)
    assert (folder / "out/fold-01-out.txt").is_file()


def test_fddb_from_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "found.txt").write_text("d/a\n1\n32 32 31 31 7.5\n")
    (folder / "sizes.json").write_text('{"d/a": [128, 128]}')
    (folder / "roc.txt").write_text("0.5 3\n0 0\n")
    (folder / "list.txt").write_text("d/a\n")
    (folder / "more.txt").write_text("d/b\n")
    common = ("fddb", "--annotations", folder / "folds", "--detections", folder / "found.txt")
    assert run(folder, *common, "--images", folder / "fddb", "--compare", f"x={folder / 'roc.txt'}") == 0
    assert "no detections for 1 images: d/b" in capsys.readouterr().err
    assert run(folder, *common, "--sizes", folder / "sizes.json", "--list", folder / "list.txt") == 0
    assert (summary(folder)["name"], summary(folder)["rate"], summary(folder)["images"]) == ("found", 1.0, 1)
    lists = ("--list", folder / "list.txt", "--list", folder / "more.txt")
    assert run(folder, *common, "--sizes", folder / "sizes.json", *lists) == 0
    assert summary(folder)["images"] == 2


def test_fddb_from_ellipses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The annotation itself, and another ellipse.
    (folder / "found.txt").write_text("d/a\n2.0\n18 18 0 48 48 7.5\n18 18 0 100 100 3\nd/b\n0\n\x1a")
    common = ("fddb", "--annotations", folder / "folds", "--detections", folder / "found.txt")
    assert run(folder, *common, "--images", folder / "fddb", "--errors") == 0
    assert "six numbers a line are read as an ellipse" in capsys.readouterr().err
    assert (summary(folder)["rate"], summary(folder)["continuous"]["rate"]) == (1.0, 1.0)
    assert run(folder, *common, "--images", folder / "fddb", "--shape", "ellipse") == 0
    assert "read as an ellipse" not in capsys.readouterr().err
    assert (summary(folder)["rate"], summary(folder)["end"]["false_positives"]) == (1.0, 1)
    assert run(folder, *common, "--images", folder / "fddb", "--shape", "rectangle") == 0
    assert summary(folder)["rate"] == 0.0


def test_fddb_leaves_wrong_lines_out_where_it_is_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "found.txt").write_text("d/a\n2\n32 32 31 31 7.5\n1 2 x 4 5\nd/c\n0\nd/b\n0\n")
    common = ("fddb", "--annotations", folder / "folds", "--detections", folder / "found.txt", "--images")
    told = error(capsys, folder, *common, folder / "fddb")
    assert told == "tinier-yolo: DIR/found.txt: line 4: malformed line (expected x y w h score, found 1 2 x 4 5)"
    assert run(folder, *common, folder / "fddb", "--lenient") == 0
    assert "2 lines are left out; the first: " in capsys.readouterr().err
    assert (summary(folder)["lines_left_out"], summary(folder)["rate"]) == (2, 1.0)


@pytest.mark.parametrize(
    ("names", "rate", "classes"),
    [("Face\nmask", 1.0, ["Face"]), ("mask\nface", 0.0, ["face"]), ("mask\nno mask", 1.0, ["mask", "no mask"])],
)
def test_names_say_what_counts_of_a_foreign_network(folder: Path, names: str, rate: float, classes: list[str]) -> None:
    # The network calls everything class 0.
    cfg = red_detector.CFG.format(letter_box=1).replace("classes=1", "classes=2").replace("filters=6", "filters=7")
    (folder / "two.cfg").write_text(cfg)
    *pools, convolution, region = red_detector.parameters()
    weights = np.concatenate([convolution["weights"], np.zeros((1, 3, 1, 1), np.float32)])
    biases = np.append(convolution["biases"], np.float32(0))
    biases[5] = 20
    layers = (*pools, {"biases": biases, "weights": weights}, region)
    save_weights(folder / "two.weights", Network.load(folder / "two.cfg"), layers)
    (folder / "x.names").write_text(names)
    model = ("--model", folder / "two.weights", "--cfg", folder / "two.cfg", "--names", folder / "x.names")
    assert run(folder, "fddb", "--annotations", folder / "folds", "--images", folder / "fddb", *model) == 0
    assert (summary(folder)["rate"], summary(folder)["classes"]) == (rate, classes)


@pytest.mark.parametrize("entry", ["../evil.png", "{absolute}"])
def test_pictures_of_images_outside_the_list_s_folder_stay_in_out(
    folder: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "yolo/images/a.png").rename(folder / "evil.png")
    (folder / "yolo/labels/a.txt").rename(folder / "evil.txt")
    (folder / "yolo/val.txt").write_text(entry.format(absolute=folder / "evil.png") + "\nimages/b.png\n")
    before = (folder / "evil.png").read_bytes()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    model = red_detector.write_model(folder)
    assert run(folder, "voc", "--data", folder / "yolo/red.data", *model, "--pictures") == 0
    assert summary(folder)["ap"] == 1.0
    assert (folder / "evil.png").read_bytes() == before
    assert len(list((folder / "out/pictures").rglob("*.jpg"))) == 2
    outside = {path.name for path in folder.iterdir()}
    assert "evil.jpg" not in outside
    assert "evil.png.jpg" not in outside


def test_fddb_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("fddb", "--annotations", folder / "folds", "--images", folder / "fddb")
    assert run(folder, *common, "--detector", "haar", "--errors") == 0
    assert "1 of 1 faces missed" in capsys.readouterr().out
    errors = json.loads((folder / "out/errors.json").read_text())
    assert (errors["network_size"], errors["misses"]["total"]) == ([416, 416], 1)
    assert (folder / "out/errors.png").is_file()
    assert run(folder, *common, *red_detector.write_model(folder), "--errors") == 0
    errors = json.loads((folder / "out/errors.json").read_text())
    assert (errors["network_size"], errors["misses"]["total"], errors["errors"]) == ([128, 128], 0, [])


def test_wider_with_a_model_and_from_its_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = red_detector.write_model(folder)
    truth, images = ("wider", "--ground-truth", folder / "truth"), ("--images", folder / "fddb")
    assert run(folder, *truth, *images, *model, "--figure", 2, "--attribute", "blur=clear", "--pictures") == 0
    assert "red: AP easy 1.000000, medium 1.000000, hard 1.000000\n" in capsys.readouterr().out
    assert summary(folder)["figure"] == ["d/a"]
    assert (folder / "out/pictures/d/b.jpg").is_file()
    (folder / "out/detections").rename(folder / "found")
    assert run(folder, *truth, "--detections", folder / "found") == 0
    assert (summary(folder)["name"], summary(folder)["hard"]) == ("found", 1.0)


def test_labelled_with_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = red_detector.write_model(folder)
    assert run(folder, "labelled", "--data", folder / "yolo/red.data", *model, "--figure", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "AP 1.0000"
    assert "rate 1.000000 at 0 false positives" in lines[1]
    assert lines[2:-1] == [
        "faces by height at 128x128 (pixels)   faces      AP    rate",
        "                              under 16       0       -       -",
        "                                 16-32       0       -       -",
        "                                 32-64       1  1.0000  1.0000",
        "                               over 64       0       -       -",
    ]
    assert lines[-1] == f"{summary(folder)['ms_per_image']:.2f} ms an image (median, one thread)"
    assert summary(folder)["network_size"] == [128, 128]
    assert run(folder, "labelled", "--data", folder / "yolo/red.data", *model, "--size", "256x256") == 0
    # A cell of the network is 16 pixels of the picture now, and so is the detector's box.
    assert (summary(folder)["network_size"], summary(folder)["rate"]) == ([256, 256], 0.0)


def test_a_coco_annotated_set_is_one_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = red_detector.write_model(folder)
    assert main(["detect", str(folder / "yolo/images"), *model, "--no-save", "--format", "coco"]) == 0
    (folder / "coco.json").write_text(capsys.readouterr().out)
    coco = ("labelled", "--coco", folder / "coco.json")
    assert run(folder, *coco, "--images", folder, *model, "--tiles", "64x64:16") == 0
    assert (summary(folder)["ap"], summary(folder)["faces"], summary(folder)["tiles"]) == (1.0, 1, [64, 64, 16])
    assert run(folder, *coco, *model) == 2
    assert "--images ROOT" in capsys.readouterr().err
    for words in (("labelled",), (*coco, "--data", "x.data")):
        assert run(folder, *words, *model) == 2
        assert "which set? (expected --data DATA, or --coco FILE" in capsys.readouterr().err


def test_voc_is_another_name_of_labelled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for name in ("labelled", "voc"):
        assert run(folder, name, "--data", folder / "yolo/red.data", "--detector", "haar", "--size", 128) == 0
        found = summary(folder)
        assert found.pop("ms_per_image") >= 0
        results.append((capsys.readouterr().out.splitlines()[:-1], found))
    assert results[0] == results[1]


def test_peers_take_the_same_road(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("labelled", "--data", folder / "yolo/red.data")
    assert run(folder, *data, "--detector", "haar", "--workers", 1) == 0
    found = summary(folder)
    assert (found["name"], found["detector"], found["rate"]) == ("haar", "haar", 0.0)
    assert "thresh" not in found  # a cascade has none
    assert [row["faces"] for row in found["by_height"]] == [0, 0, 0, 1]  # at 416x416
    assert run(folder, *data, "--detector", "haar", "--size", 128) == 0
    assert [row["faces"] for row in summary(folder)["by_height"]] == [0, 0, 1, 0]
    assert run(folder, *data, "--detector", "yunet") == 2
    assert "--detector yunet needs its model" in capsys.readouterr().err


def test_a_model_is_loaded_once_a_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = Detector.load
    monkeypatch.setattr(Detector, "load", lambda *words, **named: loaded.append(words) or load(*words, **named))
    model = red_detector.write_model(folder)
    assert run(folder, "labelled", "--data", folder / "yolo/red.data", *model, "--workers", 2) == 0
    assert len(loaded) == 2


def test_images_that_cannot_be_read_make_it_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fddb/d/b.jpg").unlink()
    model = red_detector.write_model(folder)
    assert run(folder, "fddb", "--annotations", folder / "folds", "--images", folder / "fddb", *model) == 1
    assert "tinier-yolo: 1 images cannot be read: d/b" in capsys.readouterr().err
    assert summary(folder)["missing_images"] == ["d/b"]


FDDB = ("fddb", "--annotations", "DIR/folds")
BAD: Sequence[tuple[Sequence[str], str]] = (
    (FDDB, "a detector needs images (expected --images ROOT, or --detections PATH)"),
    ((*FDDB, "--sizes", "x"), "--sizes goes with --detections; a detector needs --images ROOT"),
    ((*FDDB, "--detections", "x"), "--detections needs the sizes of the images (expected either --images or --sizes)"),
    ((*FDDB, "--detections", "x", "--model", "y"), "--detections and --model do not go together"),
    (
        (*FDDB, "--detections", "x", "--sizes", "y", "--errors"),
        "errors are shown in the images (expected --images ROOT)",
    ),
    (
        (*FDDB, "--detections", "DIR/x", "--images", "DIR"),
        "DIR/x: cannot read the FDDB detections file (found No such file or directory)",
    ),
    (
        ("fddb", "--annotations", "DIR", "--images", "DIR", "--detector", "haar"),
        "DIR: no FDDB annotations in the folder",
    ),
    ((*FDDB, "--images", "DIR", "--detector", "haar", "--cfg", "x"), "--cfg goes with our own detector"),
    ((*FDDB, "--images", "DIR", "--detector", "haar", "--size", "320"), "a peer runs at each image's own size"),
    ((*FDDB, "--images", "DIR", "--detector", "haar"), "none of the 2 images can be read; the first: DIR/d/a.jpg"),
    ((*FDDB, "--images", "DIR", "--detector", "haar", "--thresh", "2"), "thresh is not a threshold"),
    ((*FDDB, "--images", "DIR", "--model", "DIR/none.ifq"), "DIR/none.ifq: cannot read"),
    (("wider", "--ground-truth", "DIR/truth", "--detections", "DIR/none"), "DIR/none: no WIDER FACE detections"),
    (("wider", "--ground-truth", "DIR/truth", "--detections", "DIR", "--figure", "2"), "pictures need the images"),
    (
        ("wider", "--ground-truth", "DIR", "--images", "DIR", "--detector", "haar"),
        "DIR/wider_face_val.mat: cannot read",
    ),
    (
        (
            "wider",
            "--ground-truth",
            "DIR/truth",
            "--images",
            "DIR",
            "--detector",
            "haar",
            "--figure",
            "1",
            "--attribute",
            "x=1",
        ),
        "unknown attribute (expected blur=",
    ),
    (("labelled", "--data", "DIR/none.data", "--detector", "haar"), "DIR/none.data: cannot read the .data file"),
)


@pytest.mark.parametrize(("words", "told"), BAD, ids=[told[:40] for _, told in BAD])
def test_bad_input_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: Sequence[str], told: str
) -> None:
    line = error(capsys, folder, *(word.replace("DIR", str(folder)) for word in words))
    assert line.startswith(f"tinier-yolo: {told}")


def test_a_folder_that_cannot_be_written_is_told_before_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("eval", "labelled", "--data", f"{folder}/yolo/red.data", "--detector", "haar")
    assert main([*words, "--out", f"{folder}/yolo/val.txt/out"]) == 2
    assert capsys.readouterr().err.startswith(f"tinier-yolo: {folder}/yolo/val.txt/out: cannot write into the output")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fddb",),
        (*FDDB, "--compare", "x"),
        (*FDDB, "--size", "12y"),
        (*FDDB, "--workers", "0"),
        ("labelled", "--data", "x", "--face-height", "9-3"),
        ("labelled", "--data", "x", "--face-height", "9"),
    ],
)
def test_bad_usage(folder: Path, capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(folder, *words)
    assert caught.value.code == 2


def test_help_tells_of_the_low_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "fddb", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "The threshold is low on purpose: a curve needs the detections of low scores too." in text
    assert "least score, 0..1 (default 0.01)" in text

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from scripts.mine_hard import judge, main
from tests.small_ifq import write_model
from tinier_yolo.bulk.local import Found
from tinier_yolo.datasets.labels import Sample, load_samples
from tinier_yolo.detection.detections import Detections
from tinier_yolo.training.emphasis import correct, load_hard

FACE, FAR, IGNORED = [0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1], [0.9, 0.8, 0.2, 0.2]


def sample(*boxes: list[float]) -> Sample:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(Path("a.png"), rows, np.zeros(len(rows), np.int32), np.array([IGNORED], np.float32))


def found(*rows: tuple[list[float], float]) -> Found:
    boxes = [
        [(cx - w / 2) * 200, (cy - h / 2) * 100, (cx + w / 2) * 200, (cy + h / 2) * 100] for (cx, cy, w, h), _ in rows
    ]
    return Found(Detections.of(boxes, [score for _, score in rows]), (200, 100), 0.0)


def test_a_right_detection_and_one_in_an_ignored_box_are_no_errors() -> None:
    errors = judge(sample(FACE), "a", found((FACE, 0.9), (IGNORED, 0.8)), 0.25, 0.02)
    assert (errors.score, errors.false_alarms, errors.misses, errors.reasons) == (0, [], [], [])


def test_false_alarms_and_misses_add_up() -> None:
    errors = judge(sample(FACE), "a", found((FAR, 0.75), (FACE, 0.1), (FAR, 0.1)), 0.25, 0.02)
    assert errors.score == pytest.approx(0.75 + 0.9)
    assert errors.false_alarms == [[0.75, 0.05, 0.05, 0.15, 0.15]]
    assert errors.misses == [[0.1, 0.4, 0.3, 0.6, 0.7]]
    assert errors.reasons == ["false alarm 0.75", "miss: 0.10"]


def test_kinds_of_misses() -> None:
    loose = [0.58, 0.5, 0.2, 0.4]
    assert judge(sample(FACE), "a", found((loose, 0.9)), 0.25, 0.02).reasons == ["miss: a loose box"]
    assert judge(sample(FACE), "a", found(), 0.25, 0.02).reasons == ["miss: no response"]
    assert judge(sample(FACE), "a", found(), 0.25, 0.3).reasons == []


def test_the_files_are_what_training_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, _, _ = write_model(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (96, 128, 3), np.uint8))
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.3 0.3\n" if name == "b" else "")
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    (tmp_path / "x.data").write_text("train=list.txt\n")
    options = ["--data", str(tmp_path / "x.data"), "--model", str(program), "--out", str(tmp_path / "hard")]
    assert main([*options, "--contradict", "0.5", "--thresh", "0.3"]) == 0
    assert "hard images" in capsys.readouterr().out
    samples, list_path = load_samples(tmp_path / "list.txt"), tmp_path / "list.txt"
    assert load_hard(tmp_path / "hard" / "hard.json", samples, list_path)
    proposed = json.loads((tmp_path / "hard" / "proposed.json").read_text())
    added = sum(len(actions["add"]) for actions in proposed.values())
    assert added > 0
    corrected = correct(tmp_path / "hard" / "proposed.json", samples, list_path)
    assert sum(len(some.boxes) for some in corrected) == 1 + added
    assert cv2.imread(str(tmp_path / "hard" / "contradicted.png")) is not None


def test_bad_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.data").write_text("valid=list.txt\n")
    assert main(["--data", str(tmp_path / "x.data"), "--model", "none.ifq"]) == 2
    assert "no train list" in capsys.readouterr().err

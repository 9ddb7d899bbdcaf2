from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import tiny_cfg
from tests.training.test_dataset import training_set
from tests.training.test_train import arguments
from tinier_yolo.cli import main
from tinier_yolo.datasets.labels import Sample, load_samples
from tinier_yolo.errors import DataError
from tinier_yolo.training.emphasis import correct, load_hard


@pytest.fixture
def listed(drawings: Path) -> tuple[Path, tuple[Sample, ...]]:
    path = drawings.parent / "list.txt"
    return path, load_samples(path)


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_hard_images_take_their_share_and_leave_the_rest(listed: tuple[Path, tuple[Sample, ...]]) -> None:
    _, samples = listed
    plain, hard = training_set(samples), training_set(samples, hard=(2, 7), hard_share=0.3)
    chosen, before = ([data._index(position) for position in range(3000)] for data in (hard, plain))
    changed = sum(a != b for a, b in zip(chosen, before, strict=True))
    assert changed == pytest.approx(3000 * 0.3 * 10 / 12 + 3000 * 0.3 / 12, rel=0.12)
    counts = Counter(chosen)
    assert counts[2] + counts[7] == pytest.approx(3000 * (0.3 + 0.7 / 6), rel=0.08)
    assert chosen == [replace(hard)._index(position) for position in range(3000)]


def test_the_file_names_images_of_the_list(listed: tuple[Path, tuple[Sample, ...]], tmp_path: Path) -> None:
    list_path, samples = listed
    path = write(tmp_path / "hard.json", {"images": [{"image": "images/3.png"}, {"image": "images/5.png", "score": 1}]})
    assert {image.name for image in load_hard(path, samples, list_path)} == {"3.png", "5.png"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "not a file of hard images"),
        ('{"images": []}', "no hard images"),
        ('{"images": [{"image": "images/3.png"}, {"image": "x.png"}]}', r"image 2: unknown image .*found x\.png"),
        ('{"images": [7]}', "image 1: unknown image"),
    ],
)
def test_bad_files_of_hard_images(
    text: str, message: str, listed: tuple[Path, tuple[Sample, ...]], tmp_path: Path
) -> None:
    (tmp_path / "hard.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_hard(tmp_path / "hard.json", listed[1], listed[0])


def test_corrections_add_remove_and_ignore(listed: tuple[Path, tuple[Sample, ...]], tmp_path: Path) -> None:
    list_path, samples = listed
    removed, ignored = samples[0].boxes[0], samples[1].boxes[1]
    near = (ignored + np.float32([0.01, 0, 0, 0])).tolist()
    content = {
        "images/0.png": {"add": [[0.5, 0.5, 0.1, 0.2]], "remove": [removed.tolist()]},
        "images/1.png": {"ignore": [near]},
    }
    found = correct(write(tmp_path / "c.json", content), samples, list_path)
    np.testing.assert_allclose(found[0].boxes, [[0.5, 0.5, 0.1, 0.2]])
    assert len(found[0].class_ids) == 1
    np.testing.assert_array_equal(found[1].boxes, samples[1].boxes[:1])
    np.testing.assert_array_equal(found[1].ignored, [ignored])
    assert found[2:] == samples[2:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x.png": {}}, "unknown image"),
        ({"images/0.png": {"delete": []}}, "images/0.png: bad correction"),
        ({"images/0.png": {"add": [[0.5, 0.5, 0.1]]}}, "images/0.png add: bad box"),
        ({"images/0.png": {"add": [[0.5, 0.5, 0, 0.1]]}}, "images/0.png add: bad box"),
        ({"images/0.png": {"add": ["abcd"]}}, "images/0.png add: bad box"),
        ({"images/0.png": {"remove": [[0.01, 0.01, 0.01, 0.01]]}}, "images/0.png remove: no label overlaps"),
        ({"images/3.png": {"ignore": [[0.5, 0.5, 0.5, 0.5]]}}, "images/3.png ignore: no label overlaps"),
    ],
)
def test_bad_corrections(
    content: object, message: str, listed: tuple[Path, tuple[Sample, ...]], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        correct(write(tmp_path / "c.json", content), listed[1], listed[0])


@pytest.mark.usefixtures("undrawn")
def test_a_run_with_hard_images_and_corrections_is_resumed_only_with_them(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    hard = write(tmp_path / "hard.json", {"images": [{"image": "images/3.png"}]})
    corrections = write(tmp_path / "c.json", {"images/0.png": {"add": [[0.5, 0.5, 0.2, 0.2]]}})
    more = ["--hard", str(hard), "--corrections", str(corrections)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(arguments(cfg, drawings, whole, "--max-batches", "10", *more)) == 0
    assert main(arguments(cfg, drawings, parts, "--max-batches", "5", "--policy", "constant", *more)) == 0
    for changed in (["--hard", str(hard)], more[2:], [*more, "--hard-share", "0.4"]):
        assert main(arguments(cfg, drawings, whole, "--max-batches", "15", "--resume", *changed)) == 2
        assert "belongs to a run with another" in capsys.readouterr().err
    whole_constant = tmp_path / "constant"
    assert main(arguments(cfg, drawings, whole_constant, "--max-batches", "10", "--policy", "constant", *more)) == 0
    resume = ["--max-batches", "10", "--policy", "constant", "--resume"]
    assert main(arguments(cfg, drawings, parts, *resume, *more)) == 0
    assert (parts / "tiny.weights").read_bytes() == (whole_constant / "tiny.weights").read_bytes()

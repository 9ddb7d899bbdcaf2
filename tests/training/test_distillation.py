from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.training.classifiers import tiny_classifier  # noqa: E402
from tests.training.conftest import tiny_cfg  # noqa: E402
from tests.training.test_train import arguments, read_columns, weights_of  # noqa: E402
from tinier_yolo.cli import main  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.darknet.weights import save_weights  # noqa: E402
from tinier_yolo.training.distillation import LEAST_SCORE, Teacher  # noqa: E402
from tinier_yolo.training.model import DarknetModel  # noqa: E402
from tinier_yolo.training.region_loss import complete_iou, decode_boxes  # noqa: E402


def write_teacher(folder: Path, text: str) -> tuple[Path, Path]:
    """A cfg and random weights."""
    cfg, weights = folder / "teacher.cfg", folder / "teacher.weights"
    cfg.write_text(text)
    torch.manual_seed(7)
    network = Network.load(cfg)
    save_weights(weights, network, DarknetModel(network).parameters_of_layers(), 0)
    return cfg, weights


def teacher_of(folder: Path, text: str, share: float = 0.5) -> Teacher:
    cfg, weights = write_teacher(folder, text)
    return Teacher(cfg, weights, share, Network.load(cfg), torch.device("cpu"), "float32")


def two_classes() -> str:
    return tiny_cfg(binary=False).replace("classes=1", "classes=2").replace("filters=12\nsize=1", "filters=14\nsize=1")


@pytest.mark.parametrize("text", [tiny_cfg(binary=False), two_classes()], ids=["one class", "two classes"])
def test_the_loss_is_that_of_a_loop_over_all_cells(text: str, tmp_path: Path) -> None:
    teacher, region = teacher_of(tmp_path, text), Network.parse(text).region
    torch.manual_seed(1)
    taught, output = (2 * torch.randn(3, 2 * (5 + region.classes), 2, 4) for _ in range(2))
    anchors = torch.tensor(region.anchors) / torch.tensor([4, 2])
    goal, mine = (map_.view(3, 2, -1, 2, 4) for map_ in (taught, output))
    its_boxes, own_boxes = (decode_boxes(map_, anchors).view(-1, 4) for map_ in (goal, mine))
    its, own = (map_.movedim(2, -1).reshape(-1, 5 + region.classes) for map_ in (goal, mine))
    expected, sure = 0.0, 0
    for cell in range(3 * 2 * 2 * 4):
        p, q = float(its[cell, 4].sigmoid()), float(own[cell, 4].sigmoid())
        scale = region.noobject_scale + (region.object_scale - region.noobject_scale) * p
        expected -= scale * (p * math.log(q) + (1 - p) * math.log(1 - q))
        if p > LEAST_SCORE:
            sure += 1
            iou = complete_iou(own_boxes[cell][None], its_boxes[cell][None])[1]
            expected += region.coord_scale * p * (1 - float(iou))
            if region.classes > 1:
                wanted, found = its[cell, 5:].softmax(0), own[cell, 5:].log_softmax(0)
                expected -= region.class_scale * p * float((wanted * found).sum())
    assert 0 < sure < 48
    assert float(teacher.loss(taught, output)) == pytest.approx(expected / 3, rel=1e-5)


def test_who_says_what_the_teacher_says_has_nothing_to_learn(tmp_path: Path) -> None:
    teacher = teacher_of(tmp_path, two_classes())
    torch.manual_seed(2)
    taught = torch.randn(2, 14, 3, 3, dtype=torch.float64)
    output = taught.clone().requires_grad_()
    teacher.loss(taught, output).backward()
    assert output.grad is not None
    assert output.grad.abs().max() < 1e-6
    moved = taught + 0.5 * torch.randn_like(taught)
    assert teacher.loss(taught, moved) > teacher.loss(taught, taught)


@pytest.mark.usefixtures("undrawn")
def test_a_run_comes_nearer_to_its_teacher_than_one_without(drawings: Path, tmp_path: Path) -> None:
    cfg, weights = write_teacher(tmp_path, tiny_cfg(binary=False))
    student = tmp_path / "tiny.cfg"
    student.write_text(tiny_cfg(binary=True))
    common = ["--no-fused", "--max-batches", "30"]
    assert main(arguments(student, drawings, tmp_path / "alone", *common)) == 0
    taught = [*common, "--teacher", str(cfg), str(weights)]
    assert main(arguments(student, drawings, tmp_path / "none", *taught, "--teacher-share", "0")) == 0
    assert weights_of(tmp_path / "none") == weights_of(tmp_path / "alone")
    assert main(arguments(student, drawings, tmp_path / "all", *taught, "--teacher-share", "1")) == 0
    # A random teacher says nonsense: who learns from it alone learns nothing of the labels.
    losses = {name: read_columns(tmp_path / name / "tiny_validation.csv")["loss"][-1] for name in ("alone", "all")}
    assert losses["all"] > losses["alone"]


@pytest.mark.usefixtures("undrawn")
def test_a_run_knows_its_teacher_again(drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = write_teacher(tmp_path, tiny_cfg(binary=False))
    words = arguments(cfg, drawings, tmp_path / "out", "--no-fused", "--teacher", str(cfg), str(weights))
    assert main([*words, "--max-batches", "5"]) == 0
    assert main([*words, "--max-batches", "10", "--resume"]) == 0
    assert main([*words, "--max-batches", "15", "--resume", "--teacher-share", ".25"]) == 2
    assert "the checkpoint belongs to a run with another teacher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("teacher", "problem"),
    [
        (tiny_cfg(False).replace("anchors=0.6,0.8, 1.5,2", "anchors=0.6,0.8, 1.5,3"), "a teacher with other anchors"),
        (two_classes(), "a teacher with other classes"),
        (tiny_cfg(False).replace("[maxpool]\nsize=2\nstride=2\n", "", 1), "a teacher of another stride"),
        (tiny_classifier(5), "a teacher is for detectors"),
    ],
    ids=["anchors", "classes", "stride", "classifier"],
)
def test_a_teacher_of_other_maps_is_refused_in_one_line(
    teacher: str, problem: str, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = write_teacher(tmp_path, teacher)
    student = tmp_path / "tiny.cfg"
    student.write_text(tiny_cfg(binary=False))
    assert main(arguments(student, drawings, tmp_path / "out", "--teacher", str(cfg), str(weights))) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1


def test_damaged_weights_of_a_teacher_are_one_line(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = write_teacher(tmp_path, tiny_cfg(binary=False))
    words, whole = arguments(cfg, drawings, tmp_path / "out", "--teacher", str(cfg), str(weights)), weights.read_bytes()
    for data, problem in ((whole[:-8], ""), (whole + bytes(2**21), f"too large for {cfg}")):
        weights.write_bytes(data)
        assert main(words) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1

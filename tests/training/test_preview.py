from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.conftest import tiny_cfg
from tinier_yolo.cli import main
from tinier_yolo.training.preview import FaceHeights, heights_table


def test_percentiles_and_the_share_of_large_faces() -> None:
    heights = FaceHeights.of("views", [np.arange(1, 51), np.arange(51, 101)])
    assert heights.faces == 100
    assert heights.percentiles[2] == pytest.approx(50.5)
    assert heights.large == pytest.approx(0.2)
    assert "20%" in heights_table([heights])
    assert "nan" in heights_table([FaceHeights.of("nobody", [])])


def test_a_preview_is_a_sheet_and_a_table_and_trains_nothing(
    drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    arguments = ["train", str(cfg), "--data", str(drawings), "--out", str(tmp_path / "out"), "--preview"]
    assert main([*arguments, "--face-heights", "10:0.7"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/out/tiny_preview.png\n"
    assert "views of training at 64x64" in err
    assert "validation images at 64x64" in err
    sheet = cv2.imread(str(tmp_path / "out" / "tiny_preview.png"))
    assert sheet.shape[1] == 8 * 160
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny_preview.png"]


@pytest.mark.parametrize("value", ["12", "5:0.8", "12:0", "12:3", "a:b", "nan:0.5"])
def test_bad_face_heights(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "x.cfg", "--data", "x.data", "--face-heights", value])
    assert ended.value.code == 2
    assert "argument --face-heights: " in capsys.readouterr().err.splitlines()[-1]

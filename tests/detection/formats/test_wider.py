from __future__ import annotations

from pathlib import Path

import pytest

from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats.wider import read_wider, write_wider
from tinier_yolo.errors import DataError, DetectionsError

FOUND = Detections.of([[1, 2, 11, 22.25]], [0.75])


def test_one_file_an_image_in_the_folder_of_its_event(tmp_path: Path) -> None:
    path = write_wider(tmp_path, "0--Parade/a.b_1", FOUND)
    assert path == tmp_path / "0--Parade" / "a.b_1.txt"
    assert path.read_text() == "a.b_1\n1\n1.000 2.000 10.000 20.250 0.75\n"
    assert write_wider(tmp_path, "alone", FOUND) == tmp_path / "alone.txt"


def test_records_are_named_after_their_files(tmp_path: Path) -> None:
    # rstrip('.txt') would eat letters of such names.
    names = ["0--Parade/text.t", "0--Parade/jpg", "1--Handshaking/x"]
    for name in names:
        write_wider(tmp_path, name, FOUND)
    records = read_wider(tmp_path)
    assert [record.name for record in records] == sorted(names)
    assert records[0].rows.tolist() == [[1, 2, 10, 20.25, 0.75]]


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DetectionsError, match=r"no WIDER FACE detections in the folder \(expected EVENT/NAME.txt\)"):
        read_wider(tmp_path)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "i.txt").write_text("i\n0\nj\n0\n")
    with pytest.raises(DetectionsError, match="line 3: more than one image in the file"):
        read_wider(tmp_path)
    (tmp_path / "e" / "i.txt").write_text("i\n1\n1 2 3 4 inf\n")
    with pytest.raises(DataError, match=r"i\.txt: line 3: score is not a finite number"):
        read_wider(tmp_path)

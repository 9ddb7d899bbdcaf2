from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bulk.pictures import job, red_model, shards_of, write_pictures
from tinier_yolo.bulk.entries import Entry, Shard
from tinier_yolo.bulk.shards import Counts, run_shard
from tinier_yolo.errors import OutputError


def test_rows_of_pictures_and_of_what_is_none(tmp_path: Path) -> None:
    good, cut, _ = write_pictures(tmp_path, 3)
    cut.write_bytes(cut.read_bytes()[:100])
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(600))
    entries = [Entry(str(path)) for path in (good, cut, tmp_path / "clip.mp4", tmp_path / "gone.png", good)]
    counts = run_shard(job(tmp_path / "out"), Shard(7, tuple(entries)), red_model(tmp_path).load())
    rows = [json.loads(line) for line in (tmp_path / "out/part-000007.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == [entry.source for entry in entries]
    assert [sorted(row) for row in rows[1:4]] == [["error", "source"]] * 3
    assert [key for row in rows[1:4] for key in ("truncated", "video", "No such file") if key in row["error"]] == [
        "truncated", "video", "No such file",
    ]  # fmt: skip
    assert list(rows[0]) == ["source", "width", "height", "detections"]
    assert rows[0] == rows[4]
    assert counts == Counts(7, 5, 2, 3, rows[1]["error"])


def test_nothing_is_left_of_a_shard_that_fails(tmp_path: Path) -> None:
    (shard,) = shards_of(write_pictures(tmp_path, 2), 2)

    class Failing:
        def detect(self, *_: object, **__: object) -> None:
            raise OutputError("stop")

    with pytest.raises(OutputError):
        run_shard(job(tmp_path / "out"), shard, Failing())  # type: ignore[arg-type]
    assert list((tmp_path / "out").iterdir()) == []


def test_parquet_holds_the_rows_of_json_lines(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    good, bad = write_pictures(tmp_path, 2)
    bad.write_bytes(b"")
    (shard,) = shards_of([good, bad], 2)
    detector = red_model(tmp_path).load()
    run_shard(job(tmp_path), shard, detector)
    run_shard(job(tmp_path, "parquet"), shard, detector)
    first, second = parquet.read_table(tmp_path / "part-000000.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "part-000000.jsonl").read_text().splitlines()]
    assert second == {"source": str(bad), "width": None, "height": None, "detections": None, "error": lines[1]["error"]}
    assert first.pop("error") is None
    assert first["detections"][0].pop("score") == pytest.approx(lines[0]["detections"][0].pop("score"))
    assert first == lines[0]
    assert len(first["detections"]) == 1

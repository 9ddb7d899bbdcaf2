from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinier_yolo.bulk.manifest import Manifest, claim
from tinier_yolo.errors import DataError, UsageError

OWN = Manifest("ab", None, ("face",), (416, 416), None, 0.25, 0.45, "jsonl", 250, 1001, "cd", "0.1.0")


def test_a_folder_is_claimed_and_gone_on_with(tmp_path: Path) -> None:
    claim(tmp_path / "new", OWN, resume=False)
    claim(tmp_path / "new", OWN, resume=True)
    with pytest.raises(UsageError, match="--resume"):
        claim(tmp_path / "new", OWN, resume=False)
    claim(tmp_path / "other", OWN, resume=True)
    assert OWN.parts == 5


@pytest.mark.parametrize(
    ("field", "value"), [("thresh", 0.3), ("model", "ff"), ("size", (32, 32)), ("names", ("a",)), ("images", 1002)]
)
def test_another_run_is_refused_by_what_differs(field: str, value: Any, tmp_path: Path) -> None:
    claim(tmp_path, OWN, resume=False)
    for resume in (False, True):
        with pytest.raises(UsageError, match=f"manifest.json: {field}: the folder holds the results of another"):
            claim(tmp_path, replace(OWN, **{field: value}), resume=resume)


def test_results_of_somebody_else_stay(tmp_path: Path) -> None:
    (tmp_path / "part-000000.jsonl").write_text("")
    with pytest.raises(UsageError, match="without a manifest"):
        claim(tmp_path, OWN, resume=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_manifest(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match="not a manifest"):
        claim(tmp_path, OWN, resume=True)

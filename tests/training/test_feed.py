from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.training.feed import Feed
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes


@pytest.fixture
def network(tmp_path: Path) -> Network:
    (tmp_path / "tiny.cfg").write_text(tiny_cfg(binary=False))
    return Network.load(tmp_path / "tiny.cfg")


@pytest.mark.parametrize(("blocks", "workers"), [(10, 0), (10**6, 2)])
def test_too_little_shared_memory_is_said_and_done_without(
    blocks: int,
    workers: int,
    network: Network,
    drawings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=blocks, f_frsize=4096), raising=False)
    feed = Feed.load(network, TrainingOptions(drawings, Path("runs"), workers=2), Processes())
    assert feed.workers == workers
    assert ("loaded in the main process" in capsys.readouterr().err) == (workers == 0)
    monkeypatch.undo()
    assert len(list(feed.batches(0, 3))) == 3

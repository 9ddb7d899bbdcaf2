from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import Dataset

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import DataError, MediaError
from tinier_yolo.training.feed import Feed, load_batches
from tinier_yolo.training.options import TrainingOptions
from tinier_yolo.training.processes import Processes


class Damaged(Dataset[int]):
    """A set whose third item cannot be had."""

    def __init__(self, kind: type[DataError | MediaError]) -> None:
        self.kind = kind

    def __getitem__(self, index: int) -> int:
        if index == 2:
            raise self.kind("cannot be decoded", path="a.jpg")
        return index


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [DataError, MediaError])
def test_an_image_that_goes_bad_during_a_run_is_one_line(workers: int, kind: type[DataError | MediaError]) -> None:
    with pytest.raises(kind) as caught:
        list(load_batches(Damaged(kind), range(4), workers))
    assert str(caught.value) == "a.jpg: cannot be decoded"


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

"""Small pictures for bulk runs, and one that is there only once somebody gives it: the moment of a kill is chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests import red_detector
from tinier_yolo.bulk.entries import Entry, Shard
from tinier_yolo.bulk.model import ModelFiles
from tinier_yolo.bulk.shards import Job
from tinier_yolo.media.images import write_image


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Pictures 0.png, 1.png, ...: a red square in each, another size and place for each."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        left = 32 * (number % 3)
        write_image(path, red_detector.picture((128 + 2 * number, 128), (left, 40, left + 20, 60)))
    return paths


def write_list(path: Path, pictures: Sequence[Path]) -> Path:
    path.write_text("".join(f"{picture}\n" for picture in pictures))
    return path


def red_model(folder: Path) -> ModelFiles:
    red_detector.write_model(folder)
    return ModelFiles(str(folder / "red.weights"), str(folder / "red.cfg"))


def job(out: Path, form: str = "jsonl") -> Job:
    return Job(str(out), form, 0.25, 0.45, ("face",))


def shards_of(pictures: Sequence[Path], length: int) -> list[Shard]:
    starts = range(0, len(pictures), length)
    return [
        Shard(number, tuple(Entry(str(path)) for path in pictures[start : start + length]))
        for number, start in enumerate(starts)
    ]


def rows(out: Path) -> list[str]:
    """All lines of the parts, in order."""
    return [line for part in sorted(out.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


class Held:
    """A picture that whoever reads it waits for, at its place in a list: a named pipe."""

    def __init__(self, path: Path) -> None:
        self.path, self._content = path, path.read_bytes()
        path.unlink()
        os.mkfifo(path)

    def wait(self) -> int:
        """Wait until somebody reads it; returns this end of the pipe."""
        return os.open(self.path, os.O_WRONLY)

    def restore(self) -> None:
        """Make it a file again, for those who open it from now on."""
        beside = self.path.with_suffix(".new")
        beside.write_bytes(self._content)
        beside.replace(self.path)

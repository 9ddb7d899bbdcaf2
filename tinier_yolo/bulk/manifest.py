"""What a folder of results is the results of: written before the first of them, compared before any more."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.files import atomic_write

MANIFEST = "manifest.json"
#: How the files of results are called.
PARTS = "part-*"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What decides about the rows, and how they are spread over files.

    Attributes:
        model: SHA-256 of the model's file.
        cfg: SHA-256 of the cfg, if there is one.
        names: of the classes.
        size: the network's input, (width, height).
        tiles: width, height and overlap of tiles, if there are any.
        thresh: the least score.
        nms: the largest IoU.
        format: jsonl or parquet.
        shard: pictures a file.
        images: how many pictures there are.
        list: SHA-256 of their names.
        version: of this package.
    """

    model: str
    cfg: str | None
    names: tuple[str, ...]
    size: tuple[int, int]
    tiles: tuple[int, int, int] | None
    thresh: float
    nms: float
    format: str
    shard: int
    images: int
    list: str
    version: str

    @property
    def parts(self) -> int:
        """How many files of results there will be."""
        return -(-self.images // self.shard)


def claim(folder: Path, manifest: Manifest, *, resume: bool) -> None:
    """Make the folder this run's: a manifest is written into it, or is found there and is the same.

    Args:
        folder: for the results.
        manifest: of this run.
        resume: whether the folder may hold a part of this run.

    Raises:
        UsageError: the folder holds another run's results, or this one's and ``resume`` is not set.
        DataError: its manifest cannot be read.
        OutputError: it cannot be written.
    """
    path = folder / MANIFEST
    own = json.loads(json.dumps(asdict(manifest)))
    if not path.exists():
        if next(folder.glob(PARTS), None) is not None:
            raise UsageError("the folder holds results without a manifest", path=folder, expected="another --out")
        with atomic_write(path, "w") as file:
            file.write(json.dumps(own, indent=2) + "\n")
        return
    saved = _read(path)
    for field in fields(manifest):
        if saved.get(field.name) != own[field.name]:
            raise UsageError("the folder holds the results of another run", path=path, place=field.name,
                             expected=saved.get(field.name), found=own[field.name])  # fmt: skip
    if not resume:
        raise UsageError("the folder holds results of this run", path=folder, expected="--resume to go on with it")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except OSError as error:
        raise DataError("cannot read the manifest", path=path, found=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise DataError("not a manifest", path=path, expected="JSON") from error
    if not isinstance(content, dict):
        raise DataError("not a manifest", path=path, expected="a JSON object")
    return content

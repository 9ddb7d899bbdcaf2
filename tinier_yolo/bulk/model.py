"""The model of a bulk run: its files, and how it is loaded here, in another process, or on another machine."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tinier_yolo.defaults import MANY_PICTURES
from tinier_yolo.detection.detector import Detector, Size
from tinier_yolo.detection.tiles import TiledDetector, load
from tinier_yolo.errors import UsageError
from tinier_yolo.shipped import cfg_file


@dataclass(frozen=True)
class ModelFiles:
    """A model by its files.

    Attributes:
        path: an .ifq, or .weights with their cfg.
        cfg: the cfg of the weights.
        size: the network's input; the model's own if None.
        threads: threads for one image.
        class_names: of the classes of weights.
        tiles: width, height and overlap of tiles in which pictures are looked at too.
    """

    path: str
    cfg: str | None = None
    size: Size | None = None
    threads: int = 1
    class_names: tuple[str, ...] | None = None
    tiles: tuple[int, int, int] | None = None

    def load(self) -> Detector | TiledDetector:
        """A detector.

        Raises:
            TinierYoloError: see ``Detector.load``.
        """
        return load(self.tiles, self.path, self.cfg, self.size, self.threads, self.class_names, MANY_PICTURES)

    def content(self) -> ModelContent:
        """The same with the files' bytes.

        Raises:
            UsageError: a file cannot be read.
        """
        return ModelContent(self, _bytes(self.path), None if self.cfg is None else _bytes(str(cfg_file(self.cfg))))


@dataclass(frozen=True)
class ModelContent:
    """A model that travels: nothing of it has to lie on the other machine.

    Attributes:
        files: what it was, for the files' names and the other arguments.
        model: the bytes of the model's file.
        cfg: the bytes of the cfg, if there is one.
    """

    files: ModelFiles
    model: bytes
    cfg: bytes | None

    @cached_property
    def digests(self) -> tuple[str, str | None]:
        """SHA-256 of both, in hexadecimal."""
        return _digest(self.model), None if self.cfg is None else _digest(self.cfg)

    def load(self) -> Detector | TiledDetector:
        """A detector, by way of temporary files.

        Raises:
            TinierYoloError: see ``Detector.load``.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"model{Path(self.files.path).suffix}")
            path.write_bytes(self.model)
            cfg = None if self.cfg is None else Path(folder, "model.cfg")
            if cfg is not None and self.cfg is not None:
                cfg.write_bytes(self.cfg)
            return replace(self.files, path=str(path), cfg=None if cfg is None else str(cfg)).load()


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError("cannot read the model", path=path, found=error.strerror) from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""What a timed run shall do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinier_yolo.darknet.network import Network


@dataclass(frozen=True)
class TimedOptions:
    """The options of a timed run.

    Attributes:
        packs: the folder of the parts (``scripts/pack_dataset.py``).
        out: the folder for weights, CSV files and curves.
        seconds: from the start to the last file, about.
        keep_seconds: seconds between two sets of files.
        probation: after so many seconds the loss must have fallen, or the run ends.
        device, precision, workers, seed: as of :class:`TrainingOptions`.
        compile: let ``torch.compile`` have the networks.
        last_size: the width and height of the last part of the run; None for the cfg's all through.
        last_share: how long that part is, of the whole.
        face_heights, scenes: of :class:`Views`, where they shall differ.
        ema: decay of the moving average of the weights.
    """

    packs: Path
    out: Path
    seconds: float
    keep_seconds: float = 60.0
    probation: float = 60.0
    device: str = "auto"
    precision: str = "auto"
    workers: int = 8
    seed: int = 0
    compile: bool = False
    last_size: int | None = None
    last_share: float = 0.4
    face_heights: tuple[float, float] | None = None
    scenes: float | None = None
    ema: float = 0.998


@dataclass(frozen=True)
class Trainee:
    """A network to train, its [net] as it shall be, and the .weights to start from (as of ``train --init``)."""

    network: Network
    init: Path | None = None

"""What a run needs beside its cfg."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinier_yolo.darknet.network import Network, check_muon
from tinier_yolo.errors import UsageError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.views import Views


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a run.

    Attributes:
        data: the .data file.
        out: the folder for weights, checkpoint, CSV files and curves.
        init: a .weights file to start from, of the same network, of its float twin, or of one half as wide.
        resume: go on with the checkpoint in ``out``.
        overwrite: begin anew in a folder that holds a run.
        skip_bad: train without the images that cannot be decoded.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``float32`` or ``bfloat16`` (of the products; weights and loss stay float32).
        workers: processes that load and augment images.
        threads: PyTorch's CPU threads; 0 leaves its own choice.
        seed: of weights, order and augmentation.
        ema: decay of the moving average of the weights.
        log_every: iterations between two rows of the CSV.
        keep_every: iterations between two checkpoints, validations and .weights snapshots; of ``log_every`` a multiple.
        norm_batches: batches by which the batch-norm statistics are estimated anew at the end.
        fused: on a CPU, take what stands behind a convolution as one operation (:mod:`tinier_yolo.training.fused`).
        views: how images are shown; None takes what the cfg says.
        augmentation: how their pixels are changed; None takes what the cfg says.
        hard: a file of images to show more often, see :mod:`tinier_yolo.training.emphasis`.
        hard_share: the share of views that show one of them.
        corrections: a file of corrections to the training labels.
        formats: the ``quantize.json`` of a report: fine-tune with the tensors rounded to its formats.
        teacher: cfg and .weights of a detector whose maps are learned from, see
            :mod:`tinier_yolo.training.distillation`.
        teacher_share: of the loss that comes from it; the labels have the rest.
    """

    data: Path
    out: Path
    init: Path | None = None
    resume: bool = False
    overwrite: bool = False
    skip_bad: bool = False
    device: str = "auto"
    precision: str = "auto"
    workers: int = 1
    threads: int = 0
    seed: int = 0
    ema: float = 0.998
    log_every: int = 20
    keep_every: int = 200
    norm_batches: int = 40
    fused: bool = True
    views: Views | None = None
    augmentation: Augmentation | None = None
    hard: Path | None = None
    hard_share: float = 0.3
    corrections: Path | None = None
    formats: Path | None = None
    teacher: tuple[Path, Path] | None = None
    teacher_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            UsageError: ``keep_every`` is no multiple of ``log_every``.
        """
        if self.log_every < 1 or self.keep_every % self.log_every:
            expected = f"a multiple of --log-every, {self.log_every}"
            raise UsageError("--keep-every does not fit --log-every", expected=expected, found=self.keep_every)


@dataclass(frozen=True)
class TrainingResult:
    """Where a run has left its weights, and their validation loss (NaN without a validation list)."""

    weights: Path
    loss: float
    iterations: int


def override(network: Network, **changes: object) -> Network:
    """The network with options of [net] replaced by those of the command line that are not None.

    Raises:
        CfgError: a new size that is no multiple of the stride, or Muon without a learning rate.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    size = given.pop("size", None)
    if isinstance(size, int):
        network = network.resized(size, size)
    options = replace(network.options, **given)  # type: ignore[arg-type]
    check_muon(network.sections[0], options.muon, options.learning_rate)
    return replace(network, options=options)

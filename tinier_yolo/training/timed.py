"""Training for a given time on a packed data set that the device holds: for a GPU that is lent by the minute.

Pixels move on the device (:mod:`.device_augment`), views are drawn by worker processes. The learning rate follows the
clock: a short rise, then half a cosine down to zero. So a run is not repeatable to the bit and cannot be resumed; its
weights are written every minute. It needs PyTorch, NumPy, OpenCV and Numba alone; curves where Matplotlib is there.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import DataError, TinierYoloError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.dataset import Batch, Example, TrainingSet, collate
from tinier_yolo.training.device_augment import PlannedBatch, PlannedSet, make_images
from tinier_yolo.training.devices import Processes, autocast_for, choose_device, choose_precision
from tinier_yolo.training.history import History, draw_curves
from tinier_yolo.training.initialize import load_initial
from tinier_yolo.training.measure import (
    TRAINING_COLUMNS,
    VALIDATION_COLUMNS,
    estimate_norms,
    means,
    numbers_of,
    validate,
)
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.packed import Packed, load_parts
from tinier_yolo.training.region_loss import region_loss
from tinier_yolo.training.state import RunState
from tinier_yolo.training.views import Boxes, Views, see

#: The part of the time that is kept for the end: statistics, validation, files.
RESERVE = 0.06
#: Steps over which the learning rate rises.
RISE = 200
#: Steps that are made whatever the clock says.
FEWEST = 3
MAX_GRADIENT = 10.0
NORM_BATCHES = 20
#: Of the loss at first, what must be left after the probation: less from random weights; good ones may rise a little.
FALLEN, RISEN = 0.95, 1.3


@dataclass(frozen=True)
class TimedOptions:
    """The options of a timed run.

    Attributes:
        packs: the folder of the parts (``scripts/pack_dataset.py``).
        out: the folder for weights, CSV files and curves.
        seconds: from the start to the last file, about.
        init: .weights to start from, as of ``train --init``.
        keep_seconds: seconds between two sets of files.
        probation: after so many seconds the loss must have fallen, or the run ends.
        device, precision, workers, seed: as of :class:`TrainingOptions`.
        compile: let ``torch.compile`` have the network.
        ema: decay of the moving average of the weights.
    """

    packs: Path
    out: Path
    seconds: float
    init: Path | None = None
    keep_seconds: float = 60.0
    probation: float = 60.0
    device: str = "auto"
    precision: str = "auto"
    workers: int = 8
    seed: int = 0
    compile: bool = False
    ema: float = 0.998


def train_timed(network: Network, options: TimedOptions) -> Path:
    """Train until the time is over; the path of the weights.

    Raises:
        TinierYoloError: bad packs or options, or a loss that does not fall.
    """
    run = TimedRun(network, options)
    run.loop()
    return run.finish()


class TimedRun:
    """A timed run."""

    def __init__(self, network: Network, options: TimedOptions) -> None:
        self.network, self.options = network, options
        self.begun = time.monotonic()
        torch.manual_seed(options.seed)
        self.device = choose_device(options.device, Processes())
        self.precision = choose_precision(options.precision, self.device)
        classes = network.region.classes
        packed = load_parts(options.packs, "train", classes)
        if packed is None:
            raise DataError("no packed training images", path=options.packs, expected="train-000.npz ...")
        held_out = load_parts(options.packs, "valid", classes)
        self.validation_batches = letterboxed(held_out, network) if held_out else []
        self.state = RunState(network, self.device, DarknetModel(network, fused=False))
        if options.init is not None:
            self.state.model.load_parameters(load_initial(options.init, network))
            self.state.average.load_state_dict(self.state.model.state_dict())
        self.pixels = torch.from_numpy(packed.images).to(self.device)
        self.planned = PlannedSet(training_set(packed, network, options.seed), packed.sizes)
        self.noise = torch.Generator(self.device).manual_seed(options.seed)
        self.training = History(self._path("_training.csv"), TRAINING_COLUMNS, 0)
        self.validation = History(self._path("_validation.csv"), VALIDATION_COLUMNS, 0)
        self.losses: list[float] = []
        took = time.monotonic() - self.begun
        size = f"{self.pixels.numel() / 2**30:.2f} GiB"
        self._tell(f"{len(packed.samples)} images, {size} on {self.device}, {self.precision}, after {took:.0f} s")

    def loop(self) -> None:
        """Steps until the time is over, but for what the end needs."""
        model: nn.Module = self.state.model
        if self.options.compile:
            model = torch.compile(model)  # type: ignore[assignment]
        start = reported = kept = time.monotonic()
        end = self.begun + self.options.seconds * (1 - RESERVE)
        sums: Counter[str] = Counter()
        model.train()
        on_probation = True
        for batch in self._batches():
            now = time.monotonic()
            if now >= end and self.state.next >= FEWEST:
                break
            sums.update(self._step(model, batch, (now - start) / max(1e-9, end - start)))
            if on_probation and now - start >= self.options.probation:
                self._check_fall()
                on_probation = False
            if now - reported >= self.options.keep_seconds / 6:
                self._report(sums, now - reported, now - start)
                sums.clear()
                reported = now
            if now - kept >= self.options.keep_seconds:
                self._keep()
                kept = time.monotonic()
        if sums:
            self._report(sums, time.monotonic() - reported, time.monotonic() - start)

    def finish(self) -> Path:
        """Estimate the batch-norm statistics of the last and the averaged weights, keep the better; as in ``train``."""
        state, losses = self.state, {}
        for kind, model in (("last", state.model), ("ema", state.average)):
            batches = (self._images(planned) for planned, _ in zip(self._batches(), range(NORM_BATCHES), strict=False))
            estimate_norms(model, batches)
            measured = validate(model, self.validation_batches, self.device) if self.validation_batches else {}
            losses[kind] = measured.get("loss", math.nan)
            state.save_weights(self._path(f"_{kind}.weights"), model)
        best = "last" if losses["last"] < losses["ema"] else "ema"
        state.save_weights(self._path(".weights"), state.average if best == "ema" else state.model)
        passes, took = state.images_seen, time.monotonic() - self.begun
        self._tell(f"validation loss: last {losses['last']:.4f}, ema {losses['ema']:.4f}, the {best} is kept")
        self._tell(f"{passes} passes in {took:.0f} s")
        return self._path(".weights")

    def _batches(self) -> Iterator[PlannedBatch]:
        ahead = 4 if self.options.workers else None
        loader = DataLoader(
            self.planned,
            batch_size=None,
            sampler=range(self.state.next, 1 << 40),
            num_workers=self.options.workers,
            prefetch_factor=ahead,
        )
        return iter(loader)

    def _images(self, planned: PlannedBatch) -> torch.Tensor:
        return make_images(self.pixels, planned, self.noise)

    def _step(self, model: nn.Module, planned: PlannedBatch, progress: float) -> dict[str, float]:
        state = self.state
        self.rate = self.network.options.learning_rate * min(1.0, (state.next + 1) / RISE) * half_cosine(progress)
        for group in state.optimizer.param_groups:
            group["lr"] = self.rate
        images = self._images(planned)
        with autocast_for(self.precision, self.device):
            output = model(images)
        loss = region_loss(output.float(), Batch(images, planned.truths, planned.ignored), self.network.region)
        loss.total.backward()  # type: ignore[no-untyped-call]
        gradient = torch.nn.utils.clip_grad_norm_(state.model.parameters(), MAX_GRADIENT)
        if torch.isfinite(gradient):
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.next += 1
        state.follow(self.options.ema)
        numbers = numbers_of(loss)
        self.losses.append(numbers["loss"])
        return numbers

    def _check_fall(self) -> None:
        """Stop a run that learns nothing while there is time left for another.

        Raises:
            TinierYoloError: the loss is not falling.
        """
        part = max(1, len(self.losses) // 4)
        first, last = float(np.mean(self.losses[:part])), float(np.mean(self.losses[-part:]))
        limit = RISEN if self.options.init else FALLEN
        if not last <= limit * first:
            expected = f"at most {limit * first:.3f} after {self.options.probation:.0f} s"
            raise TinierYoloError("the loss is not falling", expected=expected, found=f"{last:.3f}, {part} steps' mean")

    def _report(self, sums: Counter[str], seconds: float, elapsed: float) -> None:
        row = means(sums)
        self.training.append({**row, "iteration": self.state.next, "learning_rate": self.rate})
        speed = sums["weight"] * self.network.options.batch / max(1e-9, seconds)
        self._tell(
            f"{elapsed:5.0f} s  step {self.state.next}  {speed:.0f} images/s  loss {row['loss']:.3f}"
            f"  iou {row['iou']:.3f}  recall {row['recall']:.3f}"
        )

    def _keep(self) -> None:
        state = self.state
        if self.validation_batches:
            measured = validate(state.model, self.validation_batches, self.device)
            self.validation.append({**measured, "iteration": state.next})
        state.save_weights(self._path("_last.weights"), state.model)
        state.save_weights(self._path("_ema.weights"), state.average)
        with suppress(ModuleNotFoundError):  # no Matplotlib: the CSV files are enough
            draw_curves(self.training, self.validation, self._path("_curves.png"))

    def _path(self, ending: str) -> Path:
        return self.options.out / f"{Path(self.network.path).stem}{ending}"

    def _tell(self, message: str) -> None:
        print(f"{Path(self.network.path).stem}: {message}", file=sys.stderr, flush=True)


def half_cosine(progress: float) -> float:
    """1 at the start, 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


def training_set(packed: Packed, network: Network, seed: int) -> TrainingSet:
    """How a packed set is shown: at the cfg's size, views and colours as the cfg says."""
    net = network.options
    views = Views.of(net, network.region.jitter)
    return TrainingSet(packed.samples, net.batch, ((net.width, net.height),), views, Augmentation.of(net), seed)


def letterboxed(packed: Packed, network: Network, batch: int = 32) -> Sequence[Batch]:
    """The images of a packed set as detection sees them."""
    size = network.options.width, network.options.height

    def example(index: int) -> Example:
        width, height = packed.size(index)
        box = Letterbox.fit((width, height), size, network.options.letter_box)
        matrix = np.array([[box.scale[0], 0, box.offset[0]], [0, box.scale[1], box.offset[1]]], np.float64)
        sample = packed.samples[index]
        truth = see(Boxes(sample.boxes, sample.class_ids, sample.ignored), (width, height), matrix, size).truth
        return Example(box.apply(packed.images[index, :height, :width]), truth)

    count = len(packed.samples)
    groups = (range(start, min(start + batch, count)) for start in range(0, count, batch))
    return [collate([example(index) for index in group]) for group in groups]

"""Training for a given time on a packed data set that the device holds: for a GPU that is lent by the minute.

Pixels move on the device (:mod:`.device_augment`), views are drawn by worker processes. The learning rate follows the
clock: a short rise, then half a cosine down to zero. So a run is not repeatable to the bit and cannot be resumed; its
weights are written every minute. It needs PyTorch, NumPy, OpenCV and Numba alone; curves where Matplotlib is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.dataset import Batch, Example, TrainingSet, collate
from tinier_yolo.training.device_augment import make_images, recolour
from tinier_yolo.training.device_plan import PlannedBatch, PlannedSet
from tinier_yolo.training.devices import choose_device, choose_precision
from tinier_yolo.training.feed import load_batches
from tinier_yolo.training.learner import Learner, tell
from tinier_yolo.training.packed import Packed, load_parts
from tinier_yolo.training.processes import Processes
from tinier_yolo.training.timed_options import TimedOptions, Trainee
from tinier_yolo.training.views import Boxes, Views, see

#: The part of the time that is kept for the end: statistics, validation, files.
RESERVE = 0.06
#: Steps that are made whatever the clock says.
FEWEST = 3
NORM_BATCHES = 20


def train_timed(trainees: Sequence[Trainee], options: TimedOptions) -> list[Path]:
    """Train networks on the same images until the time is over; the paths of their weights.

    Size, batch, views and colours are those of the first one; each has its own learning rate.

    Raises:
        TinierYoloError: bad packs or options, networks that do not see the same, or a loss that does not fall.
    """
    run = TimedRun(trainees, options)
    run.loop()
    return run.finish()


class TimedRun:
    """A timed run: the images, and the networks that learn from them."""

    def __init__(self, trainees: Sequence[Trainee], options: TimedOptions) -> None:
        self.options = options
        self.begun = time.monotonic()
        torch.manual_seed(options.seed)
        torch.backends.cudnn.benchmark = True
        self.device = choose_device(options.device, Processes())
        precision = choose_precision(options.precision, self.device)
        network = trainees[0].network
        check_same_view([trainee.network for trainee in trainees])
        packed = load_parts(options.packs, "train", network.region.classes)
        if packed is None:
            raise DataError("no packed training images", path=options.packs, expected="train-000.npz ...")
        self.pixels = torch.from_numpy(packed.images).to(self.device)
        self.planned = PlannedSet(training_set(packed, network, options), packed.sizes)
        self.next = 0
        self.colours = torch.compile(recolour) if self.device.type == "cuda" else recolour
        self.noise = torch.Generator(self.device).manual_seed(options.seed)
        held_out = load_parts(options.packs, "valid", network.region.classes)
        last_size = (options.last_size,) * 2 if options.last_size else (network.options.width, network.options.height)
        validation = letterboxed(held_out, network, last_size) if held_out else []
        self.learners = [Learner(trainee, options, self.device, precision, validation) for trainee in trainees]
        took, size = time.monotonic() - self.begun, f"{self.pixels.numel() / 2**30:.2f} GiB"
        tell(f"{len(packed.samples)} images, {size} on {self.device}, {precision}, after {took:.0f} s")

    def loop(self) -> None:
        """Steps until the time is over, but for what the end needs."""
        self.start = time.monotonic()
        length = self.begun + self.options.seconds * (1 - RESERVE) - self.start
        self._run(length, 1 - self.options.last_share if self.options.last_size else 1.0)
        if self.options.last_size:
            size = self.options.last_size, self.options.last_size
            self.planned = replace(self.planned, views=replace(self.planned.views, sizes=(size,)))
            tell(f"from here at {size[0]}x{size[1]}")
            self._run(length, 1.0)

    def finish(self) -> list[Path]:
        """The weights of every learner, with statistics of the last views."""
        batches = zip(self._batches(), range(NORM_BATCHES), strict=False)
        images = [self._images(planned).to(torch.uint8) for planned, _ in batches]
        paths = [learner.finish(images) for learner in self.learners]
        tell(f"{self.next * self.planned.views.batch} passes in {time.monotonic() - self.begun:.0f} s")
        return paths

    def _run(self, length: float, until: float) -> None:
        """Steps until that part of ``length`` seconds is over."""
        reported = kept = time.monotonic()
        on_probation = self.next == 0
        for planned in self._batches():
            now = time.monotonic()
            if now - self.start >= until * length and self.next >= FEWEST:
                break
            self._step(planned, (now - self.start) / max(1e-9, length))
            if on_probation and now - self.start >= self.options.probation:
                for learner in self.learners:
                    learner.check_fall()
                on_probation = False
            if now - reported >= self.options.keep_seconds / 6:
                self._report(now - reported)
                reported = now
            if now - kept >= self.options.keep_seconds:
                for learner in self.learners:
                    learner.keep()
                kept = time.monotonic()
        self._report(time.monotonic() - reported)

    def _step(self, planned: PlannedBatch, progress: float) -> None:
        # Nothing here waits for the device: the CPU hands out the next step's work while the device does this one's.
        images = self._images(planned)
        batch = Batch(images, planned.truths, planned.ignored)
        for learner in self.learners:
            learner.step(batch, progress)
        self.next += 1

    def _report(self, seconds: float) -> None:
        for learner in self.learners:
            learner.report(time.monotonic() - self.start, seconds)

    def _batches(self) -> Iterator[PlannedBatch]:
        return load_batches(self.planned, range(self.next, 1 << 40), self.options.workers)

    def _images(self, planned: PlannedBatch) -> torch.Tensor:
        return make_images(self.pixels, planned, self.noise, self.colours)


def check_same_view(networks: Sequence[Network]) -> None:
    """Check that networks can learn from the same images.

    Raises:
        UsageError: sizes, channels, batches or classes differ, or two would write the same files.
    """
    wanted = [(net.options.width, net.options.height, net.options.batch, net.region.classes) for net in networks]
    for network, found in zip(networks, wanted, strict=True):
        if found != wanted[0]:
            place = "width, height, batch, classes"
            raise UsageError(
                "networks of one run differ", path=network.path, place=place, expected=wanted[0], found=found
            )
    stems = [Path(network.path).stem for network in networks]
    if len(set(stems)) < len(stems):
        raise UsageError("two networks of one run have the same name", found=", ".join(stems))


def training_set(packed: Packed, network: Network, options: TimedOptions) -> TrainingSet:
    """How a packed set is shown: at the cfg's size, views and colours as the cfg and the options say."""
    net = network.options
    views = Views.of(net, network.region.jitter)
    if options.face_heights is not None:
        views = replace(views, smallest=options.face_heights[0], largest=options.face_heights[1])
    if options.scenes is not None:
        views = replace(views, scenes=options.scenes)
    size = net.width, net.height
    return TrainingSet(packed.samples, net.batch, (size,), views, Augmentation.of(net), options.seed)


def letterboxed(packed: Packed, network: Network, size: tuple[int, int], batch: int = 32) -> Sequence[Batch]:
    """The images of a packed set as detection sees them at a size (width, height)."""

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

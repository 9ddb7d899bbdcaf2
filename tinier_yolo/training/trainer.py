"""The training loop. It reads from top to bottom: prepare, step, measure, keep, finish.

A run is a function of its cfg, data, options and seed: batches depend on (seed, iteration) alone, checkpoints hold
everything else, so that a run killed at any moment and resumed ends, on one machine, with the same bits as one that
never stopped.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from tinier_yolo.darknet.cfg import keys_without_effect
from tinier_yolo.darknet.data import load_data, load_samples
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.training.augment import Augmentation
from tinier_yolo.training.checkpoint import (
    Checkpoint,
    average_into,
    check_same_run,
    optimizer_tensors,
    restore_optimizer,
)
from tinier_yolo.training.dataset import Batch, TrainingSet, ValidationSet
from tinier_yolo.training.devices import Processes, autocast_for, choose_device, choose_precision
from tinier_yolo.training.history import History, draw_curves
from tinier_yolo.training.initialize import load_initial
from tinier_yolo.training.memory import keep_memory
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.portable import portable
from tinier_yolo.training.region_loss import RegionLoss, expect_background, region_loss
from tinier_yolo.training.schedule import learning_rate

TRAINING_COLUMNS = ("iteration", "learning_rate", "loss", "box", "objectness", "background", "iou", "recall")
VALIDATION_COLUMNS = ("iteration", "loss", "iou", "recall")
MAX_GRADIENT = 10.0


@dataclass(frozen=True)
class TrainingOptions:
    """What a run needs beside its cfg.

    Attributes:
        data: the .data file.
        out: the folder for weights, checkpoint, CSV files and curves.
        init: a .weights file to start from, of the same network or of its float twin.
        resume: go on with the checkpoint in ``out``.
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
    """

    data: Path
    out: Path
    init: Path | None = None
    resume: bool = False
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


@dataclass(frozen=True)
class TrainingResult:
    """Where a run has left its weights, and their validation loss (NaN without a validation list)."""

    weights: Path
    loss: float
    iterations: int


def train(network: Network, options: TrainingOptions) -> TrainingResult:
    """Train a detector; see :class:`Trainer`.

    Raises:
        TinierYoloError: bad data, files or options, before the first step.
    """
    with Processes() as processes:
        trainer = Trainer(network, options, processes)
        trainer.run()
        return trainer.finish()


class Trainer:
    """The state of a run: model, average, optimiser, histories, and the next iteration."""

    def __init__(self, network: Network, options: TrainingOptions, processes: Processes) -> None:
        self.network, self.options, self.processes = network, options, processes
        if options.log_every < 1 or options.keep_every % options.log_every:
            raise UsageError("keep_every is not a multiple of log_every", found=options.keep_every)
        if network.options.batch % (network.options.subdivisions * processes.world):
            divisor = f"a multiple of subdivisions x processes, {network.options.subdivisions * processes.world}"
            raise UsageError("batch cannot be divided", expected=divisor, found=network.options.batch)
        if options.threads:
            torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.device = choose_device(options.device, processes)
        self.precision = choose_precision(options.precision, self.device)
        self._load_data()
        if self.device.type == "cpu":
            keep_memory()
        self.model = DarknetModel(network, options.fused)
        expect_background(self.model)
        self.average = copy.deepcopy(self.model)
        self.optimizer = _optimizer(self.model, network)
        self.next, self.finished = 0, False
        self.checkpoint_path = options.out / f"{self.name}.checkpoint"
        self._begin()
        self.training = History(options.out / f"{self.name}_training.csv", TRAINING_COLUMNS, self.next)
        self.validation = History(options.out / f"{self.name}_validation.csv", VALIDATION_COLUMNS, self.next)

    @property
    def name(self) -> str:
        """The stem of all files of the run: the cfg's."""
        return Path(self.network.path).stem

    def run(self) -> None:
        """All steps that are left."""
        net, options = self.network.options, self.options
        model: nn.Module = self.model
        if self.processes.world > 1:
            model = DistributedDataParallel(self.model)
        batches = self._batches(self.next, net.max_batches)
        sums: Counter[str] = Counter()
        self.model.train()
        with tqdm(total=net.max_batches, initial=self.next, unit="it", disable=not self.processes.is_first) as bar:
            for iteration in range(self.next, net.max_batches):
                sums.update(self._step(model, batches, iteration))
                self.next = iteration + 1
                bar.update()
                if self.next % options.log_every == 0 or self.next == net.max_batches:
                    rate = (bar.format_dict["rate"] or 0) * net.batch
                    bar.set_postfix_str(f"{self._log(sums)}, {rate:.0f} images/s")
                    sums.clear()
                if self.next % options.keep_every == 0 or self.next == net.max_batches:
                    self._keep()

    def finish(self) -> TrainingResult:
        """Estimate the batch-norm statistics anew for the last and the averaged weights; keep the better of the two.

        Averaged latent weights have other signs, hence other statistics, than any network that was trained: without
        this step their binary network is worse than the last one.
        """
        path = self.options.out / f"{self.name}.weights"
        if not self.processes.is_first:
            return TrainingResult(path, float("nan"), self.next)
        # Before the statistics change: whoever prolongs the run goes on from the state that the last step left.
        state = copy.deepcopy(self.model.state_dict()), copy.deepcopy(self.average.state_dict())
        losses = {}
        for kind, model in (("last", self.model), ("ema", self.average)):
            self._estimate_norms(model)
            losses[kind] = self._validate(model)["loss"] if self.held_out else float("nan")
            _save(self.options.out / f"{self.name}_{kind}.weights", model, self._images_seen)
        best = "last" if losses["last"] < losses["ema"] else "ema"
        _save(path, self.average if best == "ema" else self.model, self._images_seen)
        self.model.load_state_dict(state[0])
        self.average.load_state_dict(state[1])
        self._save_checkpoint(finished=True)
        self._tell(f"validation loss: last {losses['last']:.4f}, ema {losses['ema']:.4f}; {path} is the {best}")
        return TrainingResult(path, losses[best], self.next)

    # ------------------------------------------------------------------------------------------ preparation

    def _load_data(self) -> None:
        data = load_data(self.options.data)
        classes = len(data.class_names)
        if data.train is None:
            raise DataError("no train list", path=data.path, expected="train = FILE")
        if classes != self.network.region.classes:
            raise DataError("classes differ from the cfg's", path=data.path, expected=self.network.region.classes)
        self.samples = load_samples(data.train, classes)
        self.held_out = load_samples(data.valid, classes) if data.valid else ()

    def _begin(self) -> None:
        for model in (self.model, self.average):
            model.to(self.device)
        if self.options.resume and self.checkpoint_path.is_file():
            self._restore()
        elif self.options.init is not None:
            self.model.load_parameters(load_initial(self.options.init, self.network))
            self.average.load_state_dict(self.model.state_dict())
            self._tell(f"weights from {self.options.init}")
        if self.finished and self.next >= self.network.options.max_batches:
            raise UsageError(
                "nothing to train", path=self.checkpoint_path, expected="max_batches beyond it", found=self.next
            )
        if self.processes.is_first:
            _prepare_folder(self)
        if ignored := keys_without_effect(self.network.sections):
            self._tell("without effect here: " + ", ".join(ignored))
        images = f"{len(self.samples)} images, {len(self.held_out)} for validation"
        kind = f"{self.device.type}, {self.precision}, {self.processes.world} process(es)"
        self._tell(f"{images}; {kind}; starting at iteration {self.next} of {self.network.options.max_batches}")

    def _restore(self) -> None:
        checkpoint = Checkpoint.load(self.checkpoint_path)
        check_same_run(checkpoint, self._identity(), self.checkpoint_path)
        self.model.load_state_dict(checkpoint.part("model"))
        self.average.load_state_dict(checkpoint.part("ema"))
        restore_optimizer(self.optimizer, checkpoint.part("optimizer"))
        torch.set_rng_state(checkpoint.tensors["rng"])
        self.next, self.finished = int(checkpoint.values["iteration"]), bool(checkpoint.values["finished"])

    def _identity(self) -> dict[str, object]:
        """What a run must share with a checkpoint to go on from it."""
        net = asdict(self.network.options)
        net["steps"], net["scales"] = list(net["steps"]), list(net["scales"])
        del net["max_batches"]  # a finished run may be prolonged
        text = hashlib.sha256(self.network.text.encode()).hexdigest()
        return {"cfg": text, **net, "seed": self.options.seed, "world": self.processes.world}

    def _batches(self, start: int, stop: int) -> Iterator[Batch]:
        """This process's share of the batches of iterations ``start`` to ``stop``."""
        net, options = self.network.options, self.options
        augmentation = Augmentation.of(net, self.network.region.jitter)
        dataset = TrainingSet(
            self.samples,
            net.batch // (net.subdivisions * self.processes.world),
            _sizes(self.network),
            augmentation,
            seed=options.seed,
            hold=10 * net.subdivisions,
            rank=self.processes.rank,
            world=self.processes.world,
        )
        steps = range(start * net.subdivisions, stop * net.subdivisions)
        ahead = 4 if options.workers else None
        try:
            yield from DataLoader(
                dataset, batch_size=None, sampler=steps, num_workers=options.workers, prefetch_factor=ahead
            )
        except DataError as error:
            if "\n" not in error.problem:
                raise
            # From a worker it comes with the worker's traceback in front; the last line is what it says.
            message = error.problem.rstrip().rpartition("\n")[2]
            raise DataError(message.removeprefix(f"{DataError.__module__}.{DataError.__name__}: ")) from error

    # ------------------------------------------------------------------------------------------------- work

    def _step(self, model: nn.Module, batches: Iterator[Batch], iteration: int) -> dict[str, float]:
        net = self.network.options
        rate = learning_rate(net, iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        measured: Counter[str] = Counter()
        for _ in range(net.subdivisions):
            batch = next(batches)
            with self._autocast():
                output = model(batch.images.to(self.device))
            loss = region_loss(output.float(), batch, self.network.region)
            (loss.total / net.subdivisions).backward()  # type: ignore[no-untyped-call]
            measured.update(_numbers(loss))
        gradient = torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT)
        if torch.isfinite(gradient):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # The average follows closely at first, when the weights still run.
        average_into(self.average, self.model, min(self.options.ema, (1 + iteration) / (10 + iteration)))
        return dict(measured)

    def _log(self, sums: Counter[str]) -> str:
        row = _means(sums, TRAINING_COLUMNS)
        row |= {"iteration": self.next, "learning_rate": learning_rate(self.network.options, self.next - 1)}
        if self.processes.is_first:
            self.training.append(row)
        return f"loss {row['loss']:.3f} iou {row['iou']:.3f} recall {row['recall']:.3f}"

    def _keep(self) -> None:
        """Validate, then write the checkpoint, the snapshots and the curves."""
        if not self.processes.is_first:
            return
        if self.held_out and self.next not in self.validation.column("iteration"):
            self.validation.append({**self._validate(self.model), "iteration": self.next})
        self._save_checkpoint(finished=False)
        _save(self.options.out / f"{self.name}_last.weights", self.model, self._images_seen)
        draw_curves(self.training, self.validation, self.options.out / f"{self.name}_curves.png")

    def _save_checkpoint(self, finished: bool) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(self.optimizer).items()}
        tensors["rng"] = torch.get_rng_state()
        values = {**self._identity(), "iteration": self.next, "finished": finished}
        Checkpoint(tensors, values).save(self.checkpoint_path)

    def _validate(self, model: DarknetModel) -> dict[str, float]:
        net = self.network.options
        dataset = ValidationSet(self.held_out, 16, (net.width, net.height), net.letter_box)
        sums: Counter[str] = Counter()
        model.eval()
        with torch.no_grad():
            for index in range(len(dataset)):
                batch = dataset[index]
                output = model(batch.images.to(self.device))
                sums.update(_numbers(region_loss(output.float(), batch, self.network.region), len(batch.images)))
        model.train()
        return _means(sums, VALIDATION_COLUMNS)

    def _estimate_norms(self, model: DarknetModel) -> None:
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        if not norms or not self.options.norm_batches:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
        model.train()
        with torch.no_grad():
            for batch in self._batches(0, self.options.norm_batches):
                model(batch.images.to(self.device))
        model.eval()

    # ----------------------------------------------------------------------------------------------- helpers

    @property
    def _images_seen(self) -> int:
        return self.next * self.network.options.batch

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast_for(self.precision, self.device)

    def _tell(self, message: str) -> None:
        if self.processes.is_first:
            print(f"{self.name}: {message}", file=sys.stderr, flush=True)


def override(network: Network, **changes: object) -> Network:
    """The network with options of [net] replaced by those of the command line that are not None.

    Raises:
        CfgError: a new size that is no multiple of the stride.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    size = given.pop("size", None)
    if isinstance(size, int):
        network = network.resized(size, size)
    return replace(network, options=replace(network.options, **given))  # type: ignore[arg-type]


def _optimizer(model: DarknetModel, network: Network) -> torch.optim.Optimizer:
    net = network.options
    # Decay pulls on float products only. A latent binary weight's size means nothing, save for its sign's inertia.
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in model.children_of_layers:
        for name, parameter in module.named_parameters():
            layer = getattr(module, "layer", None)
            float_weight = name == "weights" and not getattr(layer, "binary", False)
            (decayed if float_weight else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": net.decay}, {"params": free, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if net.adam:
        return torch.optim.AdamW(groups, lr=net.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=net.learning_rate, momentum=net.momentum)


def _sizes(network: Network) -> tuple[tuple[int, int], ...]:
    """The input sizes of multi-scale training: from 0.7 to 1.3 times the cfg's, in steps of the stride."""
    width, height, stride = network.options.width, network.options.height, network.stride
    if not network.region.random:
        return ((width, height),)
    cells, spread = width // stride, round(0.3 * width / stride)
    return tuple(
        (stride * n, stride * max(1, round(n * height / width)))
        for n in range(max(1, cells - spread), cells + spread + 1)
    )


def _numbers(loss: RegionLoss, weight: float = 1.0) -> dict[str, float]:
    parts = {"loss": loss.total, "box": loss.box, "objectness": loss.objectness, "background": loss.background}
    numbers = {name: weight * float(part.detach()) for name, part in parts.items()}
    return {**numbers, "iou": float(loss.iou), "recall": float(loss.recall), "faces": loss.faces, "weight": weight}


def _means(sums: Counter[str], columns: tuple[str, ...]) -> dict[str, float]:
    faces = max(1, sums["faces"])
    return {
        name: sums[name] / (faces if name in ("iou", "recall") else max(1, sums["weight"]))
        for name in columns
        if name in ("loss", "box", "objectness", "background", "iou", "recall")
    }


def _save(path: Path, model: DarknetModel, images_seen: int) -> None:
    save_weights(path, model.network, portable(model.network, model.parameters_of_layers()), images_seen)


def _prepare_folder(trainer: Trainer) -> None:
    # A new run must not be mistaken for the old one's continuation when it is killed before its first checkpoint.
    if trainer.next == 0:
        trainer.checkpoint_path.unlink(missing_ok=True)
    trainer.options.out.mkdir(parents=True, exist_ok=True)

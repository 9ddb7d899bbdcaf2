"""Training, from top to bottom: prepare, step, keep, finish.

A run is a function of its cfg, data, options and seed: batches depend on (seed, iteration) alone, checkpoints hold
everything else, so that a run killed at any moment and resumed ends, on the same machines, with the same bits as one
that never stopped.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from tinier_yolo.darknet.cfg import keys_without_effect
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import UsageError
from tinier_yolo.training.beginning import load_start
from tinier_yolo.training.devices import autocast_for, choose_device, choose_precision
from tinier_yolo.training.distillation import Teacher
from tinier_yolo.training.feed import check_norms
from tinier_yolo.training.fixed_point import FixedPointModel, read_formats
from tinier_yolo.training.folder import locked, refuse_old_run
from tinier_yolo.training.history import History, draw_curves
from tinier_yolo.training.measure import estimate_norms, validation_sums
from tinier_yolo.training.memory import keep_memory
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.optimizer import MAX_GRADIENT
from tinier_yolo.training.options import TrainingOptions, TrainingResult
from tinier_yolo.training.processes import Processes
from tinier_yolo.training.schedule import learning_rate
from tinier_yolo.training.state import RunState, run_identity
from tinier_yolo.training.task import AnyBatch, task_of


def train(network: Network, options: TrainingOptions) -> TrainingResult:
    """Train a detector or a classifier and leave its weights, checkpoint, histories and curves in ``options.out``.

    Raises:
        TinierYoloError: bad data, files or options, before the first step.
    """
    stem = Path(network.path).stem
    with Processes() as processes, ExitStack() as held:
        with processes.together():
            # The folder is the first process's alone; to the others it may be the same or not.
            if processes.is_first:
                refuse_old_run(options.out, stem, options.resume, options.overwrite)
            run = Run(network, options, processes)
        processes.check_alike(run.shared)
        run.take_up()
        with processes.together():
            if processes.is_first:
                held.enter_context(locked(options.out, stem))
            run.begin()
        run.loop()
        return run.finish()


class Run:
    """A training run on this process."""

    def __init__(self, network: Network, options: TrainingOptions, processes: Processes) -> None:
        self.network, self.options, self.processes = network, options, processes
        net = network.options
        if net.channels != 3:
            raise UsageError("not a network for RGB images", expected="channels=3", found=net.channels)
        if net.batch % (net.subdivisions * processes.world):
            divisor = f"a multiple of subdivisions x processes, {net.subdivisions * processes.world}"
            raise UsageError("batch cannot be divided", expected=divisor, found=net.batch)
        check_norms(network, net.batch // (net.subdivisions * processes.world))
        if options.threads:
            torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        self.device = choose_device(options.device, processes)
        self.precision = choose_precision(options.precision, self.device)
        self.task = task_of(network)
        # Refused before all images are looked at, which takes a while.
        formats = read_formats(options.formats, network) if options.formats else None
        self.teacher = (
            Teacher(*options.teacher, options.teacher_share, network, self.device, self.precision)
            if options.teacher
            else None
        )
        self.feed = self.task.load_feed(options, processes)
        self.identity = run_identity(network, self.feed, options.seed)
        if self.device.type == "cpu":
            keep_memory()
        model = FixedPointModel(network, formats) if formats else DarknetModel(network, options.fused)
        self.state = RunState(network, self.device, model)
        if isinstance(model, FixedPointModel):
            self.identity["formats"] = model.identity
        if self.teacher is not None:
            self.identity["teacher"] = self.teacher.identity

    @property
    def shared(self) -> dict[str, object]:
        """What the processes of a run must have in common, as JSON holds it."""
        training, validation = self.feed.counts
        numbers = {"number of training images": training, "number of validation images": validation}
        options = {"max_batches": self.network.options.max_batches, "--resume": self.options.resume}
        return {**self.identity, **numbers, **options, "precision": self.precision}

    # ------------------------------------------------------------------------------------------ preparation

    def take_up(self) -> None:
        """Read the checkpoint of the first process, or the initial weights."""
        checkpoint = self._path(".checkpoint")
        kept = self.processes.file_of_first(checkpoint) if self.options.resume else nullcontext()
        state = self.state
        with kept as here, self.processes.together():
            self._take_up(here)
            if state.finished and state.next >= self.network.options.max_batches:
                raise UsageError(
                    "nothing to train", path=checkpoint, expected="max_batches beyond it", found=state.next
                )
        # What chance has drawn could differ between two versions of PyTorch.
        self.processes.copy_first([*state.model.state_dict().values()])

    def _take_up(self, checkpoint: Path | None) -> None:
        state, options = self.state, self.options
        if checkpoint is not None:
            state.restore(checkpoint, self.identity)
        elif options.init is not None:
            initial = load_start(options.init, self.network, state.model.parameters_of_layers())
            state.model.load_parameters(initial.parameters)
            state.average.load_state_dict(state.model.state_dict())
            part = "" if initial.taken == initial.layers else f", the first {initial.taken} of {initial.layers} layers"
            self._tell(f"weights from {options.init}{part}")
        elif options.formats:
            raise UsageError("--formats is for fine-tuning", expected="--init WEIGHTS of the float network")
        if isinstance(state.model, FixedPointModel):
            state.model.program(
                self.task.class_names(options)
            )  # So that formats that do not fit are told before the first step.

    def begin(self) -> None:
        """Open the histories, and say what will be done."""
        state = self.state
        if self.processes.is_first:
            # A new run must not be mistaken for the old one's continuation when it is killed before its checkpoint.
            if state.next == 0:
                self._path(".checkpoint").unlink(missing_ok=True)
            self.training = History(self._path("_training.csv"), self.task.training_columns, state.next)
            self.validation = History(self._path("_validation.csv"), self.task.validation_columns, state.next)
        if ignored := keys_without_effect(self.network.sections):
            self._tell("without effect here: " + ", ".join(ignored))
        images = "{} images, {} for validation".format(*self.feed.counts)
        kind = f"{self.device.type}, {self.precision}, {self.processes.world} process(es)"
        self._tell(f"{images}; {kind}; starting at iteration {state.next} of {self.network.options.max_batches}")
        if self.processes.is_first and state.next == 0:
            self.task.begin(self.feed)

    # ------------------------------------------------------------------------------------------------- loop

    def loop(self) -> None:
        """All steps that are left."""
        state, options, end = self.state, self.options, self.network.options.max_batches
        batches = self.feed.batches(state.next, end)
        sums: Counter[str] = Counter()
        state.model.train()
        with tqdm(total=end, initial=state.next, unit="it", disable=not self.processes.is_first) as bar:
            for iteration in range(state.next, end):
                sums.update(self.step(batches, iteration))
                bar.update()
                if state.next % options.log_every == 0 or state.next == end:
                    rate = (bar.format_dict["rate"] or 0) * self.network.options.batch
                    bar.set_postfix_str(f"{self._log(sums)}, {rate:.0f} images/s")
                    sums.clear()
                if state.next % options.keep_every == 0 or state.next == end:
                    self._keep()

    def step(self, batches: Iterator[AnyBatch], iteration: int) -> dict[str, float]:
        """One step of the optimiser; the sums of what the task measures over its subdivisions."""
        net, state = self.network.options, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(net, iteration)
        measured: Counter[str] = Counter()
        for _ in range(net.subdivisions):
            batch = next(batches)
            images = batch.images.to(self.device)
            with autocast_for(self.precision, self.device):
                output = state.model(images)
            loss, numbers = self.task.measure(output.float(), batch)
            if self.teacher is not None:
                loss = self.teacher.mix(loss, images, output.float())
            (loss / net.subdivisions).backward()  # type: ignore[no-untyped-call]
            measured.update(numbers)
        self.processes.average([weight.grad for weight in state.model.parameters() if weight.grad is not None])
        gradient = torch.nn.utils.clip_grad_norm_(state.model.parameters(), MAX_GRADIENT)
        if torch.isfinite(gradient):
            with autocast_for(self.precision, self.device):  # Muon's products
                state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.next = iteration + 1
        state.follow(self.options.ema)
        return dict(measured)

    def _log(self, sums: Counter[str]) -> str:
        row = self.task.means(sums)
        rate = learning_rate(self.network.options, self.state.next - 1)
        if self.processes.is_first:
            self.training.append({**row, "iteration": self.state.next, "learning_rate": rate})
        return self.task.describe(row)

    def _keep(self) -> None:
        """Validate, then write the checkpoint, the snapshots and the curves."""
        state = self.state
        if not self.processes.is_first:
            return
        if len(self.feed.validation) and state.next not in self.validation.column("iteration"):
            self.validation.append({**self._validate(state.model), "iteration": state.next})
        state.save(self._path(".checkpoint"), self.identity)
        state.save_weights(self._path("_last.weights"), state.model)
        draw_curves(self.training, self.validation, self._path("_curves.png"), self.task.shares, self.task.unit)

    def _validate(self, model: DarknetModel) -> dict[str, float]:
        """The measures of a model on the validation images; none where there are no images."""

        def measure(output: Tensor, batch: AnyBatch) -> dict[str, float]:
            return self.task.measure(output, batch, len(batch.images))[1]

        images = self.feed.validation
        return self.task.means(validation_sums(model, images, self.device, measure)) if len(images) else {}

    # --------------------------------------------------------------------------------------------------- end

    def finish(self) -> TrainingResult:
        """Estimate the batch-norm statistics anew for the last and the averaged weights; keep the better of the two.

        Averaged latent weights have other signs, hence other statistics, than any network that was trained: without
        this step their binary network is worse than the last one.
        """
        state, path = self.state, self._path(".weights")
        if not self.processes.is_first:
            return TrainingResult(path, float("nan"), state.next)
        # Before the statistics change: whoever prolongs the run goes on from the state that the last step left.
        kept = copy.deepcopy(state.model.state_dict()), copy.deepcopy(state.average.state_dict())
        merits, losses, nothing = {}, {}, float("nan")
        name, more_is_better = self.task.merit
        for kind, model in (("last", state.model), ("ema", state.average)):
            self._estimate_norms(model, kind)
            measured = self._validate(model)
            losses[kind], merits[kind] = measured.get("loss", nothing), measured.get(name, nothing)
            state.save_weights(self._path(f"_{kind}.weights"), model)
        last_is_better = merits["last"] > merits["ema"] if more_is_better else merits["last"] < merits["ema"]
        best = "last" if last_is_better else "ema"
        chosen = state.average if best == "ema" else state.model
        state.save_weights(path, chosen)
        if isinstance(chosen, FixedPointModel):
            chosen.program(self.task.class_names(self.options)).save(self._path(".ifq"))
        state.model.load_state_dict(kept[0])
        state.average.load_state_dict(kept[1])
        state.save(self._path(".checkpoint"), self.identity, finished=True)
        self._tell(f"validation {name}: last {merits['last']:.4f}, ema {merits['ema']:.4f}; {path} is the {best}")
        return TrainingResult(path, losses[best], state.next)

    def _estimate_norms(self, model: DarknetModel, kind: str) -> None:
        count = self.options.norm_batches
        total = count * self.network.options.subdivisions
        batches = tqdm(self.feed.batches(0, count), f"batch-norm statistics, {kind}", total, leave=False)
        estimate_norms(model, (batch.images.to(self.device) for batch in batches))

    # ----------------------------------------------------------------------------------------------- helpers

    def _path(self, ending: str) -> Path:
        """A file of the run: the cfg's stem and an ending."""
        return self.options.out / f"{Path(self.network.path).stem}{ending}"

    def _tell(self, message: str) -> None:
        if self.processes.is_first:
            print(f"{Path(self.network.path).stem}: {message}", file=sys.stderr, flush=True)

"""A network of a timed run: its steps, reports and files."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from tinier_yolo.errors import TinierYoloError
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.devices import autocast_for
from tinier_yolo.training.history import History, draw_curves
from tinier_yolo.training.initialize import load_initial
from tinier_yolo.training.measure import (
    TRAINING_COLUMNS,
    VALIDATION_COLUMNS,
    estimate_norms,
    means,
    tensors_of,
    validate,
)
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.optimizer import MAX_GRADIENT
from tinier_yolo.training.region_loss import region_loss
from tinier_yolo.training.state import RunState
from tinier_yolo.training.timed_options import TimedOptions, Trainee

#: Steps over which the learning rate rises.
RISE = 200
#: Of the loss at first, what must be left after the probation: less from random weights; good ones may rise a little.
FALLEN, RISEN = 0.95, 1.3


class Learner:
    """A network of a timed run."""

    def __init__(
        self,
        trainee: Trainee,
        options: TimedOptions,
        device: torch.device,
        precision: str,
        validation: Sequence[Batch],
    ) -> None:
        self.network, self.options, self.device, self.precision = trainee.network, options, device, precision
        self.state = RunState(self.network, device, DarknetModel(self.network, fused=False))
        if trainee.init is not None:
            self.state.model.load_parameters(load_initial(trainee.init, self.network))
            self.state.average.load_state_dict(self.state.model.state_dict())
        model: nn.Module = self.state.model
        self.model = torch.compile(model) if options.compile else model
        self.model.train()  # type: ignore[attr-defined]
        self.may_rise = RISEN if trainee.init else FALLEN
        self.training = History(self._path("_training.csv"), TRAINING_COLUMNS, 0)
        self.validation = History(self._path("_validation.csv"), VALIDATION_COLUMNS, 0)
        self.held_out = validation
        self.losses: list[torch.Tensor] = []
        self.unreported: list[dict[str, torch.Tensor]] = []
        self.rate = 0.0

    def step(self, batch: Batch, progress: float) -> None:
        """One step of the optimiser; ``progress`` runs from 0 to 1."""
        state = self.state
        self.rate = self.network.options.learning_rate * min(1.0, (state.next + 1) / RISE) * half_cosine(progress)
        for group in state.optimizer.param_groups:
            group["lr"] = self.rate
        with autocast_for(self.precision, self.device):
            output = self.model(batch.images)
        loss = region_loss(output.float(), batch, self.network.region)
        loss.total.backward()  # type: ignore[no-untyped-call]
        clip_gradients(state.model)
        with autocast_for(self.precision, self.device):  # Muon's products
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.next += 1
        state.follow(self.options.ema)
        self.losses.append(loss.total.detach())
        self.unreported.append(tensors_of(loss))

    def check_fall(self) -> None:
        """Stop a run that learns nothing while there is time left for another.

        Raises:
            TinierYoloError: the loss is not falling.
        """
        part = max(1, len(self.losses) // 4)
        losses = torch.stack(self.losses).cpu()
        first, last = float(losses[:part].mean()), float(losses[-part:].mean())
        if not last <= self.may_rise * first:
            expected = f"at most {self.may_rise * first:.3f} after {self.options.probation:.0f} s"
            raise TinierYoloError("the loss is not falling", expected=expected, found=f"{last:.3f}, {part} steps' mean")

    def report(self, elapsed: float, seconds: float) -> None:
        """Log the means of the steps since the last report, ``seconds`` ago."""
        steps, self.unreported = self.unreported, []
        if not steps:
            return
        row = means({name: float(torch.stack([step[name] for step in steps]).sum()) for name in steps[0]})
        self.training.append({**row, "iteration": self.state.next, "learning_rate": self.rate})
        speed = len(steps) * self.network.options.batch / max(1e-9, seconds)
        self._tell(
            f"{elapsed:5.0f} s  step {self.state.next}  {speed:.0f} images/s"
            f"  loss {row['loss']:.3f}  iou {row['iou']:.3f}  recall {row['recall']:.3f}"
        )

    def keep(self) -> None:
        """Write weights and curves as they are."""
        state = self.state
        if self.held_out:
            measured = validate(state.model, self.held_out, self.device)
            self.validation.append({**measured, "iteration": state.next})
        state.save_weights(self._path("_last.weights"), state.model)
        state.save_weights(self._path("_ema.weights"), state.average)
        with suppress(ModuleNotFoundError):  # no Matplotlib: the CSV files are enough
            draw_curves(self.training, self.validation, self._path("_curves.png"))

    def finish(self, images: Sequence[torch.Tensor]) -> Path:
        """Estimate the batch-norm statistics of the last and the averaged weights, keep the better; as in ``train``."""
        state, losses = self.state, {}
        for kind, model in (("last", state.model), ("ema", state.average)):
            estimate_norms(model, images)
            measured = validate(model, self.held_out, self.device) if self.held_out else {}
            losses[kind] = measured.get("loss", math.nan)
            state.save_weights(self._path(f"_{kind}.weights"), model)
        best = "last" if losses["last"] < losses["ema"] else "ema"
        state.save_weights(self._path(".weights"), state.average if best == "ema" else state.model)
        self._tell(f"validation loss: last {losses['last']:.4f}, ema {losses['ema']:.4f}, the {best} is kept")
        return self._path(".weights")

    def _path(self, ending: str) -> Path:
        return self.options.out / f"{Path(self.network.path).stem}{ending}"

    def _tell(self, message: str) -> None:
        tell(f"{Path(self.network.path).stem}: {message}")


def clip_gradients(model: nn.Module) -> None:
    """Gradients of at most ``MAX_GRADIENT`` in all; none where one is no number."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)  # an infinite norm makes zeros of all that is finite
    for parameter in parameters:
        assert parameter.grad is not None, "the others were left out"
        torch.nan_to_num(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0, out=parameter.grad)


def half_cosine(progress: float) -> float:
    """1 at the start, 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


def tell(message: str) -> None:
    """A line for whoever waits."""
    print(message, file=sys.stderr, flush=True)

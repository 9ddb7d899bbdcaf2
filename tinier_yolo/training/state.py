"""The state of a run: all that changes from step to step, and how it is kept in a checkpoint."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tinier_yolo.darknet.layers import Region
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import save_weights
from tinier_yolo.errors import WeightsError
from tinier_yolo.training.checkpoint import (
    Checkpoint,
    average_into,
    check_same_run,
    optimizer_tensors,
    restore_optimizer,
)
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.optimizer import make_optimizer
from tinier_yolo.training.portable import portable
from tinier_yolo.training.region_loss import expect_background

if TYPE_CHECKING:
    from tinier_yolo.training.task import AnyFeed


class RunState:
    """Model, moving average, optimiser, and the next iteration.

    Attributes:
        model: what is trained.
        average: the moving average of its weights.
        optimizer: with its own state.
        next: the iteration to make next, from 0.
        finished: whether the run had come to its end.
    """

    def __init__(self, network: Network, device: torch.device, model: DarknetModel) -> None:
        """The model with its random weights; those of a detector find no face anywhere."""
        self.network, self.model = network, model
        if isinstance(network.layers[-1], Region):
            expect_background(self.model)
        self.average = copy.deepcopy(self.model)
        self.optimizer = make_optimizer(self.model)
        for model in (self.model, self.average):
            model.to(device)
        self.next, self.finished = 0, False

    @property
    def images_seen(self) -> int:
        """How many images the steps so far have shown."""
        return self.next * self.network.options.batch

    def follow(self, ema: float) -> None:
        """Let the average follow the model's last step: closely at first, when the weights still run."""
        average_into(self.average, self.model, min(ema, self.next / (9 + self.next)))

    def save(self, path: Path, identity: dict[str, object], finished: bool = False) -> None:
        """Write the checkpoint.

        Raises:
            WeightsError: it cannot be written.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(self.optimizer).items()}
        tensors["rng"] = torch.get_rng_state()
        Checkpoint(tensors, {**identity, "iteration": self.next, "finished": finished}).save(path)

    def restore(self, path: Path, identity: dict[str, object]) -> None:
        """Go on from a checkpoint.

        Raises:
            WeightsError: it cannot be read, or belongs to a run of another ``identity``.
        """
        checkpoint = Checkpoint.load(path)
        check_same_run(checkpoint, identity, path)
        try:
            self._take(checkpoint)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:  # PyTorch's own checks among them
            found = " ".join(str(error).split())[:120]
            raise WeightsError("not the checkpoint of this network", path=path, found=found) from error

    def _take(self, checkpoint: Checkpoint) -> None:
        iteration, finished = checkpoint.values["iteration"], checkpoint.values["finished"]
        if type(iteration) is not int or iteration < 0 or type(finished) is not bool:
            raise ValueError(f"iteration {iteration!r}, finished {finished!r}")
        self.model.load_state_dict(checkpoint.part("model"))
        self.average.load_state_dict(checkpoint.part("ema"))
        restore_optimizer(self.optimizer, checkpoint.part("optimizer"))
        torch.set_rng_state(checkpoint.tensors["rng"])
        self.next, self.finished = iteration, finished

    def save_weights(self, path: Path, model: DarknetModel) -> None:
        """Write the .weights of the model or of its average."""
        save_weights(path, self.network, portable(self.network, model.parameters_of_layers()), self.images_seen)


def run_identity(network: Network, feed: AnyFeed, seed: int) -> dict[str, object]:
    """What a run must share with a checkpoint to go on from it: cfg, options, what it is shown, seed, processes."""
    net = asdict(network.options)
    net["steps"], net["scales"] = list(net["steps"]), list(net["scales"])
    del net["max_batches"]  # a finished run may be prolonged
    text = hashlib.sha256(network.text.encode()).hexdigest()
    return {"cfg": text, **net, **feed.identity, "seed": seed}

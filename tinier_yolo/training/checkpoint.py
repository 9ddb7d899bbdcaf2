"""Checkpoints: all that a run needs to go on as if it had not stopped, written whole or not at all.

A safetensors file: tensors by name, the plain values as JSON in its metadata. Reading one runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinier_yolo.errors import PathLike, WeightsError
from tinier_yolo.files import atomic_write

FORMAT = "tinier-yolo checkpoint 1"
#: What a value of a checkpoint is called where its name alone says little.
_IN_WORDS = {"world": "number of processes, which share its batches in another way"}


@dataclass(frozen=True)
class Checkpoint:
    """A run's state: tensors by name ("model.x", "ema.x", "optimizer.3.exp_avg") and JSON values."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with ``prefix`` and a dot, without it."""
        start = f"{prefix}."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}

    def save(self, path: PathLike) -> None:
        """Write the file.

        Raises:
            OutputError: it cannot be written; an older one at ``path`` is then untouched.
        """
        import safetensors.torch  # only where a checkpoint is written or read

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        data = safetensors.torch.save(tensors, {"format": FORMAT, "values": json.dumps(dict(self.values))})
        with atomic_write(path) as file:
            file.write(data)

    @classmethod
    def load(cls, path: PathLike) -> Checkpoint:
        """Read the file.

        Raises:
            WeightsError: it cannot be read or is no checkpoint of this package.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(Path(path), "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise WeightsError("not a checkpoint of this version", path=path, expected=repr(FORMAT))
                values = json.loads(metadata["values"])
                if not isinstance(values, dict):
                    raise ValueError("values that are no object")
                return cls({name: file.get_tensor(name) for name in file.keys()}, values)  # noqa: SIM118
        except OSError as error:
            raise WeightsError("cannot read the checkpoint", path=path, found=error.strerror or str(error)) from error
        except (SafetensorError, ValueError, KeyError, RuntimeError) as error:  # of which RecursionError is one
            raise WeightsError("not a checkpoint", path=path, found=str(error)[:120]) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state, flat: "index of the parameter.name" -> tensor."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave, in the memory layout of the parameters.

    Raises:
        ValueError: a tensor of no parameter, or of another shape than its parameter's.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if not (index.isdecimal() and int(index) < len(parameters)):
            raise ValueError(f"optimizer.{name} belongs to no parameter")
        parameter = parameters[int(index)]
        if tensor.shape != parameter.shape and tensor.ndim:
            raise ValueError(f"optimizer.{name} is {tuple(tensor.shape)}, not {tuple(parameter.shape)}")
        # A count of steps too: fused AdamW keeps it where the parameter is.
        like = parameter if tensor.shape == parameter.shape else torch.empty_like(tensor, device=parameter.device)
        optimizer.state[parameter][key] = torch.empty_like(like).copy_(tensor)


def check_same_run(checkpoint: Checkpoint, expected: Mapping[str, Any], path: PathLike) -> None:
    """Refuse to go on with a run of another cfg or of other options: the result would be neither.

    Raises:
        WeightsError: naming the first option that differs.
    """
    for name, value in expected.items():
        found = checkpoint.values.get(name)
        if found != value:
            raise WeightsError(
                f"the checkpoint belongs to a run with another {_IN_WORDS.get(name, name)}",
                path=path,
                expected=str(value)[:80],
                found=str(found)[:80],
            )


def average_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """One step of an exponential moving average over all parameters and buffers."""
    with torch.no_grad():
        for kept, current in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(current, 1 - decay)
            else:
                kept.copy_(current)

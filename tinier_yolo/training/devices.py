"""Where a run computes: device and precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from tinier_yolo.errors import UsageError
from tinier_yolo.training.processes import Processes


def choose_device(name: str, processes: Processes) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: CUDA is asked for and not there, or has fewer devices than there are processes.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("no CUDA device here", expected="--device cpu or auto")
    if name == "cuda" or (name == "auto" and available):
        if processes.local_rank >= torch.cuda.device_count():
            found = f"{torch.cuda.device_count()} for process {processes.local_rank}"
            raise UsageError("too few CUDA devices", expected="one for each process of this machine", found=found)
        return torch.device("cuda", processes.local_rank)
    return torch.device("cpu")


def choose_precision(name: str, device: torch.device) -> str:
    """``float32`` or ``bfloat16``; ``auto`` takes bfloat16 where the hardware multiplies it faster."""
    if name != "auto":
        return name
    fast = torch.cuda.is_bf16_supported(False) if device.type == "cuda" else _cpu_multiplies_bfloat16()
    return "bfloat16" if fast else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def autocast_for(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which products are computed in that precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)

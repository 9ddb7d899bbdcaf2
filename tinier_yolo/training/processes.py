"""The processes that share a run, on one machine or on several: who writes, and how all of them begin alike.

What they tell each other here are bytes; PyTorch's own way of sending objects would pickle them.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import torch
import torch.distributed
from torch import Tensor

from tinier_yolo.errors import TinierYoloError, UsageError

#: How long the processes wait for the first one, which alone validates: that may take more than NCCL's ten minutes.
_PATIENCE = timedelta(minutes=30)


class Processes:
    """The processes of a run: one, or as many as ``torchrun`` has started (it sets RANK, WORLD_SIZE, LOCAL_RANK)."""

    def __init__(self) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and the messages."""
        return self.rank == 0

    def __enter__(self) -> Processes:
        if self.world > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            torch.distributed.init_process_group(backend, timeout=_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world > 1:
            torch.distributed.destroy_process_group()
        # Backends have no class of errors for a peer that is gone, but say so in their names or their texts.
        if self.world > 1 and isinstance(error, RuntimeError) and _tells_of_a_peer(error):
            raise TinierYoloError(
                "another process of the run has ended, or the network between them",
                expected="its own message; go on with --resume on all",
                found=str(error).rpartition("] ")[2].partition(" [")[0],
            ) from error

    def gather(self, data: bytes) -> list[bytes]:
        """What every process has given, by rank."""
        if self.world == 1:
            return [data]
        length = torch.tensor([len(data)])
        lengths = [torch.zeros_like(length) for _ in range(self.world)]
        torch.distributed.all_gather(lengths, length)
        longest = int(max(lengths))
        given = torch.frombuffer(bytearray(data.ljust(longest + 1)), dtype=torch.uint8)
        all_given = [torch.empty_like(given) for _ in range(self.world)]
        torch.distributed.all_gather(all_given, given)
        return [one[: int(size)].numpy().tobytes() for one, size in zip(all_given, lengths, strict=True)]

    def from_first(self, data: bytes) -> bytes:
        """What the first process has given, on every process."""
        if self.world == 1:
            return data
        length = torch.tensor([len(data)])
        torch.distributed.broadcast(length, 0)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.is_first and data:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if len(content):
            torch.distributed.broadcast(content, 0)
        return content.numpy().tobytes()

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with their means over the processes: the same bits on all of them, and in every run.

        The order in which a sum is made depends on where a number stands in what is sent. DistributedDataParallel moves
        it after its first step, so that with three processes and more a resumed run would have other sums.
        """
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    @contextmanager
    def together(self) -> Iterator[None]:
        """A part that every process gets through, or none: an error of one is raised by all.

        No process may wait for another within it.

        Raises:
            TinierYoloError: of this process, or of the first that has one.
        """
        own = None
        try:
            yield
        except TinierYoloError as error:
            own = error
        problems = self.gather(str(own or "").encode())
        if own is not None:
            raise own
        for rank, problem in enumerate(problems):
            if problem:
                raise TinierYoloError(f"process {rank} of the run: {problem.decode()}")

    def check_alike(self, settings: Mapping[str, object]) -> None:
        """Make sure that every process runs the same.

        Args:
            settings: what JSON can hold.

        Raises:
            UsageError: on all of them, naming the first setting that differs.
        """
        own = json.dumps({"machine": socket.gethostname(), **settings}).encode()
        first, *others = (json.loads(data) for data in self.gather(own))
        for rank, other in enumerate(others, 1):
            for name in settings:
                if other[name] != first[name]:
                    raise UsageError(
                        f"process {rank} ({other['machine']}) has another {name} than the first ({first['machine']})",
                        expected=str(first[name])[:80],
                        found=str(other[name])[:80],
                    )

    @contextmanager
    def file_of_first(self, path: Path) -> Iterator[Path | None]:
        """A file of the first process, for all to read: itself there, a copy elsewhere; None where it has none.

        Machines of a run need no folder in common.

        Raises:
            UsageError: the first process has no such file, and another has.
        """
        holders = [rank for rank, has in enumerate(self.gather(b"x" if path.is_file() else b"")) if has]
        if not holders:
            yield None
            return
        if holders[0] != 0:
            raise UsageError(
                f"process {holders[0]} has the file, the first process has none",
                path=path,
                expected="--node-rank 0 on the machine that holds the run",
            )
        content = self.from_first(path.read_bytes() if self.is_first else b"")
        if self.is_first:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            copy.write_bytes(content)
            yield copy


def _tells_of_a_peer(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or any(
        word in str(error) for word in ("gloo", "onnection closed by peer", "onnection reset by peer", "NCCL")
    )

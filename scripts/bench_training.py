"""Images a second of a training step (without the loader), the plain modules against the fused chains.

    python scripts/bench_training.py CFG... [--sizes 224,320] [--batch 32] [--threads 1] [--rounds 5]

The two take turns, step by step, so that a busy neighbour hits both; the best and the median step count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tinier_yolo.darknet.network import Network
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.devices import autocast_for
from tinier_yolo.training.memory import keep_memory
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.region_loss import region_loss


class Stepper:
    """A network, its optimiser and one batch."""

    def __init__(self, network: Network, batch: int, precision: str, fused: bool, clock: Callable[[], float]) -> None:
        torch.manual_seed(0)
        self.network, self.precision, self.clock = network, precision, clock
        self.model = DarknetModel(network, fused).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4, fused=fused)
        height, width = network.input.height, network.input.width
        images = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        truths = torch.zeros(batch, 3, 5)
        truths[:, :2, :4] = torch.rand(batch, 2, 4) * 0.3 + 0.3
        self.batch = Batch(images, truths, torch.zeros(batch, 1, 4))

    def step(self) -> float:
        """One step; its seconds."""
        begun = self.clock()
        with autocast_for(self.precision, torch.device("cpu")):
            output = self.model(self.batch.images)
        region_loss(output.float(), self.batch, self.network.region).total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self.clock() - begun


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="+", type=Path)
    parser.add_argument("--sizes", default="224,320")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--system-memory", action="store_true", help="leave the allocator as it is")
    parser.add_argument("--cpu-time", action="store_true", help="count the process's CPU time: for a busy machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    torch.set_num_threads(args.threads)
    if not args.system_memory:
        keep_memory()
    print("cfg                      size   plain   fused  images/s (best step; median)")
    for path in args.cfg:
        for size in map(int, args.sizes.split(",")):
            network = Network.load(path).resized(size, size)
            pair = [Stepper(network, args.batch, args.precision, fused, clock) for fused in (False, True)]
            for stepper in pair:
                stepper.step()
            seconds = [[stepper.step() for stepper in pair] for _ in range(args.rounds)]
            plain, fused = (list(column) for column in zip(*seconds, strict=True))
            best, middle = ([args.batch / f(column) for column in (plain, fused)] for f in (min, statistics.median))
            rates = f"{best[0]:7.1f} {best[1]:7.1f}  x{best[1] / best[0]:.2f}"
            print(f"{path.stem:24} {size:4} {rates}  ({middle[0]:.1f} {middle[1]:.1f} x{middle[1] / middle[0]:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Images a second of a training step (without the loader): PyTorch's own layers against the fused chains.

    python scripts/bench_training.py CFG... [--sizes 224,320] [--batch 32] [--threads 1] [--rounds 5]

Each has a process of its own, since the fused one also keeps its memory (tinier_yolo/training/memory.py). They take
turns, step by step, so that a busy neighbour hits both; the table has the best step and, in brackets, the median.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.training.dataset import Batch
from tinier_yolo.training.devices import autocast_for
from tinier_yolo.training.memory import keep_memory
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.region_loss import region_loss


def make_step(network: Network, batch: int, precision: str, fused: bool) -> Callable[[], None]:
    """A training step of a network on one batch of noise."""
    torch.manual_seed(0)
    model = DarknetModel(network, fused).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=fused)
    shape = batch, network.input.height, network.input.width, 3
    images = torch.randint(0, 256, shape, dtype=torch.uint8).permute(0, 3, 1, 2)
    truths = torch.zeros(batch, 3, 5)
    truths[:, :2, :4] = torch.rand(batch, 2, 4) * 0.3 + 0.3
    samples = Batch(images, truths, torch.zeros(batch, 1, 4))

    def step() -> None:
        with autocast_for(precision, torch.device("cpu")):
            output = model(images)
        region_loss(output.float(), samples, network.region).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def work(args: argparse.Namespace) -> None:
    """A step for each line of standard input; its seconds to standard output."""
    torch.set_num_threads(args.threads)
    if args.work == "fused":
        keep_memory()
    network = Network.load(args.cfg[0]).resized(int(args.sizes), int(args.sizes))
    step = make_step(network, args.batch, args.precision, args.work == "fused")
    clock = time.process_time if args.cpu_time else time.perf_counter
    for _ in sys.stdin:
        begun = clock()
        step()
        print(clock() - begun, flush=True)


def measure(args: argparse.Namespace, cfg: Path, size: int) -> list[list[float]]:
    """Seconds of the plain and of the fused steps."""
    options = ["--batch", args.batch, "--threads", args.threads, "--precision", args.precision, "--sizes", size]
    command = [sys.executable, __file__, str(cfg), *map(str, options), *(["--cpu-time"] if args.cpu_time else [])]
    workers = [
        subprocess.Popen([*command, "--work", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for kind in ("plain", "fused")
    ]
    seconds: list[list[float]] = [[], []]
    for _ in range(args.rounds + 2):
        for worker, column in zip(workers, seconds, strict=True):
            assert worker.stdin is not None
            assert worker.stdout is not None
            print("step", file=worker.stdin, flush=True)
            column.append(float(worker.stdout.readline()))
    for worker in workers:
        worker.communicate()
    return [column[2:] for column in seconds]  # the first steps compile, and take fresh memory


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", nargs="+", type=Path)
    parser.add_argument("--sizes", default="224,320")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, for a busy machine and one thread")
    parser.add_argument("--work", choices=("plain", "fused"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args)
        return 0
    try:
        for cfg in args.cfg:
            Network.load(cfg)
    except TinierYoloError as error:
        print(f"bench_training: {error}", file=sys.stderr)
        return 2
    print(f"{'cfg':24} size   plain   fused  images/s")
    for cfg in args.cfg:
        for size in map(int, args.sizes.split(",")):
            columns = measure(args, cfg, size)
            plain, fused = (args.batch / min(column) for column in columns)
            plain_median, fused_median = (args.batch / statistics.median(column) for column in columns)
            median = f"({plain_median:.1f} {fused_median:.1f} x{fused_median / plain_median:.2f})"
            print(f"{cfg.stem:24} {size:4} {plain:7.1f} {fused:7.1f}  x{fused / plain:.2f}  {median}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Train for a given time on a packed data set; ``scripts/train_on_gpu.sh`` calls it on a lent machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinier_yolo.cli.options import count, face_heights, positive, share, whole
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.training.options import override
from tinier_yolo.training.timed import train_timed
from tinier_yolo.training.timed_options import TimedOptions, Trainee

BESIDE = (
    "--beside CFG [--init WEIGHTS] [--learning-rate RATE] [--muon RATE], repeated: more networks, on the same images"
)


def add_trainee(parser: argparse.ArgumentParser) -> None:
    """The options that each network of a run has for itself."""
    parser.add_argument("--init", type=Path, help=".weights to start from, as of tinier-yolo train")
    parser.add_argument("--learning-rate", type=positive, default=0.003, help="of AdamW, at its highest (0.003)")
    parser.add_argument("--muon", type=share, help="learning rate of Muon, as of tinier-yolo train")


def trainee(one: argparse.Namespace, args: argparse.Namespace) -> Trainee:
    """A network by its own options and the run's."""
    changes = {"size": args.size, "batch": args.batch, "learning_rate": one.learning_rate, "muon": one.muon}
    return Trainee(override(Network.load(one.cfg), subdivisions=1, adam=True, **changes), one.init)


def main(argv: Sequence[str] | None = None) -> int:
    """Train; exit code 2 and one line where that cannot be done or the loss does not fall."""
    argv = list(sys.argv[1:] if argv is None else argv)
    groups = [list(group) for named, group in groupby(argv, lambda word: word == "--beside") if not named]
    parser = argparse.ArgumentParser(description=__doc__, epilog=BESIDE)
    parser.add_argument("seconds", type=positive, help="from the start to the last file")
    parser.add_argument("cfg")
    parser.add_argument("packs", type=Path, help="folder of scripts/pack_dataset.py")
    parser.add_argument("out", type=Path, help="folder for weights, CSV files and curves")
    add_trainee(parser)
    parser.add_argument("--size", type=count, help="width and height (default: the cfg's)")
    parser.add_argument("--last-size", type=count, help="width and height of the last part of the run")
    parser.add_argument("--last-share", type=share, default=0.4, help="how long that part is (default 0.4)")
    parser.add_argument("--face-heights", type=face_heights, metavar="LOW:HIGH", help="as of tinier-yolo train")
    parser.add_argument("--scenes", type=share, help="as of tinier-yolo train")
    parser.add_argument("--batch", type=count, default=256)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--workers", type=whole, default=8, help="processes that draw views (default 8)")
    parser.add_argument("--keep-seconds", type=positive, default=60.0)
    parser.add_argument("--probation", type=positive, default=60.0, help="seconds until the loss must have fallen")
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile network and colours")
    args = parser.parse_args(groups[0] if groups else [])
    beside = argparse.ArgumentParser(prog=f"{parser.prog} ... --beside")
    beside.add_argument("cfg")
    add_trainee(beside)
    try:
        trainees = [trainee(one, args) for one in (args, *(beside.parse_args(group) for group in groups[1:]))]
        named = {field.name for field in fields(TimedOptions)} & set(vars(args))
        for path in train_timed(trainees, TimedOptions(**{name: getattr(args, name) for name in named})):
            print(path)
    except TinierYoloError as error:
        print(f"train_packed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

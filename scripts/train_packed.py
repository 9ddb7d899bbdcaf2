"""Train for a given time on a packed data set; ``scripts/train_on_gpu.sh`` calls it on a lent machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinier_yolo.cli.options import count, positive, whole
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.training.options import override
from tinier_yolo.training.timed import TimedOptions, train_timed


def main(argv: Sequence[str] | None = None) -> int:
    """Train; exit code 2 and one line where that cannot be done or the loss does not fall."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=positive, help="from the start to the last file")
    parser.add_argument("cfg")
    parser.add_argument("packs", type=Path, help="folder of scripts/pack_dataset.py")
    parser.add_argument("out", type=Path, help="folder for weights, CSV files and curves")
    parser.add_argument("--init", type=Path, help=".weights to start from, as of tinier-yolo train")
    parser.add_argument("--size", type=count, help="width and height (default: the cfg's)")
    parser.add_argument("--batch", type=count, default=256)
    parser.add_argument("--learning-rate", type=positive, default=0.003, help="of AdamW, at its highest (0.003)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--workers", type=whole, default=8, help="processes that draw views (default 8)")
    parser.add_argument("--keep-seconds", type=positive, default=60.0)
    parser.add_argument("--probation", type=positive, default=60.0, help="seconds until the loss must have fallen")
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile the network (takes a minute first)")
    args = parser.parse_args(argv)
    try:
        changes = {"size": args.size, "batch": args.batch, "learning_rate": args.learning_rate, "adam": True}
        network = override(Network.load(args.cfg), subdivisions=1, **changes)
        named = {field.name for field in fields(TimedOptions)} & set(vars(args))
        print(train_timed(network, TimedOptions(**{name: getattr(args, name) for name in named})))
    except TinierYoloError as error:
        print(f"train_packed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

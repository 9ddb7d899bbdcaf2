"""``tinier-yolo train``: a cfg and a data set -> .weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinier_yolo.cli.options import count, positive, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("cfg", help="the network")
    parser.add_argument("--data", required=True, type=Path, help=".data file: train and valid lists, names")
    parser.add_argument("--init", type=Path, help=".weights to start from: this network's, or its float twin's")
    parser.add_argument("--resume", action="store_true", help="go on with the checkpoint in --out, if there is one")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for all results (default runs)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--workers", type=whole, default=1, help="processes that load images (default 1)")
    parser.add_argument("--threads", type=whole, default=0, help="PyTorch's CPU threads (default: its own choice)")
    parser.add_argument(
        "--no-fused", dest="fused", action="store_false", help="PyTorch's own layers only (slower on a CPU)"
    )
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--keep-every", type=count, default=200, help="iterations between checkpoints (default 200)")
    parser.add_argument("--log-every", type=count, default=20, help="iterations between rows of the CSV (default 20)")
    net = parser.add_argument_group("in place of what the cfg's [net] says")
    net.add_argument("--size", type=count, help="width and height")
    net.add_argument("--batch", type=count)
    net.add_argument("--subdivisions", type=count)
    net.add_argument("--max-batches", type=count, help="iterations")
    net.add_argument("--learning-rate", type=positive)
    net.add_argument("--burn-in", type=whole)
    net.add_argument(
        "--policy", choices=("constant", "poly", "exp", "sig", "cosine"), help="how the learning rate falls"
    )
    net.add_argument("--adam", action="store_true", default=None, help="AdamW instead of SGD with momentum")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the weights are.

    Raises:
        TinierYoloError: bad options, bad input, or results that cannot be written.
    """
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.errors import UsageError
    from tinier_yolo.media.output_folder import OutputFolder

    network = Network.load(args.cfg)
    OutputFolder(args.out).check()
    try:
        from tinier_yolo.training.trainer import TrainingOptions, override, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("training needs PyTorch: pip install 'tinier-yolo[train]'") from error
    names = ("size", "batch", "subdivisions", "max_batches", "learning_rate", "burn_in", "policy", "adam")
    network = override(network, **{name: getattr(args, name) for name in names})
    fields = ("data", "out", "init", "resume", "device", "precision", "workers", "threads", "seed", "fused")
    options = TrainingOptions(
        **{name: getattr(args, name) for name in fields}, keep_every=args.keep_every, log_every=args.log_every
    )
    result = train(network, options)
    print(result.weights)
    return 0

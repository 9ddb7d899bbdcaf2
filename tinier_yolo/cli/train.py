"""``tinier-yolo train``: a cfg and a data set -> .weights."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinier_yolo.cli.options import count, face_heights, positive, share, whole

if TYPE_CHECKING:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.training.options import TrainingOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "cfg", help="the network: a cfg, or the name of one that comes with the package, such as tinier-yolo-face"
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        help=".data file: train and valid lists, names; for a classifier also a folder with train/CLASS and test/CLASS",
    )
    parser.add_argument(
        "--init",
        type=Path,
        help=".weights to start from: of this network, its float twin, one half as wide, or the first layers of one",
    )
    parser.add_argument(
        "--formats",
        type=Path,
        metavar="REPORT.json",
        help="fine-tune a fixed-point network: formats of a report of quantize; --init gives the float weights",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs=2,
        metavar=("CFG", "WEIGHTS"),
        help="a detector to learn from beside the labels, with the same anchors and classes",
    )
    parser.add_argument(
        "--teacher-share", type=share, default=0.5, help="share of the loss that the teacher gives (default 0.5)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the checkpoint in --out, if there is one")
    parser.add_argument("--overwrite", action="store_true", help="begin anew in a folder that holds a run; it is lost")
    parser.add_argument("--skip-bad", action="store_true", help="leave images out that cannot be decoded")
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
    _add_shown(parser.add_argument_group("what training is shown"))
    _add_net(parser.add_argument_group("in place of what the cfg's [net] says"))


def _add_shown(shown: argparse._ArgumentGroup) -> None:
    shown.add_argument(
        "--face-heights",
        type=face_heights,
        metavar="LOW:HIGH",
        help="heights of the faces that views are made around: from LOW pixels to HIGH of the input (default 12:0.8)",
    )
    shown.add_argument("--scenes", type=share, help="share of views that show the whole image (default 0.2)")
    shown.add_argument("--mosaic", type=share, help="share of inputs made of four views (default 0.08)")
    shown.add_argument(
        "--preview", action="store_true", help="write a sheet of views to --out, print the sizes of faces, and stop"
    )
    shown.add_argument("--hard", type=Path, metavar="FILE", help="images to show more often (scripts/mine_hard.py)")
    shown.add_argument("--hard-share", type=share, default=0.3, help="share of views that show one (default 0.3)")
    shown.add_argument("--corrections", type=Path, metavar="FILE", help="JSON: labels to add, remove or ignore")


def _add_net(net: argparse._ArgumentGroup) -> None:
    net.add_argument("--size", type=count, help="width and height")
    net.add_argument("--batch", type=count)
    net.add_argument("--subdivisions", type=count)
    net.add_argument("--max-batches", type=count, help="iterations")
    net.add_argument("--learning-rate", type=positive)
    net.add_argument("--burn-in", type=whole)
    net.add_argument(
        "--policy",
        choices=("constant", "poly", "exp", "sig", "cosine"),
        help="how the rate falls (poly: by power= of [net], else 4)",
    )
    net.add_argument("--adam", action="store_true", default=None, help="AdamW instead of SGD with momentum")
    net.add_argument(
        "--muon", type=share, metavar="RATE", help="learning rate of Muon, for filters before a norm (0: off)"
    )


def run(args: argparse.Namespace) -> int:
    """Train, and say where the weights are.

    Raises:
        TinierYoloError: bad options, bad input, or results that cannot be written.
    """
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.errors import UsageError
    from tinier_yolo.output_folder import OutputFolder
    from tinier_yolo.shipped import cfg_file

    network = Network.load(cfg_file(args.cfg))
    OutputFolder(args.out).check()
    try:
        from tinier_yolo.training.preview import preview
        from tinier_yolo.training.train import train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("training needs PyTorch: pip install 'tinier-yolo[train]'") from error
    network, options = _options(network, args)
    print(preview(network, options) if args.preview else train(network, options).weights)
    return 0


def _options(network: Network, args: argparse.Namespace) -> tuple[Network, TrainingOptions]:
    """The network with what replaces its [net], and the run's options: the arguments of the same names."""
    from tinier_yolo.training.options import TrainingOptions, override
    from tinier_yolo.training.views import Views

    names = ("size", "batch", "subdivisions", "max_batches", "learning_rate", "burn_in", "policy", "adam", "muon")
    network = override(network, **{name: getattr(args, name) for name in names})
    own = {field.name for field in fields(TrainingOptions)}
    options = TrainingOptions(**{name: getattr(args, name) for name in own if hasattr(args, name)})
    given = {name: getattr(args, name) for name in ("scenes", "mosaic")}
    if network.is_classifier:
        _refuse_views(args)
        return network, options
    views = Views.of(network.options, network.region.jitter)
    views = replace(views, **{name: value for name, value in given.items() if value is not None})
    if args.face_heights:
        views = replace(views, smallest=args.face_heights[0], largest=args.face_heights[1])
    return network, replace(options, views=views)


def _refuse_views(args: argparse.Namespace) -> None:
    from tinier_yolo.errors import UsageError

    for name in ("face_heights", "scenes", "mosaic", "preview"):
        if getattr(args, name):
            raise UsageError(f"--{name.replace('_', '-')} is for detectors", found="the cfg of a classifier")

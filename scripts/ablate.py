"""What each part of the recipe is worth: short equal runs from one starting point, each with one part changed.

Every run shows the same number of views, drawn from the same seed, and is evaluated on lists of FDDB images. What is
done is kept: a script that was stopped goes on with the next run.

    python scripts/ablate.py cfg/ifq-tinier-yolo-face.cfg --init weights/tinier-yolo-face.weights --data faces.data \
        --annotations FDDB-folds --images originalPics --list dev.txt --list dev_hard.txt [--hard FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import reporting  # noqa: E402
from scripts.table5 import TOGETHER, load_parts  # noqa: E402
from tinier_yolo.darknet.layers import Connected, Convolutional  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.errors import UsageError  # noqa: E402
from tinier_yolo.eval.fddb.benchmark import detect, score  # noqa: E402
from tinier_yolo.eval.fddb.dataset import FddbSet  # noqa: E402
from tinier_yolo.eval.report import write_json  # noqa: E402
from tinier_yolo.eval.subjects import own_detector  # noqa: E402
from tinier_yolo.training.augment import Augmentation  # noqa: E402
from tinier_yolo.training.options import TrainingOptions, override  # noqa: E402
from tinier_yolo.training.train import train  # noqa: E402
from tinier_yolo.training.views import Views  # noqa: E402

#: The part of a run in two steps that quantises the maps alone.
MAPS_FIRST = 0.5


@dataclass(frozen=True)
class Variant:
    """A recipe with one part changed.

    Attributes:
        name: of its folder, and for ``--only``.
        what: what is changed.
        views, augmentation, region, net: fields that are replaced.
        hard: show the images of ``--hard`` more often.
        two_steps: quantise the maps first, then the weights too.
    """

    name: str
    what: str
    views: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    region: Mapping[str, Any] = field(default_factory=dict)
    net: Mapping[str, Any] = field(default_factory=dict)
    hard: bool = False
    two_steps: bool = False


VARIANTS = (
    Variant("all", "the recipe"),
    Variant("seed", "the recipe, another seed"),
    Variant("sizes", "whole scenes alone: faces of the sizes that they have", views={"scenes": 1.0}),
    Variant("blur", "no blur, no low resolution", augmentation={"defocus": 0.0, "motion": 0.0, "low_resolution": 0.0}),
    Variant("occlusion", "no patches over faces", augmentation={"patches": 0.0}),
    Variant("rotation", "no view is turned", views={"rotate": 0.0}),
    Variant("mosaic", "no mosaic", views={"mosaic": 0.0}),
    Variant("rescore", "objectness towards 1 instead of the IoU", region={"rescore": False}),
    Variant("hard", "hard images in three views of ten", hard=True),
    Variant("muon", "Muon for the filters, at a rate of 0.02", net={"muon": 0.02}),
    Variant("two-step", "maps quantised first, then weights too", two_steps=True),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate, print the table; the exit code."""
    parser = argparse.ArgumentParser(description="Short equal runs, each with one part of the recipe changed.")
    parser.add_argument("cfg", type=Path)
    parser.add_argument("--init", required=True, type=Path, help=".weights that every run starts from")
    parser.add_argument("--data", required=True, type=Path, help=".data file")
    parser.add_argument("--annotations", required=True, type=Path, help="folder of FDDB-fold-*-ellipseList.txt")
    parser.add_argument("--images", required=True, type=Path, help="FDDB's originalPics")
    parser.add_argument("--list", type=Path, action="append", default=[], help="FDDB images, a column each")
    parser.add_argument("--hard", type=Path, help="a file of scripts/mine_hard.py")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"))
    parser.add_argument("--only", help="names of runs, with commas (default: all)")
    parser.add_argument("--passes", type=int, default=20_000, help="views a run shows")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args(argv)
    return reporting.run("ablate", args, measure, markdown)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The rates of every run by list; runs that were done before are read."""
    names = [variant.name for variant in VARIANTS]
    chosen = args.only.split(",") if args.only else names
    if unknown := set(chosen) - set(names):
        raise UsageError("no such run", expected=", ".join(names), found=", ".join(sorted(unknown)))
    # Read first: of a wrong path it tells before the first hour of training.
    parts, options, rows = load_parts(args.annotations, args.list), _options(args), {}
    for variant in VARIANTS:
        if variant.name in chosen and (args.hard or not variant.hard):
            known = args.out / variant.name / "rates.json"
            if not known.is_file():
                write_json(
                    known, {"options": options, "rates": evaluate(run(variant, args), args, parts, known.parent)}
                )
            rows[variant.what] = _rates(known, options)
    return {"passes": args.passes, "size": args.size, "init": args.init.name, "rates": rows}


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What runs must share to stand in one table."""
    names = "cfg", "init", "data", "passes", "size", "batch", "learning_rate"
    lists = [path.name for path in args.list]
    return {name: str(getattr(args, name)) for name in names} | {"lists": lists}


def _rates(known: Path, options: dict[str, Any]) -> dict[str, float]:
    content = json.loads(known.read_text())
    if not isinstance(content, dict) or content.get("options") != options:
        found = content.get("options") if isinstance(content, dict) else None
        raise UsageError("the rates of a run with other options", path=known, expected=options, found=found)
    rates: dict[str, float] = content["rates"]
    return rates


def run(variant: Variant, args: argparse.Namespace) -> Path:
    """Train a variant; its .weights."""
    network, out = Network.load(args.cfg), args.out / variant.name
    steps, start = args.passes // args.batch, args.init
    if variant.two_steps:
        first = round(steps * MAPS_FIRST)
        start = _train(_real_weights(network), variant, args, out / "maps", start, first)
        steps -= first
    return _train(network, variant, args, out, start, steps)


def _real_weights(network: Network) -> Network:
    layers = (
        replace(layer, binary=False) if isinstance(layer, Convolutional | Connected) else layer
        for layer in network.layers
    )
    return replace(network, layers=tuple(layers))


def _train(
    network: Network, variant: Variant, args: argparse.Namespace, out: Path, init: Path, iterations: int
) -> Path:
    network = override(
        network, size=args.size, batch=args.batch, subdivisions=1, max_batches=iterations, adam=True,
        learning_rate=args.learning_rate, policy="cosine", burn_in=max(1, iterations // 20), **variant.net,
    )  # fmt: skip
    layers = (*network.layers[:-1], replace(network.region, **variant.region))
    options = TrainingOptions(
        data=args.data,
        out=out,
        init=init,
        overwrite=True,
        threads=args.threads,
        seed=int(variant.name == "seed"),
        keep_every=max(20, iterations // 20 * 20),
        views=replace(Views.of(network.options, network.region.jitter), **variant.views),
        augmentation=replace(Augmentation.of(network.options), **variant.augmentation),
        hard=args.hard if variant.hard else None,
    )
    return train(replace(network, layers=layers), options).weights


def evaluate(weights: Path, args: argparse.Namespace, parts: Mapping[str, FddbSet], out: Path) -> dict[str, float]:
    """The rate at 0.1 false positives an image on each list, and on all of them together."""
    *_, together = parts.values()
    columns = {**(parts if args.list else {}), TOGETHER: together}
    detected = detect(together, own_detector(weights, args.cfg).subject, args.images, out)
    return {name: score(part, detected).roc.rate_at() for name, part in columns.items()}


def markdown(report: dict[str, Any]) -> Iterable[str]:
    """The table: a row a run."""
    rates = report["rates"]
    columns = list(next(iter(rates.values()))) if rates else []
    yield f"{report['passes']:,} passes at {report['size']} pixels from {report['init']}; rates at 0.1 false positives"
    yield "| run | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for what, row in rates.items():
        yield f"| {what} | " + " | ".join(f"{row[name]:.3f}" for name in columns) + " |"


if __name__ == "__main__":
    sys.exit(main())

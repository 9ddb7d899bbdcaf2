"""``tinier-yolo detect --shard N``: many pictures, a file of rows for every N, to be gone on with after any end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinier_yolo.cli.options import count
from tinier_yolo.errors import UsageError, printable

if TYPE_CHECKING:
    from tinier_yolo.bulk.run import Totals

#: Options that stand for nothing in a bulk run, and those that stand for nothing outside of one.
_NOT_IN_BULK = ("show",)
_ONLY_IN_BULK = ("resume", "workers", "dask")
#: What a bulk run writes; the first is the default.
_FORMATS = ("jsonl", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a bulk run."""
    bulk = parser.add_argument_group(
        "many pictures",
        "Rows go into --out, part-000000.jsonl and so on, each whole or not there; no pictures are drawn. Lists are "
        "read line by line; .zip and .tar archives, s3:// and gs:// addresses (with fsspec) are taken too. A picture "
        "that cannot be read is a row with its error.",
    )
    bulk.add_argument("--shard", type=count, metavar="N", help="write a file for every N pictures, 250 for example")
    bulk.add_argument("--resume", action="store_true", help="go on with what --out holds of the same run")
    bulk.add_argument("--workers", type=count, metavar="N", help="processes (default 1)")
    bulk.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that does it: tcp://host:8786")


def check(args: argparse.Namespace) -> None:
    """Find out whether the options go together.

    Raises:
        UsageError: they do not.
    """
    if args.shard is None:
        for name in _ONLY_IN_BULK:
            if getattr(args, name):
                raise UsageError(f"--{name} goes with --shard", expected="--shard N, pictures a file")
        if args.format == "parquet":
            raise UsageError("Parquet is written by bulk runs alone", expected="--shard N, pictures a file")
        return
    for name in _NOT_IN_BULK:
        if getattr(args, name):
            raise UsageError(f"--{name} does not go with --shard")
    if args.format not in _FORMATS:
        raise UsageError("not a format of a bulk run", expected=" or ".join(_FORMATS), found=args.format)
    if args.dask and args.workers:
        raise UsageError("--workers are processes of this machine; with --dask its workers do it")


def run(args: argparse.Namespace) -> int:
    """Detect in all pictures; returns 1 where some could not be read.

    Raises:
        TinierYoloError: see :func:`tinier_yolo.bulk.run.run`.
    """
    from tinier_yolo.bulk.model import ModelFiles
    from tinier_yolo.bulk.run import BulkOptions, run
    from tinier_yolo.datasets.labels import load_names
    from tinier_yolo.detection.detector import check_thresholds
    from tinier_yolo.shipped import default_model

    check_thresholds(args.thresh, args.nms)
    names = load_names(args.names) if args.names else None
    model = ModelFiles(str(args.model or default_model()), args.cfg, args.size, args.threads, names, args.tiles)
    totals = run(
        BulkOptions(
            args.sources, Path(args.out), model, args.thresh, args.nms, args.shard, args.format, args.resume,
            args.workers or 1, args.dask,
        )
    )  # fmt: skip
    _tell(totals, args.out)
    return 1 if totals.errors or totals.lost else 0


def _tell(totals: Totals, out: str) -> None:
    parts = [f"pictures: {totals.images}", f"detections: {totals.detections}"]
    if totals.errors:
        parts.append(f"not read: {totals.errors}")
    if totals.there:
        parts.append(f"done before: {totals.there}")
    if totals.images:
        parts.append(f"{totals.images / totals.seconds:.1f} images/s")
    print(f"{', '.join(parts)}; in {printable(out)}", file=sys.stderr)

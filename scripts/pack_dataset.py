"""Pack a data set for training on a machine that is lent by the minute (scripts/train_on_gpu.sh).

    python scripts/pack_dataset.py --data faces.data --out packs

Images are made small enough (longer side 352 pixels by default) and encoded as WebP; parts are at most 60 MiB each. The
validation list is packed too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinier_yolo.bulk.local import progress
from tinier_yolo.datasets.labels import load_data, load_samples
from tinier_yolo.errors import DataError, TinierYoloError
from tinier_yolo.training.emphasis import correct
from tinier_yolo.training.packed import MAX_SIDE, encode, write_parts


def pack(args: argparse.Namespace) -> list[Path]:
    """Write the parts of both lists; their paths.

    Raises:
        TinierYoloError: bad data, an image that cannot be decoded, or a part that cannot be written.
    """
    data = load_data(args.data)
    if data.train is None:
        raise DataError("no train list", path=args.data, expected="train = FILE")
    paths = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for name, listed in (("train", data.train), ("valid", data.valid)):
            if listed is None:
                continue
            samples = load_samples(listed, len(data.class_names))
            if name == "train" and args.corrections:
                samples = correct(args.corrections, samples, listed)
            codes = pool.map(lambda sample: encode(sample, args.side, f".{args.format}", args.quality), samples)
            pairs = zip(samples, progress(codes, len(samples), name), strict=True)
            paths += write_parts(args.out, name, pairs, args.side, args.part_mib << 20)
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """Pack; exit code 2 and one line where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help=".data file")
    parser.add_argument("--out", type=Path, default=Path("packs"), help="folder for the parts (default packs)")
    parser.add_argument("--side", type=int, choices=range(32, MAX_SIDE + 1), default=352, metavar="PIXELS")
    parser.add_argument("--format", choices=("webp", "jpg"), default="webp")
    parser.add_argument("--quality", type=int, choices=range(1, 101), default=85, metavar="1..100")
    parser.add_argument("--part-mib", type=int, choices=range(1, 2048), default=60, metavar="MIB")
    parser.add_argument("--corrections", type=Path, help="corrections to the labels, as of train --corrections")
    args = parser.parse_args(argv)
    try:
        paths = pack(args)
    except TinierYoloError as error:
        print(f"pack_dataset: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

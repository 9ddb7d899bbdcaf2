"""``tinier-yolo anchors``: cluster a data set's boxes."""

from __future__ import annotations

import argparse

from tinier_yolo.cli.options import count, face_heights, whole
from tinier_yolo.defaults import NETWORK_SIZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--data", required=True, help=".data file; its train list is read")
    parser.add_argument("--num", type=count, default=5, help="how many anchors (default 5)")
    parser.add_argument(
        "--size", type=count, default=NETWORK_SIZE, help=f"network size in pixels (default {NETWORK_SIZE})"
    )
    parser.add_argument("--stride", type=count, default=32, help="input pixels a cell (default 32, a YOLOv2's)")
    parser.add_argument(
        "--of",
        choices=("views", "images"),
        default="views",
        help="cluster the boxes of training's views (default), or of the whole images, letterboxed",
    )
    parser.add_argument(
        "--face-heights", type=face_heights, default=(12.0, 0.8), metavar="LOW:HIGH", help="as for train (12:0.8)"
    )
    parser.add_argument("--seed", type=whole, default=0, help="of the random starts (default 0)")


def run(args: argparse.Namespace) -> int:
    """Print the anchors in cells and in pixels, and the line for the cfg."""
    import numpy as np
    from tqdm import tqdm

    from tinier_yolo.datasets.anchors import cluster_anchors
    from tinier_yolo.datasets.labels import load_data, load_samples
    from tinier_yolo.detection.letterbox import Letterbox
    from tinier_yolo.errors import DataError
    from tinier_yolo.media.images import read_image
    from tinier_yolo.training.views import Boxes, Views, draw_view

    data = load_data(args.data)
    if data.train is None:
        raise DataError("no train list", path=args.data, expected="train = FILE")
    sizes = []
    how = Views(smallest=args.face_heights[0], largest=args.face_heights[1])
    rng = np.random.default_rng(args.seed)
    size = (args.size, args.size)
    for sample in tqdm(load_samples(data.train, len(data.class_names)), unit="image", leave=False, disable=None):
        if len(sample.boxes):
            # As training reads it.
            height, width = read_image(sample.image).shape[:2]
            if args.of == "views":
                truth = Boxes(sample.boxes, sample.class_ids, sample.ignored)
                sizes.append(draw_view(truth, (width, height), size, how, rng).truth.boxes[:, 2:] * size)
            else:
                sizes.append(sample.boxes[:, 2:] * Letterbox.fit((width, height), size).resized)
    if not sizes:
        raise DataError("no boxes in the train list", path=data.train)
    pixels = np.concatenate(sizes).astype(np.float64)
    found = cluster_anchors(pixels, args.num, args.seed)
    print(f"boxes {len(pixels)}, mean IoU with the best of {args.num} anchors {found.mean_iou:.4f}")
    print("pixels  " + ", ".join(f"{w:.1f},{h:.1f}" for w, h in found.anchors))
    print(f"cells   of {args.stride} pixels; the line for [region]:")
    print("anchors=" + ", ".join(f"{w:.3f},{h:.3f}" for w, h in found.anchors / args.stride))
    return 0

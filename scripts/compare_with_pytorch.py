"""Compare a trained IFQ network in PyTorch with its integer program, map value by map value, on photographs.

    python scripts/compare_with_pytorch.py CFG WEIGHTS IMAGE_OR_LIST... [--images 50] [--size 416]

Three evaluations of the same weights: the training module's (sums in float32, which are exact, then float64), the
float64 one that conversion proves itself against, and the integer program. Exit code 1 if any map value differs.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tinier_yolo.darknet.layers import Activation
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, load_weights
from tinier_yolo.datasets.paths import load_image_list
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.errors import TinierYoloError
from tinier_yolo.media.images import read_image
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.float64 import evaluate
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.training.model import DarknetModel


@dataclass
class Count:
    """What has been compared, in map values."""

    values: int = 0
    program_against_float64: int = 0
    pytorch_against_program: int = 0


def compare(network: Network, parameters: Parameters, images: list[NDArray[np.uint8]]) -> Count:
    """Run all three on letterboxed images, uint8 (height, width, 3), and count differences."""
    engine = Engine(convert(network, parameters).program)
    model = DarknetModel(network).eval()
    model.load_parameters(parameters)
    quantised = [index for index, layer in enumerate(network.layers) if isinstance(layer, Activation)]
    count = Count()
    for image in images:
        program, _ = engine.run_maps(image)
        float64, _ = evaluate(network, parameters, image)
        with torch.no_grad():
            maps = model.maps(torch.from_numpy(image).permute(2, 0, 1)[None])
        for ours, exact, index in zip(program, float64, quantised, strict=True):
            count.values += ours.size
            count.program_against_float64 += int((ours != exact).sum())
            count.pytorch_against_program += int((maps[index][0].numpy() != ours).sum())
    return count


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or .txt lists of them")
    parser.add_argument("--images", dest="most", type=int, default=50, help="how many at most (default 50)")
    parser.add_argument("--size", type=int, default=416)
    args = parser.parse_args()
    try:
        return _compare_all(args)
    except TinierYoloError as error:
        print(f"compare_with_pytorch: {error}", file=sys.stderr)
        return 2


def _compare_all(args: argparse.Namespace) -> int:
    network = Network.load(args.cfg)
    parameters = load_weights(args.weights, network)
    paths = [path for given in args.images for path in (load_image_list(given) if given.suffix == ".txt" else [given])]
    pictures = []
    for path in paths[: args.most]:
        image = read_image(path)
        pictures.append(Letterbox.fit((image.shape[1], image.shape[0]), (args.size, args.size)).apply(image))
    count = compare(network.resized(args.size, args.size), parameters, pictures)
    print(f"{len(pictures)} images, {count.values} map values")
    print(f"integer program against float64: {count.program_against_float64} differ")
    print(f"PyTorch against the program: {count.pytorch_against_program} differ")
    return 1 if count.program_against_float64 or count.pytorch_against_program else 0


if __name__ == "__main__":
    sys.exit(main())

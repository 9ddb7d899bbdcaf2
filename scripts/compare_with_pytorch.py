"""Compare a trained IFQ network in PyTorch with its integer program, map value by map value, on photographs.

    python scripts/compare_with_pytorch.py CFG WEIGHTS IMAGE_OR_LIST... [--images 50] [--size 416]

Three evaluations of the same weights: the training module's (sums in float32, which are exact, then float64), the
float64 one that conversion proves itself against, and the integer program. The program must equal float64 everywhere.
Should PyTorch differ, then a rounding has put a value on the other side of a threshold: each such value is recomputed
from the *same* input map in float64 throughout, and must lie within ``TOLERANCE`` of a threshold, else it counts as
unexplained. Exit code 1 if the program differs from float64 or a difference is unexplained.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tinier_yolo.darknet.data import load_image_list
from tinier_yolo.darknet.layers import Activation
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, load_weights
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.media.images import read_image
from tinier_yolo.quantization.convert import convert
from tinier_yolo.quantization.float64 import evaluate
from tinier_yolo.quantization.hwgq import quantizer_for
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.training.model import DarknetModel

#: In units of a batch normalisation's output; float32 carries about 7 digits, and a layer adds a handful of roundings.
TOLERANCE = 2e-5


@dataclass
class Count:
    """What has been compared, in map values."""

    values: int = 0
    program_against_float64: int = 0
    pytorch_against_program: int = 0
    inherited: int = 0
    rounding: int = 0
    unexplained: int = 0


def compare(network: Network, parameters: Parameters, images: list[NDArray[np.uint8]]) -> Count:
    """Run all three on letterboxed images, uint8 (height, width, 3), and count differences."""
    engine = Engine(convert(network, parameters).program)
    model = DarknetModel(network).eval()
    model.load_parameters(parameters)
    exact = DarknetModel(network).eval().double()
    exact.load_parameters(parameters)
    count = Count()
    for image in images:
        program, _ = engine.run_maps(image)
        float64, _ = evaluate(network, parameters, image)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        with torch.no_grad():
            pytorch = model.maps(pixels)
        _count_image(count, network, exact, program, float64, [pixels.float(), *pytorch])
    return count


def _count_image(
    count: Count,
    network: Network,
    exact: DarknetModel,
    program: list[NDArray[np.uint8]],
    float64: list[NDArray[np.uint8]],
    pytorch: list[torch.Tensor],
) -> None:
    # pytorch[i] is the input of layer i, pytorch[i + 1] its output.
    start, number = 0, 0
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Activation):
            continue
        found = pytorch[index + 1][0].numpy().astype(np.uint8)
        count.values += found.size
        count.program_against_float64 += int((program[number] != float64[number]).sum())
        count.pytorch_against_program += int((found != program[number]).sum())
        # What PyTorch's own input map gives in float64: a remaining difference is this substructure's rounding.
        x = pytorch[start].double()
        with torch.no_grad():
            for module in exact.children_of_layers[start:index]:
                x = module(x)
        quantizer = quantizer_for(layer.bits, layer.quantizer)
        values = x[0].numpy()
        same_input = quantizer.quantize(values)
        differs = found != same_input
        distance = np.abs(values[..., None] - np.array(quantizer.thresholds)).min(-1)
        count.rounding += int((differs & (distance <= TOLERANCE)).sum())
        count.unexplained += int((differs & (distance > TOLERANCE)).sum())
        count.inherited += int(((found != program[number]) & ~differs).sum())
        start, number = index + 1, number + 1


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or .txt lists of them")
    parser.add_argument("--images", dest="most", type=int, default=50, help="how many at most (default 50)")
    parser.add_argument("--size", type=int, default=416)
    args = parser.parse_args()
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
    share = count.pytorch_against_program / max(1, count.values)
    print(f"PyTorch against the program: {count.pytorch_against_program} differ ({share:.2e})")
    print(f"  rounding within {TOLERANCE:g} of a threshold, same input map: {count.rounding}")
    print(f"  follow from a difference in an earlier map: {count.inherited}")
    print(f"  unexplained: {count.unexplained}")
    return 1 if count.program_against_float64 or count.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

"""A float detector of red cells whose convolutions have fixed-point forms, and a labelled set that it finds all of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.red_detector import picture
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.media.images import write_image

BLOCK = (
    "[convolutional]\nbatch_normalize=1\nfilters=3\nsize=1\nstride=1\nactivation={}\n\n[maxpool]\nsize=2\nstride=2\n\n"
)
CFG = (
    "[net]\nwidth=128\nheight=128\nchannels=3\n\n"
    + "".join(BLOCK.format(name) for name in ("leaky", "relu", "leaky", "relu", "leaky"))
    + "[convolutional]\nfilters=6\nsize=1\nstride=1\nactivation=linear\n\n"
    + "[region]\nanchors=1,1\nclasses=1\ncoords=4\nnum=1\nsoftmax=1\n"
)


def network() -> Network:
    return Network.parse(CFG)


def parameters() -> Parameters:
    """Five times the image itself, batch norms that undo a scale and a shift, and a logit of red, not green or blue."""
    arrays: list[dict[str, np.ndarray]] = []
    for layer in network().layers:
        made = {name: np.zeros(shape, np.float32) for name, shape in layer.parameters}
        if made and layer.output.channels == 3:
            made["weights"][:, :, 0, 0] = 2 * np.eye(3)
            made["means"][:] = 0.5
            made["variances"][:] = 4 - 1e-5
            made["scales"][:] = 1
            made["biases"][:] = 0.25
        elif made:
            made["weights"][4, :, 0, 0] = 40, -10, -10
            made["biases"][4] = -25
        arrays.append(made)
    return tuple(arrays)


def write_model(folder: Path) -> list[str]:
    """Write cfg and weights; returns their names as ``quantize`` takes them."""
    (folder / "red.cfg").write_text(CFG)
    save_weights(folder / "red.weights", network(), parameters())
    return [str(folder / "red.cfg"), str(folder / "red.weights")]


def write_set(folder: Path, images: int = 3) -> str:
    """Write pictures with a red cell each, their labels and the .data file; returns its name."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for number in range(images):
        left, top = 32 * (number % 4), 32 * ((number + 1) % 4)
        write_image(folder / "images" / f"{number}.png", picture((128, 128), (left, top, left + 32, top + 32)))
        (folder / "labels" / f"{number}.txt").write_text(f"0 {(left + 16) / 128} {(top + 16) / 128} 0.25 0.25\n")
    (folder / "val.txt").write_text("".join(f"images/{number}.png\n" for number in range(images)))
    (folder / "set.data").write_text("classes = 1\nvalid = val.txt\n")
    return str(folder / "set.data")

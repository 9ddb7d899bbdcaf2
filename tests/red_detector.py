"""A network that finds red: five pools and one convolution whose objectness is a logit of "red, not green, not blue".

It is small enough to be written down, so that whole runs of the detector can be checked to the pixel: a cell of 32x32
pixels that is red or partly red on grey gives a box of just that cell, with a score of 0.99 or more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.media.images import write_image

POOL = "[maxpool]\nsize=2\nstride=2\n\n"
CFG = (
    "[net]\nwidth=128\nheight=128\nchannels=3\nletter_box={letter_box}\n\n"
    + POOL * 5
    + "[convolutional]\nfilters=6\nsize=1\nstride=1\npad=0\nactivation=linear\n\n"
    + "[region]\nanchors=1,1\nclasses=1\ncoords=4\nnum=1\nsoftmax=1\n"
)
RED, GREY = (255, 0, 0), (128, 128, 128)


def network(letter_box: bool = True) -> Network:
    return Network.parse(CFG.format(letter_box=int(letter_box)))


def parameters() -> Parameters:
    weights = np.zeros((6, 3, 1, 1), np.float32)
    weights[4, :, 0, 0] = 40, -10, -10
    biases = np.zeros(6, np.float32)
    biases[4] = -25
    return (*({} for _ in range(5)), {"biases": biases, "weights": weights}, {})


def write_model(folder: Path) -> list[str]:
    """Write cfg and weights; returns the options of the command line that name them."""
    cfg, weights = folder / "red.cfg", folder / "red.weights"
    cfg.write_text(CFG.format(letter_box=1))
    save_weights(weights, network(), parameters())
    return ["--model", str(weights), "--cfg", str(cfg)]


def write_fddb(folder: Path) -> None:
    """``folds`` and ``images`` of an FDDB of one image, ``d/a``, with one red face."""
    (folder / "folds").mkdir()
    (folder / "folds/FDDB-fold-01-ellipseList.txt").write_text("d/a\n1\n18 18 0 48 48 1\n")
    write_image(folder / "images/d/a.png", picture((128, 128), (32, 32, 64, 64)))
    (folder / "images/d/a.png").rename(folder / "images/d/a.jpg")


def picture(
    size: tuple[int, int], *boxes: tuple[int, int, int, int], color: tuple[int, ...] = RED
) -> NDArray[np.uint8]:
    """A grey picture of (width, height) with boxes (x1, y1, x2, y2) in a colour."""
    rgb = np.empty((size[1], size[0], 3), np.uint8)
    rgb[:] = GREY
    for left, top, right, bottom in boxes:
        rgb[top:bottom, left:right] = color
    return rgb

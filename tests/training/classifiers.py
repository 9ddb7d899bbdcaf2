"""A classifier and a data set small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

NET = "[net]\nwidth=8\nheight=8\nbatch=8\nmax_batches={batches}\nlearning_rate=0.05\nmomentum=.9\nburn_in=3\n{more}"
CONVOLUTION = (
    "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
)
CLASSES = ("bluish", "red", "reddish")


def tiny_classifier(batches: int = 24, more: str = "") -> str:
    """A convolution, dropout, a connected layer, softmax."""
    body = CONVOLUTION + "[dropout]\nprobability=.2\n[connected]\noutput=3\nactivation=linear\n[softmax]\n[cost]\n"
    return NET.format(batches=batches, more=more) + body


def write_colours(folder: Path, images: int = 8, size: tuple[int, int] = (8, 8)) -> Path:
    """Folders train/CLASS and test/CLASS of noisy images, each class of a colour of its own."""
    rng = np.random.default_rng(0)
    colours = {"bluish": (210, 60, 40), "red": (30, 30, 220), "reddish": (110, 110, 200)}  # BGR
    for part in ("train", "test"):
        for name, colour in colours.items():
            (folder / part / name).mkdir(parents=True)
            for number in range(images):
                noise = rng.integers(-30, 30, (size[1], size[0], 3))
                cv2.imwrite(
                    str(folder / part / name / f"{number}.png"), np.clip(colour + noise, 0, 255).astype(np.uint8)
                )
    return folder

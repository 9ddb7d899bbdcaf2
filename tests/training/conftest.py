"""A network and a data set small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import cv2

NET = """[net]
width=64
height=64
channels=3
batch=4
max_batches=50
learning_rate=0.002
adam=1
policy=cosine
burn_in=5
saturation=1.5
exposure=1.5
hue=.1
"""
REGION = """[region]
anchors=0.6,0.8, 1.5,2
classes=1
num=2
softmax=1
rescore=1
jitter=.2
random=1
coord_scale=2
"""
FLOAT = "[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\npad=1\nactivation=leaky\n{pool}"
BINARY = (
    "[convolutional]\nbinary=1\nfilters={filters}\nsize=3\npad=1\nactivation=linear\n{pool}"
    "[batchnorm]\n[activation]\nactivation=hwgq\nbits=2\n"
)
POOL = "[maxpool]\nsize=2\nstride=2\n"


def tiny_cfg(binary: bool) -> str:
    """A chain with a stride of 8: three convolutions with pools, a stride-1 pool, and the last 1x1."""
    block = BINARY if binary else FLOAT
    blocks = [(8, POOL), (12, POOL), (16, POOL), (16, "[maxpool]\nsize=2\nstride=1\n")]
    body = "".join(block.format(filters=filters, pool=pool) for filters, pool in blocks)
    last = "[convolutional]\nfilters=12\nsize=1\nactivation=linear\n" + ("binary=1\n" if binary else "")
    return NET + body + last + REGION


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .data file: 12 images with bright discs as "faces", one image without, one with an ignored disc."""
    folder = tmp_path_factory.mktemp("drawings")
    rng = np.random.default_rng(0)
    for name in ("images", "labels", "ignore"):
        (folder / name).mkdir()
    for index in range(12):
        image = rng.integers(0, 90, (72, 96, 3), np.uint8)
        lines = []
        for _ in range(0 if index == 3 else 1 + index % 2):
            x, y, r = int(rng.integers(16, 80)), int(rng.integers(16, 56)), int(rng.integers(7, 15))
            cv2.circle(image, (x, y), r, (200, 180, 240), -1)
            lines.append(f"0 {x / 96:.6f} {y / 72:.6f} {2 * r / 96:.6f} {2 * r / 72:.6f}\n")
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        (folder / ("ignore" if index == 5 else "labels") / f"{index}.txt").write_text("".join(lines))
        (folder / "labels" / f"{index}.txt").touch()
    (folder / "list.txt").write_text("".join(f"images/{index}.png\n" for index in range(12)))
    (folder / "drawings.data").write_text("classes=1\ntrain=list.txt\nvalid=list.txt\n")
    return folder / "drawings.data"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No curves, which take more time than all steps between two checkpoints; the other tests draw them."""
    monkeypatch.setattr("tinier_yolo.training.train.draw_curves", lambda *_: None)

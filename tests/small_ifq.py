"""A small IFQ detector with random numbers: five quantised layers and the last one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import Parameters, save_weights
from tinier_yolo.quantization.convert import convert

BLOCK = (
    "[convolutional]\nbinary=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=linear\n\n"
    "[maxpool]\nsize=2\nstride=2\n\n[batchnorm]\n\n[activation]\nactivation=hwgq\nbits=2\n\n"
)
CFG = (
    "[net]\nwidth=128\nheight=128\nchannels=3\n\n"
    + BLOCK * 5
    + "[convolutional]\nbinary=1\nfilters=12\nsize=1\nstride=1\nactivation=linear\n\n"
    + "[region]\nanchors=1,1.2, 2,2.4\nclasses=1\ncoords=4\nnum=2\nsoftmax=1\n"
)


def parameters(network: Network, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)

    def array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if name == "variances":
            return rng.uniform(0.5, 2, shape).astype(np.float32)
        return rng.normal(0, 1, shape).astype(np.float32)

    return tuple({name: array(name, shape) for name, shape in layer.parameters} for layer in network.layers)


def write_model(folder: Path) -> tuple[Path, Path, Path]:
    """Write the model three ways; returns the paths of the .ifq, the .weights and the cfg."""
    program, weights, cfg = (folder / f"small{suffix}" for suffix in (".ifq", ".weights", ".cfg"))
    network = Network.parse(CFG)
    arrays = parameters(network)
    cfg.write_text(CFG)
    save_weights(weights, network, arrays)
    convert(network, arrays).program.save(program)
    return program, weights, cfg

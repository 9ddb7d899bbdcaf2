"""The fused chains against the plain modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tinier_yolo.darknet.network import Network
from tinier_yolo.training.model import DarknetModel

IFQ = (
    "[net]\nwidth={width}\nheight={height}\nchannels=3\n[convolutional]\nbinary=1\nfilters={filters}\nsize=3\npad=1\n"
    "activation=linear\n{pool}[batchnorm]\n[activation]\nactivation=hwgq\nbits={bits}\n"
)
FLOAT = (
    "[net]\nwidth={width}\nheight={height}\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\n"
    "pad=1\nactivation={activation}\n{pool}"
)
POOLS = [
    "",
    "[maxpool]\nsize=2\nstride=2\n",
    "[maxpool]\nsize=2\nstride=1\n",
    "[maxpool]\nsize=2\nstride=2\npadding=0\n",
]


def twins(text: str, seed: int) -> tuple[DarknetModel, DarknetModel]:
    """The same network, fused and plain, with batch-norm scales of both signs."""
    torch.manual_seed(seed)
    model = DarknetModel(Network.parse(text)).train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weights" not in name and parameter.requires_grad:
                parameter.normal_()
    plain = copy.deepcopy(model)
    plain.fused = False
    return model, plain


def images(kind: str, height: int, width: int) -> Tensor:
    """Noise; or few values, so that a pool's values are often equal."""
    noise = torch.randint(0, 256 if kind == "noise" else 2, (3, 3, height, width), dtype=torch.uint8)
    return noise.float()


def close(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max()) or 1.0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * scale)


def check(text: str, size: tuple[int, int], kind: str, seed: int) -> None:
    fused, plain = twins(text, seed)
    x = images(kind, *size)
    results = []
    for model in (fused, plain):
        own = x.clone().requires_grad_()
        output = model(own)
        if not results:
            weight = torch.randn(output.shape)
        (output * weight).sum().backward()
        results.append((output.detach(), own.grad))
    close(results[0][0], results[1][0])
    close(results[0][1], results[1][1])
    for (name, ours), (_, theirs) in zip(fused.named_parameters(), plain.named_parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad is not None, name
            close(ours.grad, theirs.grad)
    for (name, ours), (_, theirs) in zip(fused.named_buffers(), plain.named_buffers(), strict=True):
        assert ours.dtype == theirs.dtype, name
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "ties"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 6), (1, 5), (2, 1)])
@pytest.mark.parametrize("pool", POOLS, ids=["none", "2/2", "2/1", "2/2 unpadded"])
@pytest.mark.parametrize("bits", [1, 2])
def test_a_quantised_chain_equals_the_plain_modules(bits: int, pool: str, size: tuple[int, int], kind: str) -> None:
    text = IFQ.format(width=8, height=8, filters=16, pool=pool, bits=bits)
    if "padding=0" in pool and min(size) < 2:
        return
    check(text, size, kind, seed=bits)


@pytest.mark.parametrize("kind", ["noise", "ties"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 6), (1, 5), (2, 1)])
@pytest.mark.parametrize("pool", POOLS, ids=["none", "2/2", "2/1", "2/2 unpadded"])
@pytest.mark.parametrize("activation", ["leaky", "relu", "linear"])
def test_a_float_chain_equals_the_plain_modules(activation: str, pool: str, size: tuple[int, int], kind: str) -> None:
    text = FLOAT.format(width=8, height=8, filters=24, pool=pool, activation=activation)
    if "padding=0" in pool and min(size) < 2:
        return
    check(text, size, kind, seed=1)

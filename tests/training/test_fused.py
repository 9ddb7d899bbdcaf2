"""The fused chains against the plain modules."""

from __future__ import annotations

import copy
import platform

import pytest
import torch
from torch import Tensor

from tinier_yolo.darknet.network import Network
from tinier_yolo.training import model as model_module
from tinier_yolo.training.fused import Chain, binary_weights
from tinier_yolo.training.memory import keep_memory
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.quantizers import binary_sign, filter_scale

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


@pytest.fixture(autouse=True)
def same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain modules' binary weights, to the last bit.

    Sums of levels times alpha are often equal but for their rounding, and then alpha's last bit says who wins a pool.
    """

    def weights_of(weights: Tensor, factor: float) -> Tensor:
        return binary_sign(weights) * (filter_scale(weights) * factor).view(-1, 1, 1, 1)

    monkeypatch.setattr(model_module, "binary_weights", weights_of)


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
    assert fused._chains[0] is not None
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


def block(filters: int, pool: str) -> str:
    return IFQ.format(width=0, height=0, filters=filters, pool=pool, bits=2).partition("channels=3\n")[2]


@pytest.mark.parametrize("size", [(24, 16), (19, 21)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_deep_quantised_network_has_the_same_gradients(
    threads: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ways to the weights' gradients: image, 8, 16, 32 and 64 channels before a pool, a large product."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    pools = [POOLS[1], POOLS[1], POOLS[1], POOLS[2], POOLS[1], "", ""]
    filters = [8, 16, 32, 64, 128, 24, 12]
    body = "".join(block(*pair) for pair in zip(filters, pools, strict=True))
    fused, plain = twins(f"[net]\nwidth=16\nheight=16\nchannels=3\n{body}", 3)
    assert sum(link is not None for link in fused._chains) == 7
    x = images("noise", *size)
    weight = None
    for model in (fused, plain):
        output = model(x)
        weight = torch.randn(output.shape) if weight is None else weight
        (output * weight).sum().backward()
    for (name, ours), (_, theirs) in zip(fused.named_parameters(), plain.named_parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad is not None, name
            close(ours.grad, theirs.grad)


@pytest.mark.parametrize("channels", [1, 4])
def test_inner_maps_of_few_channels_have_the_same_gradients(channels: int) -> None:
    body = block(channels, "") + block(8, POOLS[1])
    fused, plain = twins(f"[net]\nwidth=16\nheight=16\nchannels=3\n{body}", 3)
    x = images("noise", 19, 21)
    for model in (fused, plain):
        output = model(x)
        torch.manual_seed(1)
        (output * torch.randn(output.shape)).sum().backward()
    for (name, ours), (_, theirs) in zip(fused.named_parameters(), plain.named_parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad is not None, name
            close(ours.grad, theirs.grad)


@pytest.mark.parametrize("text", [IFQ, FLOAT], ids=["ifq", "float"])
@pytest.mark.parametrize("pool", POOLS[:3], ids=["none", "2/2", "2/1"])
def test_bfloat16_is_as_near_to_float32_as_the_plain_modules_are(text: str, pool: str) -> None:
    options = {"width": 16, "height": 16, "filters": 16, "pool": pool, "bits": 2, "activation": "leaky"}
    fused, plain = twins(text.format(**options), 5)
    x = images("noise", 16, 16)
    gradients = []
    for model, precision in ((plain, torch.float32), (plain, torch.bfloat16), (fused, torch.bfloat16)):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            output = model(x)
        assert output.dtype == precision
        torch.manual_seed(9)
        (output.float() * torch.randn(output.shape)).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    exact, theirs, ours = gradients
    assert float((ours - exact).norm()) < 1.5 * float((theirs - exact).norm()) + 0.02 * float(exact.norm())


def test_running_statistics_without_momentum_are_the_plain_mean() -> None:
    fused, plain = twins(FLOAT.format(width=8, height=8, filters=8, pool="", activation="leaky"), 7)
    for model in (fused, plain):
        torch.manual_seed(1)
        for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.momentum = None
        with torch.no_grad():
            for _ in range(3):
                model(images("noise", 8, 8))
    for (name, ours), (_, theirs) in zip(fused.named_buffers(), plain.named_buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=name)


def test_what_cannot_be_fused_is_left_to_the_plain_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chain, "__call__", None)  # to be fused would be an error
    for filters, pool in ((12, POOLS[1]), (8, "[maxpool]\nsize=3\nstride=2\n")):
        model = DarknetModel(Network.parse(IFQ.format(width=8, height=8, filters=filters, pool=pool, bits=2))).train()
        model(images("noise", 8, 8))
    model = DarknetModel(Network.parse(IFQ.format(width=8, height=8, filters=8, pool="", bits=2)), fused=False).train()
    model(images("noise", 8, 8))
    model = DarknetModel(Network.parse(IFQ.format(width=8, height=8, filters=8, pool="", bits=2))).eval()
    model(images("noise", 8, 8))


def test_memory_can_be_kept_or_the_system_has_none_of_it() -> None:
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")
    assert float(torch.ones(1 << 24).sum()) == 1 << 24


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 8, 3, 3), (3, 20, 1, 1)])
def test_binary_weights_and_their_gradient(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    start = torch.randn(shape)
    start[0, 0, 0, 0], start[1, 0, 0, 0], start[1, -1, -1, -1] = 0.0, -0.0, 0.0
    outer = torch.randn(shape)
    results = []
    for fused in (True, False):
        weights = start.clone().requires_grad_()
        if fused:
            result = binary_weights(weights, 0.3)
        else:
            result = binary_sign(weights) * (filter_scale(weights) * 0.3).view(-1, 1, 1, 1)
        (result * outer).sum().backward()
        assert weights.grad is not None
        results.append((result.detach(), weights.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)

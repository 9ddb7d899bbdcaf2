from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from tests.training.classifiers import CONVOLUTION  # noqa: E402
from tests.training.conftest import tiny_cfg  # noqa: E402
from tests.training.test_train import arguments  # noqa: E402
from tinier_yolo.cli import main  # noqa: E402
from tinier_yolo.darknet.network import Network  # noqa: E402
from tinier_yolo.errors import CfgError  # noqa: E402
from tinier_yolo.training import muon  # noqa: E402
from tinier_yolo.training.model import DarknetModel  # noqa: E402
from tinier_yolo.training.muon import Muon, orthogonal  # noqa: E402
from tinier_yolo.training.optimizer import make_optimizer  # noqa: E402
from tinier_yolo.training.options import override  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16), (1, 27)])
def test_an_orthogonal_matrix_keeps_its_directions_and_loses_their_lengths(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    matrix = (u * np.geomspace(1, 0.05, len(v))) @ v
    found = orthogonal(torch.from_numpy(5 * matrix)).numpy()
    lengths = u.T @ found @ v.T
    assert np.all((np.diag(lengths) > 0.6) & (np.diag(lengths) < 1.25))
    np.testing.assert_allclose(lengths - np.diag(np.diag(lengths)), 0, atol=1e-12)


def test_the_direction_of_no_gradient_is_zero() -> None:
    assert not orthogonal(torch.zeros(3, 5)).any()


def test_a_step_turns_weights_and_leaves_their_size() -> None:
    torch.manual_seed(0)
    weights, bias = nn.Parameter(torch.randn(6, 4, 3, 3)), nn.Parameter(torch.ones(6))
    before = weights.detach().clone()
    optimizer = Muon([weights], 0.5, 0.9, torch.optim.SGD([bias], lr=0.1, momentum=0.9))
    for group in optimizer.param_groups:
        group["lr"] = 0.2
    gradient = torch.randn(6, 4, 3, 3)
    weights.grad, bias.grad = gradient.clone(), torch.ones(6)
    optimizer.step()
    # The first step of momentum has the gradient's direction; 0.2 * 0.5 of the array's length, over its rank's root.
    moved = before - 0.1 * before.norm() / math.sqrt(6) * orthogonal(gradient.flatten(1)).view_as(before)
    torch.testing.assert_close(weights.detach(), moved * before.norm() / moved.norm())
    torch.testing.assert_close(weights.detach().norm(), before.norm())
    torch.testing.assert_close(bias.detach(), torch.full((6,), 0.8))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_products_of_a_run_are_of_its_precision(
    precision: str, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def spy(matrix: Tensor) -> Tensor:
        seen.add((matrix @ matrix.T).dtype)
        return orthogonal(matrix)

    monkeypatch.setattr(muon, "orthogonal", spy)
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(tiny_cfg(binary=False))
    options = ["--no-fused", "--max-batches", "2", "--muon", ".02", "--precision", precision]
    assert main(arguments(cfg, drawings, tmp_path / "out", *options)) == 0
    assert seen == {getattr(torch, precision)}


def test_an_orthogonal_matrix_of_products_in_bfloat16_is_near_that_in_float32() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(32, 144) * torch.logspace(0, -1, 32)[:, None]
    exact = orthogonal(matrix)
    with torch.autocast("cpu", torch.bfloat16):
        found = orthogonal(matrix)
    assert found.dtype is torch.float32
    assert (found - exact).norm() < 0.05 * exact.norm()


def test_weights_without_a_gradient_stay() -> None:
    weights, bias = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(1))
    optimizer = Muon([weights], 1.0, 0.9, torch.optim.SGD([bias], lr=0.1))
    bias.grad = torch.ones(1)
    optimizer.step()
    assert weights.eq(1).all()
    assert bias.item() == pytest.approx(0.9)


@pytest.mark.parametrize("binary", [False, True], ids=["float", "ifq"])
def test_the_first_filters_and_those_without_a_norm_are_left_to_the_other_optimizer(binary: bool) -> None:
    model = DarknetModel(Network.parse(tiny_cfg(binary).replace("adam=1", "adam=1\nmuon=.02")))
    optimizer = make_optimizer(model)
    assert isinstance(optimizer, Muon)
    assert isinstance(optimizer.others, torch.optim.AdamW)
    turned, *rest = optimizer.param_groups
    assert [tuple(weights.shape[:2]) for weights in turned["params"]] == [(12, 8), (16, 12), (16, 16)]
    assert turned["ratio"] == pytest.approx(0.02 / 0.002)
    everything = [parameter for group in (turned, *rest) for parameter in group["params"]]
    assert {id(parameter) for parameter in everything} == {id(parameter) for parameter in model.parameters()}
    assert len(everything) == len({id(parameter) for parameter in everything})


@pytest.mark.parametrize("name", ["estimates_norms", "muon"])
def test_without_muon_or_where_statistics_are_fixed_there_is_the_other_optimizer_alone(name: str) -> None:
    text = tiny_cfg(binary=False)
    model = DarknetModel(Network.parse(text if name == "muon" else text.replace("adam=1", "muon=.02")))
    if name == "estimates_norms":
        model.estimates_norms = False
    assert not isinstance(make_optimizer(model), Muon)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("muon=-.1\n", "muon: bad value"),
        ("muon=1.1\n", "muon: bad value"),
        ("learning_rate=0\nmuon=.1\n", "learning_rate: muon needs a learning rate"),
    ],
)
def test_a_rate_that_cannot_be_is_refused(options: str, message: str) -> None:
    with pytest.raises(CfgError, match=message):
        Network.parse(f"[net]\nwidth=8\nheight=8\n{options}{CONVOLUTION}[avgpool]\n[softmax]\n")


def test_a_rate_from_the_command_line_needs_a_learning_rate_too() -> None:
    network = Network.parse(tiny_cfg(binary=False).replace("learning_rate=0.002", "learning_rate=0"))
    with pytest.raises(CfgError, match="learning_rate: muon needs a learning rate"):
        override(network, muon=0.02)

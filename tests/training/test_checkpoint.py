from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.training.conftest import tiny_cfg
from tinier_yolo.darknet.network import Network
from tinier_yolo.errors import WeightsError
from tinier_yolo.training.checkpoint import FORMAT, Checkpoint, check_same_run, optimizer_tensors, restore_optimizer
from tinier_yolo.training.model import DarknetModel
from tinier_yolo.training.state import RunState


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    saved = Checkpoint(
        {"model.a": torch.randn(2, 3), "optimizer.0.step": torch.tensor(4.0)}, {"iteration": 7, "b": [1]}
    )
    saved.save(tmp_path / "x")
    again = Checkpoint.load(tmp_path / "x")
    assert dict(again.values) == {"iteration": 7, "b": [1]}
    assert torch.equal(again.part("model")["a"], saved.tensors["model.a"])
    assert list(again.part("optimizer")) == ["0.step"]


@pytest.mark.parametrize("data", [b"", b"\x80\x02}q\x00.", b"12345678" * 20])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        Checkpoint.load(tmp_path / "x")
    with pytest.raises(WeightsError, match="cannot read the checkpoint"):
        Checkpoint.load(tmp_path / "none")


@pytest.mark.parametrize("values", ["[" * 200_000, "[]", "1", "{", "\ud83d", '{"a":' * 50_000])
def test_values_that_are_no_object_are_refused(tmp_path: Path, values: str) -> None:
    metadata = {"format": FORMAT, "values": values.encode(errors="replace").decode()}
    (tmp_path / "x").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata))
    with pytest.raises(WeightsError, match="not a checkpoint") as caught:
        Checkpoint.load(tmp_path / "x")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("tensors", "values"),
    [
        ({"model.children_of_layers.0.weights": torch.zeros(1)}, {}),
        ({"model.more": torch.zeros(1)}, {}),
        ({"optimizer.99.exp_avg": torch.zeros(1)}, {}),
        ({"optimizer.x": torch.zeros(1)}, {}),
        ({"optimizer.0.exp_avg": torch.zeros(2, 2)}, {}),
        ({"rng": torch.zeros(3, dtype=torch.uint8)}, {}),
        ({"rng": torch.zeros(3)}, {}),
        ({}, {"iteration": -1}),
        ({}, {"iteration": "7"}),
        ({}, {"iteration": None}),
        ({}, {"finished": [1]}),
    ],
)
def test_a_run_does_not_go_on_with_what_is_not_its_own(
    tmp_path: Path, tensors: dict[str, torch.Tensor], values: dict[str, object]
) -> None:
    rng, network = torch.get_rng_state(), Network.parse(tiny_cfg(False))
    state = RunState(network, torch.device("cpu"), DarknetModel(network, False))
    state.save(tmp_path / "x", {"seed": 1})
    saved = Checkpoint.load(tmp_path / "x")
    Checkpoint({**saved.tensors, **tensors}, {**saved.values, **values}).save(tmp_path / "x")
    with pytest.raises(WeightsError, match="not the checkpoint of this network"):
        state.restore(tmp_path / "x", {"seed": 1})
    for name in ("rng", "model.children_of_layers.0.weights"):
        Checkpoint({k: v for k, v in saved.tensors.items() if k != name}, saved.values).save(tmp_path / "x")
        with pytest.raises(WeightsError, match="not the checkpoint of this network"):
            state.restore(tmp_path / "x", {"seed": 1})
    torch.set_rng_state(rng)


def test_another_run_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"another seed \(expected 2, found 1\)"):
        check_same_run(Checkpoint({}, {"seed": 1}), {"seed": 2}, "x")


def test_an_optimizer_goes_on_where_it_was() -> None:
    def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, times: int) -> None:
        for number in range(times):
            model(torch.full((1, 2, 4, 4), float(number + 1))).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    one, two = build(), build()
    step(*one, 3)
    step(*two, 3)
    three = build()
    three[0].load_state_dict(two[0].state_dict())
    restore_optimizer(three[1], optimizer_tensors(two[1]))
    step(*one, 2)
    step(*three, 2)
    for a, b in zip(one[0].parameters(), three[0].parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_of_another_number_of_processes_is_refused() -> None:
    with pytest.raises(WeightsError) as caught:
        check_same_run(Checkpoint({}, {"seed": 0, "world": 2}), {"seed": 0, "world": 4}, "x.checkpoint")
    assert "another number of processes, which share its batches in another way" in str(caught.value)
    assert str(caught.value).endswith("(expected 4, found 2)")

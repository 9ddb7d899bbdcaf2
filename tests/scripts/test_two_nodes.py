from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import load_weights
from tinier_yolo.training.checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(900)  # Twelve processes import PyTorch.
def test_a_node_that_was_killed_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/two_nodes.py", "--loopback", "--folder", str(tmp_path), "--kill", "1"]
    done = subprocess.run([*command, "--steps", "30"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": equal") == 5
    node = tmp_path / "node0"
    assert f"starting at iteration {10}" in (node / "killed.log").read_text()
    checkpoint = Checkpoint.load(node / "killed" / "two.checkpoint")
    assert (checkpoint.values["iteration"], checkpoint.values["world"]) == (30, 2)
    load_weights(node / "killed" / "two.weights", Network.load(node / "two.cfg"))
    assert len((node / "killed" / "two_training.csv").read_text().splitlines()) == 7  # One process writes.
    assert not (tmp_path / "node1" / "killed").exists()

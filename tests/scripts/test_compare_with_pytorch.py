from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_the_shipped_model_is_what_was_trained(root: Path) -> None:
    import matplotlib as mpl

    photograph = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    files = [root / "cfg" / "ifq-tinier-yolo-face.cfg", root / "weights" / "ifq-tinier-yolo-face.weights", photograph]
    command = [sys.executable, root / "scripts" / "compare_with_pytorch.py", *files, "--size", "160"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "integer program against float64: 0 differ" in done.stdout
    assert "PyTorch against the program: 0 differ" in done.stdout

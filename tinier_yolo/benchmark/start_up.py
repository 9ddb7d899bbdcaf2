"""How long ``tinier-yolo detect`` takes from its start to the first detection, and how much memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tinier_yolo.darknet.network import Network
from tinier_yolo.ifq.load import AnyProgram
from tinier_yolo.media.images import write_image

#: A process that is ``tinier-yolo`` with its arguments and prints, last of all, the most memory that it has held.
_START = """
import sys
from tinier_yolo.cli import main
code = main(sys.argv[1:])
from tinier_yolo.benchmark.start_up import peak_memory
print(peak_memory() or 0)
sys.exit(code)
"""


def start_up(program: AnyProgram, network: Network) -> dict[str, float]:
    """Run ``tinier-yolo detect`` on one image twice, with a cache of compiled kernels that is empty for the first.

    Args:
        program: what detects.
        network: its network at the size of the image.

    Returns:
        ``cold`` and ``cached``, seconds from the start of a process to its end, and ``peak_memory``, the most bytes
        that the second one has held; 0 where nobody says.
    """
    report = {}
    _, height, width = network.input
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model, image = Path(folder) / "model.ifq", Path(folder) / "image.png"
        program.save(model)
        write_image(image, np.zeros((height, width, 3), np.uint8))
        options = [
            "--model",
            str(model),
            "--size",
            f"{width}x{height}",
            "--no-save",
            "--out",
            str(Path(folder) / "out"),
        ]
        command = [sys.executable, "-c", _START, "detect", str(image), *options]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for name in ("cold", "cached"):
            start = time.perf_counter()
            done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
            report[name] = time.perf_counter() - start
            report["peak_memory"] = int(done.stdout.split()[-1])  # That of the second one stays: nothing is compiled.
    return report


def peak_memory() -> int | None:
    """The most bytes of memory that this process has held at once (its resident set); None where nobody says."""
    try:
        # Not getrusage: what that calls the peak is at least the memory of the process that has started this one.
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None

"""How long a process takes from its start to the first detection, without kernels and with them; its memory."""

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

#: A process that is ``tinier-yolo`` with its arguments.
_DETECT = """
import sys
from tinier_yolo.cli import main
code = main(sys.argv[1:])
"""
#: A process that runs a program on one image, with the kernels.
_KERNELS = """
import sys
from tinier_yolo.ifq.load import load_program
from tinier_yolo.media.images import read_image
from tinier_yolo.runtime.engine import Engine
Engine(load_program(sys.argv[1])).run(read_image(sys.argv[2]))
code = 0
"""
#: Behind either: the most memory that the process has held.
_END = """
from tinier_yolo.benchmark.start_up import peak_memory
print(peak_memory() or 0)
sys.exit(code)
"""


def start_up(program: AnyProgram, network: Network) -> dict[str, float]:
    """Run processes that look at one image: ``tinier-yolo detect``, and the kernels, compiled first and then loaded.

    Args:
        program: what detects.
        network: its network at the size of the image.

    Returns:
        Seconds from the start of a process to its end: ``first``, of ``detect``; ``cold`` and ``cached``, with kernels
        that are compiled or found. ``peak_memory``: the most bytes that the last one has held; 0 where nobody says.
    """
    _, height, width = network.input
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model, image = str(Path(folder) / "model.ifq"), str(Path(folder) / "image.png")
        program.save(model)
        write_image(image, np.zeros((height, width, 3), np.uint8))
        options = ["--model", model, "--size", f"{width}x{height}", "--no-save", "--out", str(Path(folder) / "out")]
        runs = {
            "first": [_DETECT + _END, "detect", image, *options],
            "cold": [_KERNELS + _END, model, image],
            "cached": [_KERNELS + _END, model, image],
        }
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        report = {}
        for name, command in runs.items():
            start = time.perf_counter()
            whole = [sys.executable, "-c", *command]
            done = subprocess.run(whole, check=True, env=environment, capture_output=True, text=True)
            report[name] = time.perf_counter() - start
            report["peak_memory"] = int(done.stdout.split()[-1])
    return report


def peak_memory() -> int | None:
    """The most bytes of memory that this process has held at once (its resident set); None where nobody says."""
    try:
        # Not getrusage: what that calls the peak is at least the memory of the process that has started this one.
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None

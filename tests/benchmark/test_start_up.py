from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tinier_yolo.benchmark.start_up import peak_memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_peak_memory_counts_what_was_freed_and_not_the_parents() -> None:
    code = "from tinier_yolo.benchmark.start_up import peak_memory\n{}print(peak_memory())"
    plain, large = (
        int(subprocess.run([sys.executable, "-c", code.format(line)], check=True, capture_output=True).stdout)
        for line in ("", "x = b'1' * (1 << 28)\ndel x\n")
    )
    assert (1 << 28) - (1 << 26) < large - plain < (1 << 28) + (1 << 26)
    held = peak_memory()
    assert held is not None
    assert plain > 1 << 20

"""Write the shipped model and random programs as C, and a main() that runs the tests of all: for verify_export.sh."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.export.c99 import programs  # noqa: E402
from tinier_yolo.export.c99.export import c_files, write  # noqa: E402
from tinier_yolo.export.c99.golden import make  # noqa: E402
from tinier_yolo.ifq.program import Program  # noqa: E402
from tinier_yolo.shipped import default_model  # noqa: E402

_MAIN = """#include <stdio.h>
{declarations}
int main(void) {{
    int differences = 0;
{calls}
    printf("{maps} maps compared, %d differences\\n", differences);
    return differences != 0;
}}
"""


def main(folder: str, count: str, target: str) -> None:
    """Write into ``folder`` the shipped model, ``count`` random programs and main.c."""
    models = {"face": Program.load(default_model())}
    models |= {f"p{seed:03}": programs.make(seed) for seed in range(int(count))}
    maps = 0
    for name, program in models.items():
        write(c_files(program, name, target), folder)
        maps += len(make(program)[1]) * (len(program.layers) + 1)
    declarations = "\n".join(f"int {name}_test(void);" for name in models)
    calls = "\n".join(f"    differences += {name}_test();" for name in models)
    (Path(folder) / "main.c").write_text(_MAIN.format(declarations=declarations, calls=calls, maps=maps))
    defines = [f"-D{name.upper()}_{what}" for name in models for what in ("TRACE", "NO_MAIN")]
    (Path(folder) / "defines").write_text("\n".join(defines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the scripts that measure have in common: their end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tinier_yolo.errors import TinierYoloError
from tinier_yolo.files import atomic_write


def run(
    name: str,
    args: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    markdown: Callable[[dict[str, Any]], Iterable[str]],
) -> int:
    """Measure, print the tables, and write the JSON file if ``args.json`` names one; the exit code."""
    try:
        report = measure(args)
        if args.json:
            with atomic_write(args.json, "w") as file:
                json.dump(report, file, indent=2)
    except TinierYoloError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    print("\n".join(markdown(report)))
    return 0

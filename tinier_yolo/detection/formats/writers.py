"""The writer of a format, by the format's name."""

from __future__ import annotations

from importlib import import_module

from tinier_yolo.detection.formats import FORMATS
from tinier_yolo.detection.formats.result import ResultWriter, Target
from tinier_yolo.errors import UsageError


def open_writer(name: str, target: Target) -> ResultWriter:
    """The writer of a format.

    Args:
        name: one of ``FORMATS``.
        target: where it writes to.

    Raises:
        UsageError: no such format.
    """
    if name not in FORMATS:
        raise UsageError("unknown format", expected="one of " + ", ".join(FORMATS), found=name)
    row = FORMATS[name]
    writer: ResultWriter = getattr(import_module(f"{__package__}.{row.module}"), row.writer)(target)
    return writer

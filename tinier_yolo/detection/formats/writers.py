"""The formats by name."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from tinier_yolo.detection.formats import FORMATS
from tinier_yolo.detection.formats.csv_table import CsvWriter
from tinier_yolo.detection.formats.fddb import format_record
from tinier_yolo.detection.formats.json_document import JsonDocumentWriter
from tinier_yolo.detection.formats.json_lines import JsonLinesWriter
from tinier_yolo.detection.formats.result import Result, ResultWriter
from tinier_yolo.detection.formats.wider import write_wider
from tinier_yolo.detection.formats.yolo import YoloWriter
from tinier_yolo.errors import PathLike, UsageError


class FddbWriter:
    """Writes FDDB records, one after the other, to a text file."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, result: Result) -> None:
        """Write one record."""
        self._stream.write(format_record(result.name, result.detections))

    def close(self) -> None:
        """Nothing stands at the end."""


class WiderWriter:
    """Writes WIDER FACE's ``EVENT/NAME.txt`` files into a folder."""

    def __init__(self, folder: PathLike) -> None:
        self._folder = Path(folder)

    def write(self, result: Result) -> None:
        """Write the file of one picture."""
        write_wider(self._folder, result.name, result.detections)

    def close(self) -> None:
        """Each file is whole as it is."""


def open_writer(name: str, stream: IO[str], folder: PathLike, class_names: tuple[str, ...]) -> ResultWriter:
    """The writer of a format.

    Args:
        name: one of ``FORMATS``.
        stream: a text file, where json, jsonl, csv and fddb go.
        folder: where yolo and wider write their files.
        class_names: a name for each class id.
    """
    match name:
        case "json":
            return JsonDocumentWriter(stream, class_names)
        case "jsonl":
            return JsonLinesWriter(stream, class_names)
        case "csv":
            return CsvWriter(stream, class_names)
        case "yolo":
            return YoloWriter(folder)
        case "fddb":
            return FddbWriter(stream)
        case "wider":
            return WiderWriter(folder)
    raise UsageError("unknown format", expected="one of " + ", ".join(FORMATS), found=name)

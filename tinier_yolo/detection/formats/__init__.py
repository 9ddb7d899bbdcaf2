"""Files of detections, one module a format. A new format is a module and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A row of the table; the module is imported when the format is asked for.

    Attributes:
        module: in this package.
        writer: its class, a :class:`~tinier_yolo.detection.formats.result.ResultWriter` made from a ``Target``.
        makes_files: it writes files of its own into the output folder; the others are one text.
        by_name: its records of images go by names, another one for each; the others' by the sources.
    """

    module: str
    writer: str
    makes_files: bool = False
    by_name: bool = False


#: What ``detect --format`` takes.
FORMATS: Mapping[str, Format] = {
    "json": Format("json_document", "JsonDocumentWriter"),
    "jsonl": Format("json_lines", "JsonLinesWriter"),
    "coco": Format("coco", "CocoWriter"),
    "csv": Format("csv_table", "CsvWriter"),
    "yolo": Format("yolo", "YoloWriter", makes_files=True, by_name=True),
    "fddb": Format("fddb", "FddbWriter", by_name=True),
    "wider": Format("wider", "WiderWriter", makes_files=True, by_name=True),
}

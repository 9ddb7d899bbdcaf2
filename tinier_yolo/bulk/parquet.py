"""Rows as Parquet, by pyarrow, which comes with the extra ``parquet``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinier_yolo.errors import UsageError
from tinier_yolo.files import atomic_write


def check() -> None:
    """Find out before any work whether pyarrow is there.

    Raises:
        UsageError: it is not.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError("Parquet needs pyarrow", expected="pip install pyarrow") from None


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write the rows of JSON Lines as a table: what a row has not is null, and boxes and scores are float32.

    Args:
        path: the file, whole or not there.
        rows: ``source, width, height, detections``, or ``source, error``; they are held, so few.

    Raises:
        OutputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    detection = pa.struct([("box", pa.list_(pa.float32())), ("score", pa.float32()), ("class", pa.string())])
    columns = [("source", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    schema = pa.schema([*columns, ("detections", pa.list_(detection)), ("error", pa.string())])
    # Names that were no UTF-8 hold surrogates, which Arrow's text does not take.
    table = pa.Table.from_pylist([_plain(row) for row in rows], schema=schema)
    with atomic_write(path) as file:
        pq.write_table(table, file)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"source": row["source"].encode("utf-8", "backslashreplace").decode()}

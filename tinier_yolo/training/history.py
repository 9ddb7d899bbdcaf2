"""What a run has measured: CSV files that survive a kill, and curves drawn from them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tinier_yolo.errors import DataError
from tinier_yolo.files import atomic_write

Row = Mapping[str, float]


class History:
    """Rows of numbers under fixed columns, appended to a CSV file; the first column is ``iteration``."""

    def __init__(self, path: Path, columns: Sequence[str], start: int) -> None:
        """Continue the file from iteration ``start``: later rows, and all from the first damaged one on, are dropped.

        Raises:
            DataError: the file can be neither read nor written.
        """
        self.path, self.columns = path, tuple(columns)
        self.rows: list[Row] = [row for row in self._read() if row["iteration"] <= start] if start else []
        with atomic_write(path, "w") as file:
            file.write(",".join(self.columns) + "\n" + "".join(self._line(row) for row in self.rows))

    def append(self, row: Row) -> None:
        """Add a row, in memory and in the file."""
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._line(row))

    def column(self, name: str) -> np.ndarray:
        """One column, float64."""
        return np.array([row[name] for row in self.rows], np.float64)

    def _line(self, row: Row) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow([f"{row[name]:.10g}" for name in self.columns])
        return buffer.getvalue()

    def _read(self) -> list[Row]:
        # The rows as far as they are rows. A kill or a full disk leaves half a row, zeros or bytes of something else;
        # without its line feed a row is not whole, though its numbers may look so.
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError("cannot read", path=self.path, found=error.strerror) from error
        text = data[: data.rfind(b"\n") + 1].decode(errors="replace")
        rows: list[Row] = []
        with suppress(KeyError, TypeError, ValueError, csv.Error):
            for record in csv.DictReader(io.StringIO(text, newline="")):
                rows.append({name: float(record[name]) for name in self.columns})  # noqa: PERF401 - up to an error
        return rows


#: What is drawn of a detector beside its loss: columns and colours, of the faces' own boxes.
FACES = {"recall": "tab:green", "iou": "tab:purple"}


def draw_curves(
    training: History,
    validation: History,
    path: Path,
    shares: Mapping[str, str] = FACES,
    unit: str = "of the faces",
) -> None:
    """Loss, learning rate, and shares from 0 to 1 (columns and their colours), over iterations, as one PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), layout="constrained")
    FigureCanvasAgg(figure)
    loss, recall, rate = figure.subplots(3, 1, sharex=True)
    steps, checked = training.column("iteration"), validation.column("iteration")
    losses = training.column("loss")
    loss.plot(steps, losses, color="tab:blue", alpha=0.4, label="training")
    loss.plot(steps, _smooth(losses), color="tab:blue", label="training, smoothed")
    loss.plot(checked, validation.column("loss"), "o-", color="tab:orange", markersize=3, label="validation")
    loss.set_ylabel("loss an image")
    if len(finite := losses[np.isfinite(losses)]):  # a step whose loss was not a number is passed over
        loss.set_ylim(0, 2 * float(np.percentile(finite, 90)))
    for name, colour in shares.items():
        recall.plot(steps, _smooth(training.column(name)), color=colour, label=f"{name}, training")
        recall.plot(checked, validation.column(name), "o--", color=colour, markersize=3, label=f"{name}, validation")
    recall.set_ylabel(unit)
    recall.set_ylim(0, 1)
    rate.plot(steps, training.column("learning_rate"), color="tab:red")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("iteration")
    for axes in (loss, recall):
        axes.legend(loc="best", fontsize="small")
    for axes in (loss, recall, rate):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def _smooth(values: np.ndarray, width: int = 25) -> np.ndarray:
    if len(values) < 3:
        return values
    window = np.ones(min(width, len(values)))
    return np.asarray(np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same"))

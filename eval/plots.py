"""Plots of curves, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinier_yolo.errors import PathLike
from tinier_yolo.eval.roc import Roc, read_roc
from tinier_yolo.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; the first is ours, so it gets the strongest.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True, eq=False)
class Line:
    """A curve of a plot: its name in the legend and its points (k,)."""

    name: str
    x: ArrayLike
    y: ArrayLike

    @classmethod
    def of_roc(cls, name: str, roc: Roc) -> Line:
        """A discrete ROC curve."""
        return cls(name, roc.false_positives, roc.rate)


def read_compared(compare: Sequence[tuple[str, Path]]) -> list[Line]:
    """The curves of other detectors, from names and ROC files.

    Raises:
        DataError: as :func:`tinier_yolo.eval.roc.read_roc`.
    """
    return [Line(name, *read_roc(path)) for name, path in compare]


def plot_roc(path: PathLike, lines: Sequence[Line], *, budget: int, limit: float, title: str) -> None:
    """Draw discrete ROC curves as in Figure 5 of IFQ-Net: true positive rate over the number of false positives.

    Args:
        path: the PNG.
        lines: curves of false positives (rising) and rates; the legend tells their rates at the operating point.
        budget: false positives of the operating point, which is marked.
        limit: the right end of the x axis.
        title: what was evaluated.

    Raises:
        MediaError: the file cannot be written.
    """
    figure, axes = _axes(title, "False positives", "True positive rate")
    axes.axvline(budget, color="0.45", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"{budget} = 0.1 an image", (budget, 0.02), (4, 0), textcoords="offset points", color="0.35", fontsize=9
    )
    for index, line in enumerate(lines):
        x, y = np.asarray(line.x), np.asarray(line.y)
        rate = float(np.max(y[x <= budget], initial=0.0))
        _draw(axes, index, f"{line.name}: {rate:.3f}", x, y)
        if len(x) and x[-1] < limit:
            axes.plot(x[-1:], y[-1:], "o", markersize=4, color=_COLORS[index % len(_COLORS)])
    axes.set_xlim(0, limit)
    axes.set_ylim(0, 1)
    axes.set_yticks(np.linspace(0, 1, 11))
    axes.legend(loc="lower right", framealpha=1, title=f"Rate at {budget} false positives")
    _save(path, figure)


def plot_precision_recall(path: PathLike, lines: Sequence[Line], *, title: str) -> None:
    """Draw curves of precision over recall.

    Raises:
        MediaError: the file cannot be written.
    """
    figure, axes = _axes(title, "Recall", "Precision")
    for index, line in enumerate(lines):
        _draw(axes, index, line.name, np.asarray(line.x), np.asarray(line.y))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xticks(np.linspace(0, 1, 11))
    axes.set_yticks(np.linspace(0, 1, 11))
    axes.legend(loc="lower left", framealpha=1)
    _save(path, figure)


def plot_lines(path: PathLike, lines: Sequence[Line], *, title: str, axes: tuple[str, str]) -> None:
    """Draw lines with their points marked; ``axes`` are the names of the two.

    Raises:
        OutputError: the file cannot be written.
    """
    figure, drawn = _axes(title, *axes)
    for index, line in enumerate(lines):
        x, y = np.asarray(line.x), np.asarray(line.y)
        _draw(drawn, index, line.name, x, y)
        drawn.plot(x, y, "o", markersize=4, color=_COLORS[index % len(_COLORS)])
    drawn.legend(loc="best", framealpha=1)
    _save(path, figure)


def _axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    # A Figure of its own, not pyplot's: no display, no global state, safe in threads.
    figure = Figure(figsize=(7, 5.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _draw(axes: Axes, index: int, name: str, x: ArrayLike, y: ArrayLike) -> None:
    style = _STYLES[index // len(_COLORS) % len(_STYLES)]
    # Later lines lie below: the first is the one that the plot is about.
    axes.plot(x, y, style, color=_COLORS[index % len(_COLORS)], linewidth=1.8, label=name, zorder=3 - index / 100)


def _save(path: PathLike, figure: Figure) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png")

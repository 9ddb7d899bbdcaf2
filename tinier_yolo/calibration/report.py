"""What is said of a quantised network: a table of its layers, totals, JSON, CSV and plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinier_yolo.calibration.methods import Point
from tinier_yolo.calibration.trials import Trials
from tinier_yolo.eval.plots import Line, plot_lines
from tinier_yolo.eval.report import write_csv, write_json
from tinier_yolo.ifq.fixed_point.layer import FixedPointLayer
from tinier_yolo.ifq.fixed_point.program import formats_json
from tinier_yolo.quantization.post_training.costs import Costs, LayerSize, all_8_bit, costs, float_costs
from tinier_yolo.quantization.post_training.formats import Bits
from tinier_yolo.quantization.post_training.sqnr import format_sqnr, output_sqnr

#: An SQNR beyond it is told as this number: what is exact has none.
_MAX_SQNR = 200.0


@dataclass(frozen=True)
class LayerRow:
    """A layer: the formats of its tensors as "bits.point", and their SQNR in decibels.

    Attributes:
        name: its geometry.
        weights, biases, maps: formats.
        weights_sqnr, biases_sqnr, maps_sqnr: of the tensor alone, when it is rounded.
    """

    name: str
    weights: str
    biases: str
    maps: str
    weights_sqnr: float
    biases_sqnr: float
    maps_sqnr: float


@dataclass(frozen=True)
class HeldOut:
    """The float and the quantised network on images that have chosen nothing: their number, and both metrics."""

    images: int
    metric_float: float
    metric_quantized: float


@dataclass(frozen=True, eq=False)
class Report:
    """A quantised network.

    Attributes:
        facts: method, options, images, time.
        point: its bits and its metric.
        float_metric: that of the float network.
        rows: its layers.
        sizes: of its layers.
        layers: in integers.
        points: everything that was measured.
        budgets: what searches have found, by the part of the metric that they were allowed to lose.
        held_out: what the network is worth on other images; None where there are none.
    """

    facts: Mapping[str, Any]
    point: Point
    float_metric: float
    rows: tuple[LayerRow, ...]
    sizes: tuple[LayerSize, ...]
    layers: tuple[FixedPointLayer, ...]
    points: tuple[Point, ...]
    budgets: Mapping[float, Point] = field(default_factory=dict)
    held_out: HeldOut | None = None

    @property
    def costs(self) -> dict[str, Costs]:
        """Those of this network, of all-8-bit, and of float32."""
        return {
            "quantized": costs(self.sizes, self.point.bits),
            "all_8_bit": all_8_bit(self.sizes),
            "float32": float_costs(self.sizes),
        }

    @property
    def predicted_sqnr(self) -> float:
        """At the output, by the sum of the noise of all weights and maps (Lin et al.), in decibels."""
        return output_sqnr(value for row in self.rows for value in (row.weights_sqnr, row.maps_sqnr))

    def summary(self) -> dict[str, Any]:
        """The content of ``quantize.json``."""
        all_costs = self.costs
        memory, work = all_costs["quantized"].relative(all_costs["all_8_bit"])
        return {
            **self.facts,
            "metric_float": round(self.float_metric, 6),
            "metric_quantized": round(self.point.metric, 6),
            "held_out": asdict(self.held_out) if self.held_out else None,
            "output_sqnr": _finite(self.point.output_sqnr),
            "predicted_sqnr": _finite(self.predicted_sqnr),
            "costs": {name: {**asdict(own), "memory": own.memory} for name, own in all_costs.items()},
            "memory_of_all_8_bit": round(memory, 6),
            "multiplications_of_all_8_bit": round(work, 6),
            "formats": formats_json([layer.formats for layer in self.layers]),
            "layers": [asdict(row) for row in self.rows],
            "points": [self._point(point) for point in self.points],
            "budgets": [self._budget(budget) for budget in sorted(self.budgets)],
        }

    def table(self) -> Iterator[str]:
        """The lines for a person."""
        form = "{:>2}  {:<26} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}"
        yield form.format("", "layer", "weights", "biases", "maps", "SQNR w", "SQNR b", "SQNR maps")
        for number, row in enumerate(self.rows):
            values = (f"{value:.1f}" for value in (row.weights_sqnr, row.biases_sqnr, row.maps_sqnr))
            yield form.format(number, row.name, row.weights, row.biases, row.maps, *values)
        yield "formats: s signed or u unsigned, bits, and bits behind the binary point; SQNR in dB"
        yield ""
        form = "{:<10} {:>12} {:>10} {:>12} {:>12} {:>20}"
        yield form.format("", "weight bits", "bias bits", "map bits", "memory bits", "MACs x bits x bits")
        for name, own in self.costs.items():
            numbers = (own.weights, own.biases, own.maps, own.memory, own.multiplications)
            yield form.format(name, *(f"{number:,}" for number in numbers))
        all_costs = self.costs
        for name in ("all_8_bit", "float32"):
            memory, work = all_costs["quantized"].relative(all_costs[name])
            yield f"of {name}: memory {memory:.1%}, multiplications {work:.1%}"
        yield f"SQNR at the output: {self.point.output_sqnr:.1f} dB, predicted {self.predicted_sqnr:.1f} dB"
        yield self._loss_line(f"{self.facts['images']} calibration images", self.float_metric, self.point.metric)
        if other := self.held_out:
            what = f"{other.images} other images, which have chosen nothing"
            yield self._loss_line(what, other.metric_float, other.metric_quantized)
        yield f"{self.facts['trials']} trials, {self.facts['processor_seconds']:.0f} s of processor time"
        if self.budgets:
            yield from self._budgets_table()

    def _loss_line(self, what: str, exact: float, found: float) -> str:
        loss = 1 - found / exact if exact else math.nan
        return f"{self.facts['metric']} on {what}: float {exact:.4f}, quantized {found:.4f} ({loss:+.2%} lost)"

    def _budgets_table(self) -> Iterator[str]:
        yield ""
        form = "{:>7} {:>9} {:>9} {:>16}"
        yield form.format("budget", "metric", "memory", "multiplications")
        for budget in sorted(self.budgets):
            row = self._budget(budget)
            costs_of_it = f"{row['memory']:.1%}", f"{row['multiplications']:.1%}"
            yield form.format(f"{budget:.2%}", f"{row['metric']:.4f}", *costs_of_it)

    def write(self, folder: Path) -> None:
        """Write ``quantize.json``, ``layers.csv``, ``points.csv``, ``sqnr.png`` and ``curve.png``.

        Where there are several budgets, ``budgets.csv`` and ``budgets.png`` too.

        Raises:
            OutputError: a file cannot be written.
        """
        write_json(folder / "quantize.json", self.summary())
        write_csv(folder / "layers.csv", list(asdict(self.rows[0])), [list(asdict(row).values()) for row in self.rows])
        points = [self._point(point) for point in self.points]
        if points:
            write_csv(folder / "points.csv", list(points[0]), [list(point.values()) for point in points])
        if self.budgets:
            rows = [self._budget(budget) for budget in sorted(self.budgets)]
            write_csv(folder / "budgets.csv", list(rows[0]), [list(row.values()) for row in rows])
            lost = [100 * row["budget"] for row in rows]
            lines = [Line(name, lost, [100 * row[name] for row in rows]) for name in ("memory", "multiplications")]
            axes = f"{self.facts['metric']} that may be lost, %", "Of all-8-bit, %"
            plot_lines(folder / "budgets.png", lines, title="Cost over the budget", axes=axes)
        self._plot(folder)

    def _budget(self, budget: float) -> dict[str, Any]:
        return {"budget": round(budget, 6), **self._point(self.budgets[budget])}

    def _plot(self, folder: Path) -> None:
        layers = np.arange(len(self.rows))
        lines = [
            Line(name, layers, [min(getattr(row, f"{name}_sqnr"), _MAX_SQNR) for row in self.rows])
            for name in ("weights", "maps")
        ]
        plot_lines(folder / "sqnr.png", lines, title="SQNR by layer", axes=("Layer", "dB"))
        lines = []
        for method in dict.fromkeys(point.method for point in self.points):
            own = {
                costs(self.sizes, point.bits).weights / 8e6: point.metric
                for point in self.points
                if point.method == method
            }
            lines.append(Line(method, sorted(own), [own[size] for size in sorted(own)]))
        if lines:
            title = f"{self.facts['metric']} over the size of the weights, {self.facts['images']} images"
            plot_lines(folder / "curve.png", lines, title=title, axes=("Weights, MB", str(self.facts["metric"])))

    def _point(self, point: Point) -> dict[str, Any]:
        own, reference = costs(self.sizes, point.bits), all_8_bit(self.sizes)
        memory, work = own.relative(reference)
        return {
            "method": point.method,
            "metric": round(point.metric, 6),
            "output_sqnr": _finite(point.output_sqnr),
            "weight_bits": own.weights,
            "memory": round(memory, 6),
            "multiplications": round(work, 6),
            "bits": " ".join(f"{layer.weights}/{layer.biases}/{layer.maps}" for layer in point.bits),
        }


def make_report(
    trials: Trials,
    sizes: Sequence[LayerSize],
    point: Point,
    points: Sequence[Point],
    float_metric: float,
    facts: Mapping[str, Any],
) -> Report:
    """The report on a point."""
    layers = trials.builder.build(point.bits)
    rows = tuple(_row(trials, number, layer) for number, layer in enumerate(layers))
    return Report(facts, point, float_metric, rows, tuple(sizes), layers, tuple(points))


def _row(trials: Trials, number: int, layer: FixedPointLayer) -> LayerRow:
    folded, statistics, formats = trials.builder.layers[number], trials.builder.statistics[number], layer.formats
    return LayerRow(
        folded.part.name,
        str(formats.weights),
        str(formats.biases),
        str(formats.maps),
        _finite(format_sqnr(folded.weights, formats.weights)),
        _finite(format_sqnr(folded.biases, formats.biases)),
        _finite(format_sqnr(statistics.sample, formats.maps)),
    )


def _finite(value: float) -> float:
    return round(min(max(value, -_MAX_SQNR), _MAX_SQNR), 3)


def bits_text(bits: Bits) -> str:
    """The bits of all layers, weights/biases/maps each."""
    return " ".join(f"{own.weights}/{own.biases}/{own.maps}" for own in bits)

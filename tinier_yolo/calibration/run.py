"""A float detector -> a fixed-point program: one call does what ``tinier-yolo quantize`` does."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinier_yolo import __version__
from tinier_yolo.bulk.local import cores, progress
from tinier_yolo.calibration.images import CalibrationImages
from tinier_yolo.calibration.methods import METHODS, OBJECTIVES, Point, curve, kappa_of, lin, uniform
from tinier_yolo.calibration.report import Report, bits_text, make_report
from tinier_yolo.calibration.trials import DetectionTrials
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import parse_weights, read_weights
from tinier_yolo.errors import DataError, UsageError
from tinier_yolo.eval.labelled.benchmark import load_set
from tinier_yolo.files import atomic_write
from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.quantization.post_training.costs import LayerSize, all_8_bit, layer_sizes
from tinier_yolo.quantization.post_training.folding import fold
from tinier_yolo.quantization.post_training.formats import Builder, LayerBits
from tinier_yolo.quantization.post_training.search import SearchState, search
from tinier_yolo.quantization.post_training.statistics import map_statistics
from tinier_yolo.runtime.float_engine import FloatEngine
from tinier_yolo.shipped import cfg_file

#: Where a search keeps its state, beside the program that it will make.
STATE_SUFFIX = ".search.json"
#: About how many of the images the statistics of the maps are taken from: of each there are thousands of values.
STATISTICS_IMAGES = 16


@dataclass(frozen=True)
class Options:
    """What to do.

    Attributes:
        cfg, weights, data: the files of the float network and of the calibration images (the valid list).
        output: the .ifq to write.
        method: one of METHODS.
        bits: those of every layer, or None: as few as the budget allows.
        budget: the part of the float network's metric that may be lost.
        metric: one of ``images.METRICS``.
        images: how many calibration images.
        kappa: decibels a bit: a number, ``fit`` or ``measure``.
        objective: one of OBJECTIVES.
        report: the folder for the report, or None.
        size: (width, height) of the input, or None: the cfg's.
    """

    cfg: str
    weights: str
    data: str
    output: str
    method: str
    bits: int | None = None
    budget: float = 0.01
    metric: str = "rate"
    images: int = 100
    kappa: str = "fit"
    objective: str = "size"
    report: str | None = None
    size: tuple[int, int] | None = None

    def check(self) -> None:
        """Check what goes together.

        Raises:
            UsageError: it does not.
        """
        if Path(self.output).suffix != ".ifq":
            raise UsageError("not a name for a program", path=self.output, expected="a name that ends in .ifq")
        for what, value, known in (("method", self.method, METHODS), ("objective", self.objective, OBJECTIVES)):
            if value not in known:
                raise UsageError(f"no such {what}", expected=" or ".join(known), found=value)
        if self.bits is not None and not MIN_BITS <= self.bits <= MAX_BITS:
            raise UsageError("bad number of bits", expected=f"{MIN_BITS}..{MAX_BITS}", found=self.bits)
        if self.bits is not None and self.method == "goyal":
            raise UsageError(
                "the search finds the bits itself", expected="--budget", found="--bits with --method goyal"
            )
        if not 0 <= self.budget < 1:
            raise UsageError("bad budget", expected="0 <= budget < 1", found=self.budget)
        if self.kappa not in ("fit", "measure"):
            with suppress(ValueError):
                if 0 < float(self.kappa) < 100:
                    return
            raise UsageError("bad kappa", expected="a number of decibels, fit or measure", found=self.kappa)


@dataclass
class Run:
    """A run in progress.

    Attributes:
        options: what to do.
        trials: measures bits.
        sizes: of the layers.
        float_metric: the metric of the float network.
        fingerprint: of the files and options that a search depends on.
        points: what was measured so far.
        start: when it began.
    """

    options: Options
    trials: DetectionTrials
    sizes: tuple[LayerSize, ...]
    float_metric: float
    fingerprint: str
    points: list[Point] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)

    def note(self, point: Point) -> None:
        """Keep a point and say what it is."""
        self.points.append(point)
        images = len(self.trials.images.prepared)
        rate = images * self.trials.trials / max(self.trials.seconds, 1e-9)
        _say(
            f"{point.method}: {self.options.metric} {point.metric:.4f}, SQNR {point.output_sqnr:.1f} dB, "
            f"{rate:.1f} images/s; bits {bits_text(point.bits)}"
        )


def quantize(options: Options) -> tuple[FixedPointProgram, Report]:
    """Quantise a network, write the program, and the report where one is wanted.

    Raises:
        TinierYoloError: bad options, a bad file, a network without a fixed-point form, or a budget that no bits keep.
    """
    options.check()
    run = _prepare(options)
    least = run.float_metric * (1 - options.budget)
    kappa = kappa_of(run.trials, options.kappa, run.note) if options.method == "lin" or options.report else None
    if options.method == "uniform":
        point = uniform(run.trials, options.bits, least, run.note)
    elif options.method == "lin":
        assert kappa is not None, "just computed"
        point = lin(run.trials, run.sizes, kappa, options.objective, options.bits, least, run.note)
    else:
        point = _search(run)
    if options.report and kappa is not None:
        curve(run.trials, run.sizes, kappa, options.objective, run.note)
    facts = {
        "method": options.method,
        "metric": options.metric,
        "images": len(run.trials.images.prepared),
        "budget": options.budget,
        "kappa": None if kappa is None else round(kappa, 4),
        "objective": options.objective,
        "fingerprint": run.fingerprint,
        "trials": run.trials.trials,
        "seconds": round(time.perf_counter() - run.start, 1),
    }
    report = make_report(run.trials, run.sizes, point, run.points, run.float_metric, facts)
    program = run.trials.program(point.bits, _provenance(options, point))
    program.save(options.output)
    if options.report:
        report.write(Path(options.report))
    return program, report


def _prepare(options: Options) -> Run:
    network = Network.load(cfg_file(options.cfg))
    if options.size:
        network = network.resized(*options.size)
    data = read_weights(options.weights)
    parameters = parse_weights(data, network, options.weights)
    folded = fold(network, parameters)
    images = CalibrationImages.load(network, load_set(options.data), options.images, options.metric)
    pixels = images.pixels
    engine = FloatEngine(network, parameters, threads=cores())
    outputs = [engine.run(image) for image in progress(pixels, len(pixels), "float")]
    seen = pixels[:: max(1, len(pixels) // STATISTICS_IMAGES)]
    statistics = map_statistics(folded, progress(seen, len(seen), "statistics"), len(seen))
    trials = DetectionTrials(Builder(folded, statistics), images, outputs)
    digest = hashlib.sha256(data + network.text.encode())
    chosen = {key: value for key, value in asdict(options).items() if key not in ("output", "report", "cfg", "weights")}
    digest.update(json.dumps(chosen, sort_keys=True).encode())
    wanted = trials.wanted
    _say(f"float: {options.metric} {wanted:.4f} on {len(pixels)} images")
    parts = [layer.part for layer in folded]
    return Run(options, trials, layer_sizes(parts, network.input), wanted, digest.hexdigest())


def _search(run: Run) -> Point:
    path = Path(f"{run.options.output}{STATE_SUFFIX}")
    state = _read_state(path, run.fingerprint, len(run.sizes)) if path.exists() else None
    if state:
        _say(f"{path}: going on after {state.passes} passes and {state.done} tensors")

    def keep(reached: SearchState) -> None:
        run.note(Point("goyal", reached.bits, reached.metric, run.trials.accepted_sqnr))
        with atomic_write(path, "w", durable=False) as file:
            json.dump({"fingerprint": run.fingerprint, "state": asdict(reached)}, file)

    found = search(run.trials, run.sizes, run.float_metric, run.options.budget, all_8_bit(run.sizes), state, keep)
    metric = run.trials.measure(found.bits)
    path.unlink(missing_ok=True)
    return Point("goyal", found.bits, metric, run.trials.output_sqnr)


def _read_state(path: Path, fingerprint: str, layers: int) -> SearchState:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["fingerprint"] != fingerprint:
            raise DataError("the search of another network, or with other options", path=path, expected="its removal")
        state: dict[str, Any] = content["state"]
        bits = tuple(LayerBits(**own) for own in state.pop("bits"))
        numbers = [number for own in bits for number in asdict(own).values()]
        if len(bits) != layers or not all(type(n) is int and MIN_BITS <= n <= MAX_BITS for n in numbers):
            raise ValueError("bits of another network")
        return SearchState(bits, **state)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError("not the state of a search", path=path, found=str(error)[:80]) from error


def _provenance(options: Options, point: Point) -> dict[str, str]:
    return {
        "weights": Path(options.weights).name,
        "sha256": hashlib.sha256(read_weights(options.weights)).hexdigest(),
        "method": options.method,
        "bits": bits_text(point.bits),
        "converter": f"tinier-yolo {__version__}",
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

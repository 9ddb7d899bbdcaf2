"""A float network -> a fixed-point program: one call does what ``tinier-yolo quantize`` does."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tinier_yolo import __version__
from tinier_yolo.bulk.local import cores, progress
from tinier_yolo.calibration.budgets import STATE_SUFFIX, Searches
from tinier_yolo.calibration.images import METRICS, CalibrationImages, load_images, load_other_images
from tinier_yolo.calibration.methods import METHODS, OBJECTIVES, Point, check_kappa, curve, kappa_of, lin, uniform
from tinier_yolo.calibration.report import HeldOut, Report, bits_text, make_report
from tinier_yolo.calibration.trials import Trials
from tinier_yolo.darknet.network import Network
from tinier_yolo.darknet.weights import parse_weights, read_weights
from tinier_yolo.errors import UsageError
from tinier_yolo.ifq.fixed_point.number_format import MAX_BITS, MIN_BITS
from tinier_yolo.ifq.fixed_point.program import FixedPointProgram
from tinier_yolo.output_folder import OutputFolder
from tinier_yolo.quantization.post_training.costs import LayerSize, layer_sizes
from tinier_yolo.quantization.post_training.equalization import equalize
from tinier_yolo.quantization.post_training.folding import FoldedLayer, fold
from tinier_yolo.quantization.post_training.formats import Builder
from tinier_yolo.quantization.post_training.rounding import Compensated
from tinier_yolo.quantization.post_training.search import SearchState, noise_trials
from tinier_yolo.quantization.post_training.statistics import input_moments, map_statistics
from tinier_yolo.runtime.engine import Engine
from tinier_yolo.runtime.float_engine import FloatEngine
from tinier_yolo.shipped import cfg_file

#: About how many of the images the statistics of the maps are taken from, or how many pixels of small images: of each
#: there are thousands of values.
STATISTICS_IMAGES, STATISTICS_PIXELS = 16, 1 << 18
#: The most images, about, from which compensated rounding takes the second moments of what layers read.
MOMENT_IMAGES = 1000
#: How weights are rounded: to the nearest, or each making up for the errors of those before it, in channels of like
#: sizes.
ROUNDINGS = ("nearest", "compensated")
#: A search for half the budget goes first: it may end at what costs less than where a search for all of it stops, and
#: the latter goes on from there. With a report, more follow, for so many times the budget.
FIRST_FACTOR, FURTHER_FACTORS = 0.5, (2.0, 3.0)


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
        rounding: one of ROUNDINGS, or None: to the nearest, but compensated for ``goyal``.
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
    rounding: str | None = None
    report: str | None = None
    size: tuple[int, int] | None = None

    @property
    def how_rounded(self) -> str:
        """One of ROUNDINGS."""
        return self.rounding or ("compensated" if self.method == "goyal" else "nearest")

    def check(self) -> None:
        """Check what goes together.

        Raises:
            UsageError: it does not.
        """
        if Path(self.output).suffix != ".ifq":
            raise UsageError("not a name for a program", path=self.output, expected="a name that ends in .ifq")
        known_values = (
            ("method", self.method, METHODS),
            ("objective", self.objective, OBJECTIVES),
            ("metric", self.metric, METRICS),
            ("rounding", self.how_rounded, ROUNDINGS),
        )
        for what, value, known in known_values:
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
        check_kappa(self.kappa)


@dataclass
class Run:
    """A run in progress.

    Attributes:
        options: what to do.
        trials: measures bits.
        others: images of the list that choose nothing.
        float_engine: runs the float network.
        sizes: of the layers.
        float_metric: the metric of the float network.
        fingerprint: of the files and options that a search depends on.
        points: what was measured so far.
        start: when it began.
    """

    options: Options
    trials: Trials
    others: CalibrationImages
    float_engine: FloatEngine
    sizes: tuple[LayerSize, ...]
    float_metric: float
    fingerprint: str
    points: list[Point] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)
    processor_start: float = 0.0
    searches: Searches = field(init=False)

    def __post_init__(self) -> None:
        path = Path(f"{self.options.output}{STATE_SUFFIX}")
        self.searches = Searches(path, self.fingerprint, self.trials, self.sizes, self.float_metric, self._found)
        if self.options.method == "goyal" and self.searches.read():
            _say(f"{path}: going on after {sum(len(own.noise) + 1 for own in self.searches.states.values())} trials")

    def _found(self, reached: SearchState) -> None:
        if reached.passes is None:
            if len(reached.noise) % 10 == 0:
                _say(f"goyal: noise of {len(reached.noise)} of {noise_trials(len(self.sizes))} tensors and bits")
        else:
            self.note(Point("goyal", reached.bits, reached.metric, self.trials.accepted_sqnr))

    def searched(self) -> dict[float, Point]:
        """The results of Goyal's search by budget, that of the options among them; several for a report.

        Raises:
            UsageError: no bits stay within the budget of the options.
        """
        wanted = self.options.budget
        factors = (FIRST_FACTOR, *(FURTHER_FACTORS if self.options.report else ()))
        found = {}
        for budget in sorted({wanted, *(round(factor * wanted, 9) for factor in factors if factor * wanted < 1)}):
            state, least = self.searches.run(budget), self.float_metric * (1 - budget)
            if state.metric >= least:
                metric = self.trials.measure(state.bits)
                found[budget] = Point("goyal", state.bits, metric, self.trials.output_sqnr)
            elif budget == wanted:
                expected = f"a metric of {least:.4f}"
                raise UsageError("no bits stay within the budget", expected=expected, found=f"{state.metric:.4f}")
        return found

    def held_out(self, program: FixedPointProgram) -> HeldOut | None:
        """What the program is worth on as many other images of the list; None where there are none.

        A search takes what its images happen to like; these have chosen nothing.
        """
        images = self.others
        if not images.pixels:
            return None
        engine, count = Engine(program, cores()), len(images.pixels)
        exact = [self.float_engine.run(image) for image in progress(images.pixels, count, "float, other images")]
        found = [engine.run(image) for image in progress(images.pixels, count, "other images")]
        return HeldOut(count, images.metric(exact, 0), images.metric(found, program.fraction_bits))

    def facts(self, kappa: float | None) -> dict[str, Any]:
        """What the report says of the run."""
        options = self.options
        return {
            "method": options.method,
            "metric": options.metric,
            "images": len(self.trials.images.pixels),
            "budget": options.budget,
            "rounding": options.how_rounded,
            "kappa": None if kappa is None else round(kappa, 4),
            "objective": options.objective,
            "fingerprint": self.fingerprint,
            "trials": self.trials.trials,
            "seconds": round(time.perf_counter() - self.start, 1),
            "processor_seconds": round(time.process_time() - self.processor_start, 1),
        }

    def note(self, point: Point) -> None:
        """Keep a point and say what it is."""
        self.points.append(point)
        images = len(self.trials.images.pixels)
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
    OutputFolder(Path(options.output).parent).check()
    if options.report:
        OutputFolder(options.report).check()
    run = _prepare(options)
    least = run.float_metric * (1 - options.budget)
    budgets: dict[float, Point] = {}
    kappa = kappa_of(run.trials, options.kappa, run.note) if options.method != "goyal" else None
    if options.method == "uniform":
        point = uniform(run.trials, options.bits, least, run.note)
    elif options.method == "lin":
        assert kappa is not None, "just computed"
        point = lin(run.trials, run.sizes, kappa, options.objective, options.bits, least, run.note)
    else:
        budgets = run.searched()
        point = budgets[options.budget]
    if options.report and kappa is not None:
        curve(run.trials, run.sizes, kappa, options.objective, run.note)
    report = make_report(run.trials, run.sizes, point, run.points, run.float_metric, run.facts(kappa))
    program = run.trials.program(point.bits, _provenance(options, point))
    report = replace(report, budgets=budgets, held_out=run.held_out(program))
    program.save(options.output)
    if options.report:
        report.write(Path(options.report))
    if options.method == "goyal":  # an interrupted search is no other method's to remove
        run.searches.path.unlink(missing_ok=True)
    return program, report


def _prepare(options: Options) -> Run:
    start = time.process_time()
    network = Network.load(cfg_file(options.cfg))
    if options.size:
        network = network.resized(*options.size)
    data = read_weights(options.weights, network)
    parameters = parse_weights(data, network, options.weights)
    folded = fold(network, parameters)
    images = load_images(network, options.data, options.images, options.metric)
    # Read now: of a bad one the user shall not be told after the search.
    others = load_other_images(network, options.data, options.images, options.metric)
    engine = FloatEngine(network, parameters, threads=cores())
    outputs = [engine.run(image) for image in progress(images.pixels, len(images.pixels), "float")]
    builder = make_builder(folded, images, options.how_rounded)
    trials = Trials(builder, images, outputs, keeps_maps=options.method == "goyal")
    digest = hashlib.sha256(data + network.text.encode())
    chosen = {key: value for key, value in asdict(options).items() if key not in ("output", "report", "cfg", "weights")}
    digest.update(json.dumps(chosen, sort_keys=True).encode())
    wanted = trials.wanted
    if options.bits is None and wanted <= 0:
        # Any bits would lose nothing.
        problem = f"the float network's {options.metric} is 0 on the calibration images"
        raise UsageError(problem, path=options.data, expected="more images, with what it finds; or --bits")
    _say(f"float: {options.metric} {wanted:.4f} on {len(images.pixels)} images")
    sizes = layer_sizes([layer.part for layer in folded], network.input)
    return Run(options, trials, others, engine, sizes, wanted, digest.hexdigest(), processor_start=start)


def make_builder(folded: tuple[FoldedLayer, ...], images: CalibrationImages, rounding: str) -> Builder:
    """What makes integer layers of a float network: formats from some images, weights rounded in one of ROUNDINGS."""
    pixels = images.pixels
    if rounding == "compensated":
        folded = equalize(folded)
    height, width = pixels[0].shape[:2]
    wanted = max(STATISTICS_IMAGES, STATISTICS_PIXELS // (height * width))
    seen = pixels[:: max(1, len(pixels) // wanted)]
    statistics = map_statistics(folded, progress(seen, len(seen), "statistics"), len(seen))
    if rounding == "nearest":
        return Builder(folded, statistics)
    seen = pixels[:: max(1, len(pixels) // MOMENT_IMAGES)]
    moments = input_moments(folded, progress(seen, len(seen), "moments"), len(seen))
    return Builder(folded, statistics, tuple(Compensated(own) for own in moments))


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

"""The table of benchmarks. A new one is a row here and its folder, ``eval/NAME/benchmark.py``, with ``evaluate``.

Imports nothing heavy: ``tinier-yolo eval --help`` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tinier_yolo.errors import UsageError

if TYPE_CHECKING:
    from tinier_yolo.eval.figure import FigureOptions
    from tinier_yolo.eval.report import Result
    from tinier_yolo.eval.subjects import Chosen


@dataclass(frozen=True)
class Option:
    """An option that a benchmark has for itself; its value is a text, a list of texts, or whether it was given.

    Attributes:
        flag: ``--images``.
        metavar: what help calls the value.
        help: a line on it.
        required: whether it must be given.
        repeated: whether it may be given several times.
        switch: whether it stands alone, without a value.
        choices: the values that it may have; any if empty.
    """

    flag: str
    metavar: str
    help: str
    required: bool = False
    repeated: bool = False
    switch: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is asked of a benchmark.

    Attributes:
        out: the folder to write to.
        options: the values of its own options, by name without dashes; None or an empty list where not given.
        choose: makes the detector; called once everything else was found in order, and not at all for files.
        name: what legends and the summary call the detections; None: the benchmark's choice.
        compare: names and ROC files of other curves for the plot.
        figure: what to draw, if anything.
        errors: whether to write what kinds of errors there are.
    """

    out: Path
    options: Mapping[str, str | list[str] | bool | None]
    choose: Callable[[], Chosen]
    name: str | None = None
    compare: tuple[tuple[str, Path], ...] = ()
    figure: FigureOptions | None = None
    errors: bool = False

    def one(self, name: str) -> str | None:
        """The value of an option."""
        return cast("str | None", self.options[name])

    def needed(self, name: str) -> str:
        """The value of a required option."""
        return cast("str", self.options[name])

    def many(self, name: str) -> tuple[str, ...]:
        """The values of an option that may be repeated."""
        return tuple(cast("list[str]", self.options[name] or ()))

    def has(self, name: str) -> bool:
        """Whether a switch was given."""
        return bool(self.options[name])

    def images(self) -> str:
        """The folder of images that a detector needs.

        Raises:
            UsageError: it was not given.
        """
        images = self.one("images")
        if images is None:
            raise UsageError("a detector needs images", expected="--images ROOT, or --detections PATH")
        return images


@dataclass(frozen=True)
class Benchmark:
    """A row of the table.

    Attributes:
        name: what the command line calls it, and its folder in ``eval/``.
        about: a line for help.
        options: its own options.
        compare: whether it draws ROC curves, beside which others' can stand.
        figure: whether it draws pictures.
        errors: whether it tells the kinds of errors.
        detector: whether it evaluates a detector, whose options it then has.
        sized_peers: whether a peer takes ``--size``, at which heights of faces are told.
        aliases: other names, from earlier versions.
    """

    name: str
    about: str
    options: tuple[Option, ...]
    compare: bool = False
    figure: bool = False
    errors: bool = False
    detector: bool = True
    sized_peers: bool = False
    aliases: tuple[str, ...] = ()

    def evaluate(self, request: Request) -> Result:
        """Evaluate, write the results to ``request.out``, and return them.

        Raises:
            TinierYoloError: bad options, bad input, or results that cannot be written.
        """
        module = import_module(f"{__package__}.{self.name}.benchmark")
        return cast("Result", module.evaluate(request))


BENCHMARKS = (
    Benchmark(
        "fddb",
        "discrete and continuous ROC as FDDB's official program computes them",
        (
            Option("--annotations", "DIR", "folder of FDDB-fold-*-ellipseList.txt", required=True),
            Option(
                "--list", "FILE", "evaluate these images alone: a name a line, without .jpg; may be repeated",
                repeated=True,
            ),
            Option("--images", "ROOT", "FDDB's originalPics"),
            Option("--detections", "PATH", "score a file, or a folder of fold-*-out.txt, instead"),
            Option("--sizes", "FILE", 'with --detections: JSON of "name": [width, height]'),
            Option(
                "--shape", "SHAPE",
                "what lines of --detections describe: rectangle (x y w h score) or ellipse (major minor angle x y "
                "score); default: by the count of their numbers",
                choices=("rectangle", "ellipse"),
            ),
            Option("--lenient", "", "leave wrong lines of annotations and detections out, and count them", switch=True),
        ),
        compare=True,
        errors=True,
    ),
    Benchmark(
        "wider",
        "AP on WIDER FACE's easy, medium and hard faces as the official toolbox computes it",
        (
            Option("--ground-truth", "DIR", "folder of wider_{face,easy,...}_val.mat", required=True),
            Option("--images", "ROOT", "WIDER_val/images"),
            Option("--detections", "DIR", "score a folder of EVENT/NAME.txt instead"),
            Option(
                "--attribute", "NAME=VALUE",
                "for the figure, images with such a face: blur=heavy, illumination=extreme, occlusion=partial, "
                "event=Parade, ...; may be repeated",
                repeated=True,
            ),
        ),
        figure=True,
    ),
    Benchmark(
        "labelled",
        "AP at IoU 0.5 and rate at 0.1 false positives an image for a YOLO-labelled or COCO-annotated set",
        (
            Option("--data", "DATA", ".data file; its valid list is evaluated"),
            Option("--coco", "FILE", "COCO's annotations instead, of one category or with one called face"),
            Option("--images", "ROOT", "with --coco: the folder of its images"),
        ),
        compare=True,
        figure=True,
        errors=True,
        sized_peers=True,
        aliases=("voc",),
    ),
    Benchmark(
        "classify",
        "top-1 and top-5 accuracy of a classifier on the valid images of its data",
        (
            Option("--data", "DATA", ".data file (labels, valid), or a folder with train/CLASS and test/CLASS",
                   required=True),
            Option("--model", "FILE", "an .ifq, or .weights with --cfg", required=True),
            Option("--cfg", "FILE", "the cfg of .weights"),
            Option("--names", "FILE", "class names of .weights, one a line (default: those of the data)"),
            Option("--workers", "N", "images at a time (default: one a core)"),
            Option(
                "--compare-float", "", "run the float network too, where the model stands for one, and count images "
                "with other logits", switch=True,
            ),
        ),
        detector=False,
    ),
)  # fmt: skip

"""The evaluation of a classifier on the valid images of a .data file or of a folder of classes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.bulk.local import cores, in_threads
from tinier_yolo.classification.classifier import Classifier, softmax
from tinier_yolo.datasets.classes import ClassImages, load_class_data
from tinier_yolo.datasets.labels import load_names
from tinier_yolo.errors import DataError, MediaError, UsageError, printable
from tinier_yolo.eval.benchmarks import Request
from tinier_yolo.eval.classify.protocol import confusion, rank_of, top_share
from tinier_yolo.eval.report import Source, write_csv, write_json
from tinier_yolo.media.images import read_image


@dataclass(frozen=True)
class Classified:
    """What was found of an image.

    Attributes:
        best: the class of the highest score.
        score: its score.
        rank: how many classes stand before the image's own; 0 where it was found.
        seconds: the time of the classifier alone.
        differs: whether the float network gives other logits; False where that was not asked.
    """

    best: int
    score: float
    rank: int
    seconds: float
    differs: bool = False


@dataclass(frozen=True, eq=False)
class ClassifyResult:
    """The result of the benchmark.

    Attributes:
        source: the classifier.
        class_names: the classes.
        class_ids: int64 (n,), of the images that could be read.
        ranks: int64 (n,), how many classes stand before an image's own.
        counts: how many images of each class (rows) were taken for each class (columns).
        top: the k of top-k, beside 1.
        different: images of which the float network gives other logits; None where that was not asked.
    """

    source: Source
    class_names: tuple[str, ...]
    class_ids: NDArray[np.int64]
    ranks: NDArray[np.int64]
    counts: NDArray[np.int64]
    top: int
    different: int | None

    def shares(self, class_id: int | None = None) -> tuple[float, float]:
        """Top-1 and top-k accuracy, of all images or of a class."""
        ranks = self.ranks if class_id is None else self.ranks[self.class_ids == class_id]
        return top_share(ranks, 1), top_share(ranks, self.top)

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        best, within = (round(share, 6) for share in self.shares())
        content = {**self.source.summary(), "images": len(self.ranks), "classes": len(self.class_names), "top1": best}
        if self.top > 1:
            content[f"top{self.top}"] = within
        if self.different is not None:
            content["logits_unlike_float"] = self.different
        return content

    def text(self) -> str:
        """The figures in a few lines."""
        best, within = self.shares()
        told = [f"{self.source.name}: top-1 {best:.4f}"]
        if self.top > 1:
            told.append(f"top-{self.top} {within:.4f}")
        lines = [", ".join(told) + f" of {len(self.ranks)} images"]
        if self.different is not None:
            lines.append(f"images of which the float network gives other logits: {self.different}")
        return "\n".join(lines)


def evaluate(request: Request) -> ClassifyResult:
    """Evaluate a classifier; writes ``summary.json``, ``classes.csv``, ``confusion.csv`` and ``images.csv``.

    Raises:
        TinierYoloError: bad options, bad input, or results that cannot be written.
    """
    data = load_class_data(request.needed("data"))
    images = data.load_valid()
    if not len(images):
        raise DataError("no valid list", path=data.path, expected="valid = FILE, or a folder test/CLASS/")
    classifier = _classifier(request, data.class_names)
    classes = classifier.network.classes
    if classes != len(data.class_names):
        raise UsageError("the model has other classes", path=data.path, expected=len(data.class_names), found=classes)
    found = _classify(request, classifier, images)
    result = _result(request, classifier, images, found, data.class_names, data.top)
    _write(request.out, result, images, found)
    return result


def _classifier(request: Request, class_names: tuple[str, ...]) -> Classifier:
    model, cfg, names = request.needed("model"), request.one("cfg"), request.one("names")
    if cfg is None:
        return Classifier.load(model, class_names=load_names(names) if names else None)
    return Classifier.load(model, cfg, load_names(names) if names else class_names)


def _classify(request: Request, classifier: Classifier, images: ClassImages) -> list[Classified | MediaError]:
    workers = request.one("workers")
    if workers is not None and not (workers.isascii() and workers.isdecimal() and int(workers[:6]) > 0):
        raise UsageError("bad number of workers", expected="at least 1", found=workers)
    own, first, compare = threading.local(), threading.Lock(), request.has("compare_float")
    if compare:
        _ = classifier.float_logits  # refuses now what has no float form beside it
    spare = [classifier]

    def classify(number: int) -> Classified | MediaError:
        if not hasattr(own, "classifier"):
            with first:  # An engine serves one thread at a time: each further thread makes its own.
                own.classifier = spare.pop() if spare else _classifier(request, classifier.class_names)
        try:
            rgb = read_image(images.images[number])
        except MediaError as error:
            return error
        return _classified(own.classifier, rgb, int(images.class_ids[number]), compare)

    count = cores() if workers is None else int(workers)
    return in_threads(classify, range(len(images)), count, "classify")


def _classified(classifier: Classifier, rgb: NDArray[np.uint8], class_id: int, compare: bool) -> Classified:
    start = time.perf_counter()
    logits = classifier.logits(rgb)
    seconds = time.perf_counter() - start
    scores = softmax(logits)
    best = int(np.argmax(logits))
    differs = compare and not np.array_equal(classifier.float_logits(rgb), logits)
    return Classified(best, float(scores[best]), rank_of(logits, class_id), seconds, differs)


def _result(
    request: Request,
    classifier: Classifier,
    images: ClassImages,
    found: Sequence[Classified | MediaError],
    class_names: tuple[str, ...],
    top: int,
) -> ClassifyResult:
    problems = [str(result) for result in found if isinstance(result, MediaError)]
    good = [number for number, result in enumerate(found) if isinstance(result, Classified)]
    read = [result for result in found if isinstance(result, Classified)]
    if not read:
        raise UsageError(f"none of the {len(problems)} images can be read; the first: {problems[0]}")
    class_ids = images.class_ids[good]
    model = Path(request.needed("model"))
    details = {"model": model.name, "size": list(classifier.size), "arithmetic": classifier.arithmetic}
    missing = tuple(
        printable(str(images.images[number])) for number, result in enumerate(found) if isinstance(result, MediaError)
    )
    milliseconds = round(1e3 * float(np.median([result.seconds for result in read])), 3)
    source = Source(request.name or printable(model.stem), missing, details, milliseconds)
    return ClassifyResult(
        source,
        class_names,
        class_ids,
        np.array([result.rank for result in read], np.int64),
        confusion(class_ids, np.array([result.best for result in read], np.int64), len(class_names)),
        top,
        sum(result.differs for result in read) if request.has("compare_float") else None,
    )


def _write(out: Path, result: ClassifyResult, images: ClassImages, found: Sequence[Classified | MediaError]) -> None:
    names = result.class_names
    header = ("class", "images", "top1", f"top{result.top}") if result.top > 1 else ("class", "images", "top1")
    rows = [
        (name, int((result.class_ids == number).sum()), *(f"{share:.6f}" for share in result.shares(number)))
        for number, name in enumerate(names)
    ]
    write_csv(out / "classes.csv", header, [row[: len(header)] for row in rows])
    write_csv(
        out / "confusion.csv",
        ("class", *names),
        [(name, *row) for name, row in zip(names, result.counts.tolist(), strict=True)],
    )
    write_csv(
        out / "images.csv",
        ("image", "class", "found", "score", "rank"),
        [
            (printable(str(path)), names[class_id], names[one.best], f"{one.score:.6f}", one.rank)
            for path, class_id, one in zip(images.images, images.class_ids.tolist(), found, strict=True)
            if isinstance(one, Classified)
        ],
    )
    write_json(out / "summary.json", result.summary())

"""``tinier-yolo classify``: the classes of images."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from tinier_yolo.cli.options import count

if TYPE_CHECKING:
    from tinier_yolo.classification.classifier import ClassScore

_EPILOG = """
Results go to stdout: a line for each image (text), or one JSON document: [{"source", "classes": [{"class", "score"},
...]}, ...]. Scores are those of the softmax over all classes.

Exit code: 0 fine; 1 some images could not be read, the others are done; 2 nothing could be done, or bad usage.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("model", metavar="MODEL", help="a classifier: an .ifq, or .weights with --cfg")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="images, folders, patterns, .txt files that list images, - for stdin"
    )
    parser.add_argument("--cfg", metavar="FILE", help="the cfg of .weights")
    parser.add_argument("--names", metavar="FILE", help="class names of .weights, one a line")
    parser.add_argument("--top", type=count, default=5, metavar="N", help="classes to tell (default 5)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the results (default text)")
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="threads for one image (default 1)")


def run(args: argparse.Namespace) -> int:
    """Classify every image; returns 1 where some could not be read, 2 where none could.

    Raises:
        TinierYoloError: the model or the options are bad.
    """
    from tinier_yolo.classification.classifier import Classifier
    from tinier_yolo.datasets.labels import load_names
    from tinier_yolo.errors import MediaError, TinierYoloError, printable
    from tinier_yolo.media.addresses import shown
    from tinier_yolo.media.images import read_image
    from tinier_yolo.media.sources import expand

    sources, expansion_problems, notes = expand(args.images)
    problems: list[TinierYoloError] = list(expansion_problems)
    names = load_names(args.names) if args.names else None
    classifier = Classifier.load(args.model, args.cfg, names, args.threads)
    for note in notes:
        print(f"tinier-yolo: {printable(note)}", file=sys.stderr)
    done: list[dict[str, Any]] = []
    for source in sources:
        label = shown(source.label)
        try:
            if source.kind != "image":
                raise MediaError("not an image", path=label, expected="images", found=f"a {source.kind}")
            found = classifier.classify(read_image(source.label), args.top)
        except MediaError as error:
            problems.append(error)
            continue
        done.append(_entry(label, found))
        if args.format == "text":
            print(_line(label, found), flush=True)
    if args.format == "json":
        print(json.dumps(done, indent=2))
    for problem in problems:
        print(f"tinier-yolo: {problem}", file=sys.stderr)
    if not done:
        return 2
    return 1 if problems else 0


def _entry(source: str, found: list[ClassScore]) -> dict[str, Any]:
    return {"source": source, "classes": [{"class": one.name, "score": round(one.score, 6)} for one in found]}


def _line(source: str, found: list[ClassScore]) -> str:
    from tinier_yolo.errors import printable

    return f"{printable(source)}: " + ", ".join(f"{printable(one.name)} {one.score:.4f}" for one in found)

"""The command line: ``tinier-yolo VERB ...``.

Each verb is a module of this folder with ``add_arguments(parser)`` and ``run(args) -> int``. Only the
module of the verb that was asked for is imported, and that one imports what is heavy inside ``run``: ``--help`` is
instant and needs neither numba nor cv2 nor torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, NoReturn

from tinier_yolo import __version__
from tinier_yolo.cli.process import Terminated, ended_by_signals, open_standard_streams, silent_libraries
from tinier_yolo.errors import TinierYoloError, TinierYoloWarning, printable

#: Verb -> what it does, as the overview shows it.
VERBS = {
    "detect": "find faces in images, folders, videos or a camera",
    "classify": "tell the classes of images",
    "train": "train a detector or a classifier from a cfg (needs the extra 'train')",
    "convert": "turn a trained IFQ network into an integer program (.ifq)",
    "quantize": "turn a trained float network into a fixed-point program (.ifq)",
    "export": "write a model as C99, ONNX, QONNX or a web page",
    "serve": "show a detector's page and detect over HTTP",
    "summary": "print the table of layers of a cfg, a .weights or an .ifq",
    "anchors": "cluster a data set's boxes into anchors",
    "bench": "measure speed on this machine",
    "eval": "score detections: fddb, wider, voc; or classes: classify",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 fine, 1 a run that failed, 2 bad usage or bad input."""
    open_standard_streams()
    argv = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in argv if not word.startswith("-")), None)
    parser = _parser(verb)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        # By the verb's name, whose help lists what there is.
        parser.prog = " ".join(filter(None, (parser.prog, verb)))
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if args.run is None:
        parser.print_help()
        return 2
    with ExitStack() as around:
        if not args.debug:
            around.enter_context(silent_libraries())
        around.enter_context(ended_by_signals())
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        with warnings.catch_warnings():
            _tell_warnings()
            code = int(args.run(args))
        sys.stdout.flush()
        return code
    except TinierYoloError as error:
        if args.debug:
            traceback.print_exc()
        print(f"tinier-yolo: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (| head).
        _abandon_stdout()
        return 1
    except OSError as error:
        # What no module has foreseen: the disk under stdout is full, say.
        if args.debug:
            traceback.print_exc()
        where = printable(os.fsdecode(error.filename)) if error.filename else "standard output"
        print(f"tinier-yolo: {where}: {error.strerror or error}", file=sys.stderr)
        _abandon_stdout()
        return 1
    except Terminated as end:
        print("tinier-yolo: terminated", file=sys.stderr)
        return 128 + end.number
    except KeyboardInterrupt:
        print("tinier-yolo: interrupted", file=sys.stderr)
        return 130


def _tell_warnings() -> None:
    # Our own warnings as a line each, which is not said twice; others' as Python shows them.
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, TinierYoloWarning):
            print(f"tinier-yolo: {message}", file=sys.stderr)
        else:
            show_others(message, category, *where, **more)

    warnings.simplefilter("default", TinierYoloWarning)
    warnings.showwarning = show


def _abandon_stdout() -> None:
    # Keeps Python from flushing what is left at exit and complaining that it cannot.
    with suppress(OSError):  # a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser that tells bad usage in one line, without the list of all options; its verbs' parsers are such too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tinier-yolo", description="Face detection on integers alone: train, convert, detect, evaluate."
    )
    parser.add_argument("--version", action="version", version=f"tinier-yolo {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.set_defaults(run=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    for name, text in VERBS.items():
        child = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        child.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == verb:
            module = importlib.import_module(f"tinier_yolo.cli.{name}")
            module.add_arguments(child)
            child.set_defaults(run=module.run)
    return parser

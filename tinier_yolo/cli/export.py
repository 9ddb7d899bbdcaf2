"""``tinier-yolo export``: a model in the formats of others; a format is a sub-verb."""

from __future__ import annotations

import argparse
from pathlib import Path

#: The forms of the maps that ``export c99`` writes; the first one is the default.
TARGETS = ("portable",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verbs and their options."""
    formats = parser.add_subparsers(title="formats", metavar="FORMAT", dest="format", required=True)
    c99 = formats.add_parser("c99", help="C99 without allocation and floats, with a test", description=_C99)
    c99.add_argument("model", metavar="FILE.ifq", help="the program")
    c99.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder for the files")
    c99.add_argument(
        "--name", help="what file names and functions begin with (default: the last word of the file's name)"
    )
    c99.add_argument("--target", choices=TARGETS, default=TARGETS[0], help="the form of the maps (default %(default)s)")
    c99.set_defaults(export=_c99)


def run(args: argparse.Namespace) -> int:
    """Export.

    Raises:
        TinierYoloError: the model is bad, or what is asked for cannot be written.
    """
    for path in args.export(args):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


_C99 = (
    "Write NAME.c and NAME.h (the network), NAME_test.c (an image and its golden maps: cc NAME.c NAME_test.c, ./a.out "
    "proves the bits on a machine), NAME_boxes.c and .h (boxes from the output map, for a detector), and "
    "NAME_letterbox.c and .h (an image of any size to the network's input)."
)


def _c99(args: argparse.Namespace) -> list[Path]:
    from tinier_yolo.errors import ProgramError
    from tinier_yolo.export.c99 import text
    from tinier_yolo.export.c99.export import c_files, write
    from tinier_yolo.ifq.load import load_program
    from tinier_yolo.ifq.program import Program

    name = args.name if args.name is not None else _default_name(args.model)
    text.check_name(name)
    program = load_program(args.model)
    if not isinstance(program, Program):
        raise ProgramError(
            "a program of fixed-point numbers has no form in C", path=args.model, expected="a binary one"
        )
    return write(c_files(program, name, args.target, Path(args.model).name), args.output)


def _default_name(model: str) -> str:
    # ifq-tinier-yolo-face.ifq: face
    return Path(model).stem.replace("-", "_").replace(".", "_").rpartition("_")[2]

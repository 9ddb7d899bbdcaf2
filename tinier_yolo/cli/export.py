"""``tinier-yolo export``: a model in the formats of others; a format is a sub-verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tinier_yolo.cli.options import size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from tinier_yolo.darknet.network import Network
    from tinier_yolo.darknet.weights import Parameters
    from tinier_yolo.errors import PathLike
    from tinier_yolo.ifq.program import Program

#: The forms of the maps that ``export c99`` writes; the first one is the default.
TARGETS = ("portable", "simd")


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
    onnx = formats.add_parser("onnx", help="ONNX, stock operators", description=_ONNX)
    onnx.add_argument("model", metavar="FILE.ifq|CFG", help="the program, or the cfg of --weights")
    onnx.add_argument("--weights", metavar="FILE", help="Darknet weights of the cfg, float or IFQ")
    qonnx = formats.add_parser("qonnx", help="QONNX, for FINN and others", description=_QONNX)
    qonnx.add_argument("model", metavar="FILE.ifq", help="the program")
    web = formats.add_parser("web", help="a page for a browser", description=_WEB)
    web.add_argument("model", metavar="FILE.ifq", help="the program")
    web.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder for index.html")
    web.set_defaults(export=_web)
    for parser_, export in ((onnx, _onnx), (qonnx, _qonnx)):
        parser_.add_argument("-o", "--output", metavar="FILE.onnx", required=True, help="the file to write")
        parser_.add_argument(
            "--size", type=size, metavar="N|WxH", help="the graph's input (default: the model's own); it is fixed"
        )
        parser_.set_defaults(export=export)


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

_ONNX = (
    "Write a model of stock operators, up to the map that the region layer decodes. A program takes float32 RGB 0..255 "
    "and gives int32, equal to its reference in every value: in ONNX Runtime as it is, in OpenVINO with "
    "INFERENCE_PRECISION_HINT=f32, in OpenCV with enableWinograd(False). A float network takes RGB 0..1 and gives "
    "float32. The file is run and compared before it gets its name."
)
_QONNX = (
    "Write a program with the operators BipolarQuant and MultiThreshold of qonnx, weights of type BIPOLAR and levels "
    "of type UINTk, thresholds before pools where that is the same. What FINN does not take as it is, is said. The "
    "file is run and compared before it gets its name."
)

_WEB = (
    "Write index.html, one file that holds a detector: pictures by file, drag and paste, the camera, boxes and scores. "
    "It opens from disk, works without a network and sends nothing anywhere."
)


def _web(args: argparse.Namespace) -> list[Path]:
    from tinier_yolo.export.web.page import web_page, write_page

    page = web_page(binary_program(args.model, "a page"), Path(args.model).name)
    return [write_page(page, args.output)]


def _c99(args: argparse.Namespace) -> list[Path]:
    from tinier_yolo.export.c99 import text
    from tinier_yolo.export.c99.export import c_files, write

    name = args.name if args.name is not None else _default_name(args.model)
    text.check_name(name)
    program = binary_program(args.model, "C")
    return write(c_files(program, name, args.target, Path(args.model).name), args.output)


def _default_name(model: str) -> str:
    # ifq-tinier-yolo-face.ifq: face
    return Path(model).stem.replace("-", "_").replace(".", "_").rpartition("_")[2]


def _onnx(args: argparse.Namespace) -> list[Path]:
    from tinier_yolo.darknet.network import Network
    from tinier_yolo.darknet.weights import load_weights
    from tinier_yolo.errors import UsageError
    from tinier_yolo.export.onnx_program import program_graph
    from tinier_yolo.ifq.substructures import divide
    from tinier_yolo.shipped import cfg_file

    _check_suffix(args.output)
    if args.weights is None:
        if Path(args.model).suffix == ".cfg":
            raise UsageError("a cfg without its weights", path=args.model, expected="--weights FILE")
        return _write_program(args, binary_program(args.model, "ONNX"), program_graph)
    if Path(args.model).suffix == ".ifq":
        raise UsageError("an .ifq has its own weights", path=args.model, expected="a cfg, or no --weights")
    network = Network.load(cfg_file(args.model))
    parameters = load_weights(args.weights, network)
    if any(substructure.quantized for substructure in divide(network)):
        from tinier_yolo.quantization.convert import convert

        classes = network.region.classes
        names = ("face",) if classes == 1 else tuple(f"class {number}" for number in range(classes))
        return _write_program(args, convert(network, parameters, class_names=names).program, program_graph)
    return _write_float(args, network, parameters)


def _qonnx(args: argparse.Namespace) -> list[Path]:
    from tinier_yolo.export.qonnx import qonnx_graph, refused_by_finn

    _check_suffix(args.output)
    program = binary_program(args.model, "QONNX")
    paths = _write_program(args, program, qonnx_graph)
    for line in refused_by_finn(program, *_height_and_width(args, program.network)):
        print(f"tinier-yolo: {args.model}: {line}", file=sys.stderr)
    return paths


def _write_program(
    args: argparse.Namespace, program: Program, make: Callable[[Program, int, int], ModelProto]
) -> list[Path]:
    from tinier_yolo.export.onnx_file import write_verified
    from tinier_yolo.ifq import reference

    height, width = _height_and_width(args, program.network)
    model = make(program, height, width)
    image = _noise(height, width, program.network.input.channels)
    _, expected = reference.run_maps(program, image)
    return [write_verified(args.output, model, image.transpose(2, 0, 1).astype("float32"), expected)]


def _write_float(args: argparse.Namespace, network: Network, parameters: Parameters) -> list[Path]:
    from tinier_yolo.export.onnx import onnx_graph
    from tinier_yolo.export.onnx_file import write_verified
    from tinier_yolo.runtime.float_engine import FloatEngine

    height, width = _height_and_width(args, network)
    network = network.resized(width, height)
    image = _noise(height, width, network.input.channels)
    # What `detect` computes. Float sums differ by their order, a 10,000th is far more than that.
    expected = FloatEngine(network, parameters).run(image)
    values = (image / 255).transpose(2, 0, 1).astype("float32")
    return [write_verified(args.output, onnx_graph(network, parameters), values, expected, tolerance=1e-4)]


def binary_program(path: PathLike, form: str) -> Program:
    """The program of an .ifq file.

    Args:
        path: the file.
        form: what shall be made of it, for the error.

    Raises:
        ProgramError: the file is bad, or its arithmetic is another one.
    """
    from tinier_yolo.errors import ProgramError
    from tinier_yolo.ifq.load import load_program
    from tinier_yolo.ifq.program import Program

    program = load_program(path)
    if not isinstance(program, Program):
        raise ProgramError(
            f"a program of fixed-point numbers has no form in {form}", path=path, expected="a binary one"
        )
    return program


def _check_suffix(path: str) -> None:
    from tinier_yolo.errors import UsageError

    if Path(path).suffix != ".onnx":
        raise UsageError("not a name for a model", path=path, expected="a name that ends in .onnx")


def _height_and_width(args: argparse.Namespace, network: Network) -> tuple[int, int]:
    if args.size is None:
        return network.options.height, network.options.width
    width, height = (args.size, args.size) if isinstance(args.size, int) else args.size
    network.check_size(width, height)
    return height, width


def _noise(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)

"""Photographs through the exported C and through the page's WebAssembly, against the Python detector.

The C's letterbox and map must be Python's to the last bit, and its boxes those of the float decoder within the bound
that the errors of its tables give. The page's boxes must be equal in every digit of float32 (Node.js runs its script).

    python scripts/verify_boxes.py FOLDER [--count 200] [--compiler gcc]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.exported_c import Exported, call, pointer  # noqa: E402
from tinier_yolo.defaults import NMS, THRESH  # noqa: E402
from tinier_yolo.detection.detections import Detections  # noqa: E402
from tinier_yolo.detection.detector import Detector  # noqa: E402
from tinier_yolo.detection.letterbox import Letterbox  # noqa: E402
from tinier_yolo.errors import MediaError, TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.export.c99 import tables  # noqa: E402
from tinier_yolo.export.web.page import web_page  # noqa: E402
from tinier_yolo.ifq.program import Program  # noqa: E402
from tinier_yolo.media.images import read_image  # noqa: E402
from tinier_yolo.runtime.engine import Engine  # noqa: E402
from tinier_yolo.shipped import default_model  # noqa: E402

Image = NDArray[np.uint8]
SIDE = 416
ROOM = 1000
#: Reads, for each photograph, {path, width, height} of RGBA bytes; prints the boxes. Behind the page's detector.js.
NODE = """
const fs = require("fs");
const [, , facts, list] = process.argv;
const data = JSON.parse(fs.readFileSync(facts, "utf8"));
Detector.load(data).then((detector) => {
  if (!detector.proves()) throw new Error("another map");
  detector.setSize(SIDE, SIDE);
  for (const { path, width, height } of JSON.parse(fs.readFileSync(list, "utf8"))) {
    detector.run(new Uint8Array(fs.readFileSync(path)), width, height);
    console.log(JSON.stringify(detector.boxes(data.thresh, data.nms)));
  }
});
"""


class Box(ctypes.Structure):
    """face_box."""

    _fields_ = [(name, ctypes.c_int32) for name in ("left", "top", "right", "bottom", "score", "class_id", "order")]


class Detection:
    """The exported C from a photograph to its boxes.

    Attributes:
        exported: the network; the last output map.
        input: uint8 (416, 416, 3), the last photograph, letterboxed.
    """

    def __init__(self, program: Program, folder: Path, compiler: str) -> None:
        self.exported = Exported(program, folder, [compiler, "-O2"], (SIDE, SIDE))
        self.input = np.zeros((SIDE, SIDE, 3), np.uint8)

    def detect(self, image: Image) -> list[Box]:
        """Letterbox, network and boxes; the input and the map stay in the attributes.

        Raises:
            TinierYoloError: the C refuses it.
        """
        height, width, _ = image.shape
        face, found = self.exported.library, (Box * ROOM)()
        status = face.face_letterbox(pointer(image), width, height, SIDE, SIDE, pointer(self.input))
        map_ = pointer(self.exported.run(self.input))
        count = face.face_boxes(map_, SIDE, SIDE, width, height, round(THRESH * 100), round(NMS * 100), found, ROOM)
        if status != 0 or count < 0:
            raise TinierYoloError(f"the exported C: status {status}, {count} boxes")
        return list(found[:count])


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print what differs and a line for each of the two; 1 if anything does, 2 for bad input."""
    parser = argparse.ArgumentParser(description="The exported C's and the page's boxes against Python's.")
    parser.add_argument("folder", type=Path, help="with photographs, 416x416 is the network's input")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="of them, evenly spread (default 200)")
    parser.add_argument("--compiler", default="gcc", help="default: gcc")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as work:
            return compare(args.folder, args.count, args.compiler, Path(work))
    except TinierYoloError as error:
        print(f"verify_boxes: {error}", file=sys.stderr)
        return 2


def compare(folder: Path, count: int, compiler: str, work: Path) -> int:
    """Run all; returns the exit code."""
    program = Program.load(default_model())
    c, engine, detector = Detection(program, work, compiler), Engine(program), Detector.load()
    images: list[tuple[Path, Image]] = list(photographs(folder, count))
    expected = [detector.detect(image) for _, image in images]
    wrong, largest = 0, 0.0
    for (path, image), boxes in zip(images, expected, strict=True):
        problem, error = difference(c, engine, image, boxes)
        largest = max(largest, error)
        if problem:
            wrong += 1
            print(f"{path}: C: {problem}")
    total = sum(len(boxes) for boxes in expected)
    print(f"C ({compiler}): {len(images)} photographs, {total} boxes, edges within {largest:.4f} pixels;", end=" ")
    print(f"{wrong} photographs differ in a byte of the input, a value of the map or beyond the bound of a box")
    if shutil.which("node"):
        bad = [
            not equal(found, boxes) for found, boxes in zip(page_boxes(program, images, work), expected, strict=True)
        ]
        print(f"page (node): {len(images)} photographs, {total} boxes, {sum(bad)} photographs differ in any digit")
        wrong += sum(bad)
    else:
        print("page: not run: no node")
    return int(wrong > 0)


def photographs(folder: Path, count: int) -> Iterator[tuple[Path, Image]]:
    """So many readable photographs of a folder, evenly spread over it.

    Raises:
        UsageError: there are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise UsageError("no photographs", path=folder)
    for index in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)):
        try:
            yield paths[index], np.ascontiguousarray(read_image(paths[index]))
        except MediaError as error:
            print(error)


def difference(c: Detection, engine: Engine, image: Image, expected: Detections) -> tuple[str, float]:
    """What differs, "" if nothing does, and the largest distance of an edge, in pixels."""
    found = c.detect(image)
    letterbox = Letterbox.fit((image.shape[1], image.shape[0]), (SIDE, SIDE))
    if not np.array_equal(c.input, letterbox.apply(image)):
        return "another input", 0.0
    if not np.array_equal(c.exported.map, engine.run(c.input)):
        return "another map", 0.0
    if len(found) != len(expected):
        return f"{len(found)} boxes, not {len(expected)}", 0.0
    edges = np.array([(box.left, box.top, box.right, box.bottom) for box in found]).reshape(-1, 4) / 256
    error = float(np.abs(edges - expected.boxes).max(initial=0.0))
    # Of a centre, of half a side that reaches across the input, of float32 and of the anchors; then a box's own unit.
    on_input = 32 * tables.sigmoid_error() + SIDE * tables.exp_error() + 2**-12
    if error > on_input / min(letterbox.scale) + 1 / 512:
        return f"an edge is off by {error:.4f} pixels", error
    scores = np.array([box.score for box in found]) / (1 << 15)
    if np.abs(scores - expected.scores).max(initial=0.0) > 2**-16 + tables.sigmoid_error():
        return "another score", error
    return "", error


def page_boxes(program: Program, images: Sequence[tuple[Path, Image]], work: Path) -> list[list[dict[str, object]]]:
    """What the page's script finds, run by node."""
    page = web_page(program, "face")
    facts = page.partition('type="application/json"')[2].partition(">")[2].partition("</script>")[0]
    (work / "facts.json").write_text(facts, encoding="utf-8")
    script = files("tinier_yolo.export.web").joinpath("page", "detector.js").read_text(encoding="utf-8")
    (work / "run.js").write_text(script + NODE.replace("SIDE", str(SIDE)), encoding="utf-8")
    entries = []
    for number, (_, image) in enumerate(images):
        height, width, _ = image.shape
        path = work / f"{number}.rgba"
        path.write_bytes(np.concatenate([image, np.full((height, width, 1), 255, np.uint8)], axis=2).tobytes())
        entries.append({"path": str(path), "width": width, "height": height})
    (work / "list.json").write_text(json.dumps(entries), encoding="utf-8")
    command = ["node", *(str(work / name) for name in ("run.js", "facts.json", "list.json"))]
    return [json.loads(line) for line in call(command).splitlines()]


def equal(found: Sequence[dict[str, object]], expected: Detections) -> bool:
    """Whether boxes and scores are equal as float32."""
    boxes = np.array([one["box"] for one in found], np.float32).reshape(-1, 4)
    scores = np.array([one["score"] for one in found], np.float32)
    return np.array_equal(boxes, expected.boxes) and np.array_equal(scores, expected.scores)


if __name__ == "__main__":
    sys.exit(main())

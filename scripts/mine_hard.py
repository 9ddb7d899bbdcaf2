"""What a model gets wrong on its own training images: what to show more often, and which labels to look at.

    python scripts/mine_hard.py --data faces.data --model face.ifq --out hard
    tinier-yolo train ... --hard hard/hard.json --corrections corrections.json

``hard.json`` names the images with the largest errors, worst first: the scores of false alarms, and one minus the best
score of each missed face, added up. ``contradicted.png`` shows what the model calls a face with a high score where no
label is; ``proposed.json`` holds the same boxes as corrections that would add them. Look at each, and keep in the file
that training gets only what is a face ("add", or "ignore" in place of it where it is a doubtful one).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tinier_yolo.bulk.local import Found, detect_images
from tinier_yolo.cli.options import count
from tinier_yolo.datasets.labels import Sample, load_data, load_samples
from tinier_yolo.detection.boxes import iou
from tinier_yolo.detection.detector import Detector
from tinier_yolo.errors import DataError, TinierYoloError
from tinier_yolo.files import atomic_write
from tinier_yolo.media.images import read_image
from tinier_yolo.training.emphasis import corners, image_name

#: From this IoU on a detection has found a face; below the other one it has nothing to do with it.
HIT, APART = 0.5, 0.3
#: A detection of which more than this part lies in an ignored box is neither right nor wrong.
INSIDE = 0.5
TILE, COLUMNS, MOST_TILES = 128, 10, 200


@dataclass(frozen=True)
class Errors:
    """What is wrong on one image.

    Attributes:
        image: as the list names it.
        score: how much, see the head of this file.
        false_alarms: [score, x0, y0, x1, y1], relative to the image, highest first.
        misses: [best score there, x0, y0, x1, y1].
        reasons: in words.
    """

    image: str
    score: float
    false_alarms: list[list[float]]
    misses: list[list[float]]
    reasons: list[str]


def judge(sample: Sample, name: str, found: Found, thresh: float, least: float) -> Errors:
    """Compare detections (from a low threshold on) with the labels of an image.

    Args:
        sample: the labels.
        name: what the list calls the image.
        found: what the model says.
        thresh: the score from which it says so.
        least: faces lower than this part of the image's longer side are not asked for.
    """
    size = np.array([*found.size, *found.size], np.float64)
    boxes, scores = found.detections.boxes / size, found.detections.scores
    labels, ignored = corners(sample.boxes).astype(np.float64), corners(sample.ignored).astype(np.float64)
    overlaps = iou(boxes, labels)
    alarm = (scores >= thresh) & ~(overlaps >= APART).any(1) & ~_inside(boxes, ignored)
    best = np.where(overlaps >= HIT, scores[:, None], 0).max(0, initial=0)
    loose = ((overlaps >= APART) & (scores >= thresh)[:, None]).any(0)
    heights = sample.boxes[:, 3] * found.size[1] / max(found.size)
    missed = (best < thresh) & (heights >= least)
    reasons = [f"false alarm {score:.2f}" for score in scores[alarm]]
    reasons += [
        "miss: a loose box" if loose[index] else f"miss: {best[index]:.2f}" if best[index] else "miss: no response"
        for index in np.flatnonzero(missed)
    ]
    total = float(scores[alarm].sum() + (1 - best[missed]).sum())
    return Errors(
        name, round(total, 4), _rows(scores[alarm], boxes[alarm]), _rows(best[missed], labels[missed]), reasons
    )


def mine(data: Path, model: Path, cfg: Path | None, out: Path, args: argparse.Namespace) -> tuple[int, int]:
    """Run the model over the training images and write the three files; how many images are hard, labels contradicted.

    Raises:
        TinierYoloError: bad data or a bad model, or files that cannot be written.
    """
    file = load_data(data)
    if file.train is None:
        raise DataError("no train list", path=data, expected="train = FILE")
    samples = load_samples(file.train, len(file.class_names))
    size = max(Detector.load(model, cfg, args.size).size)
    files = [sample.image for sample in samples]
    results = detect_images(files, lambda: Detector.load(model, cfg, args.size), 0.02, workers=args.workers)
    every = []
    for sample, found in zip(samples, results, strict=True):
        if isinstance(found, Found):
            name = image_name(sample.image, file.train)
            every.append((sample, judge(sample, name, found, args.thresh, args.min_face / size)))
        else:
            print(f"mine_hard: left out: {found}", file=sys.stderr)
    every.sort(key=lambda pair: -pair[1].score)
    hard = [errors for _, errors in every[: args.most] if errors.score > 0]
    _write_json(out / "hard.json", {"model": model.name, "images": [asdict(errors) for errors in hard]})
    alarms = [(alarm, sample, errors) for sample, errors in every for alarm in errors.false_alarms]
    doubtful = sorted((entry for entry in alarms if entry[0][0] >= args.contradict), key=lambda entry: -entry[0][0])
    proposed: dict[str, dict[str, list[list[float]]]] = {}
    for (_, *box), _, errors in doubtful:
        proposed.setdefault(errors.image, {"add": []})["add"].append(_as_label(box))
    _write_json(out / "proposed.json", proposed)
    write_sheet(out / "contradicted.png", [(alarm, sample) for alarm, sample, _ in doubtful[:MOST_TILES]])
    return len(hard), len(doubtful)


def write_sheet(path: Path, entries: Sequence[tuple[list[float], Sample]]) -> None:
    """Crops around boxes [score, x0, y0, x1, y1], each with its score and its image's name.

    Raises:
        TinierYoloError: an image that cannot be read, or a file that cannot be written.
    """
    rows = max(1, -(-len(entries) // COLUMNS))
    sheet = np.full((rows * (TILE + 14), COLUMNS * TILE, 3), 255, np.uint8)
    for index, ((score, *box), sample) in enumerate(entries):
        y, x = index // COLUMNS * (TILE + 14), index % COLUMNS * TILE
        sheet[y + 14 : y + 14 + TILE, x : x + TILE] = _crop(read_image(sample.image), box)
        text = f"{score:.2f} {sample.image.stem[-14:]}"
        cv2.putText(sheet, text, (x + 2, y + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (0, 0, 0), 1, cv2.LINE_AA)
    _, code = cv2.imencode(".png", sheet[..., ::-1])
    with atomic_write(path) as file:
        file.write(code.tobytes())


def _crop(image: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.uint8]:
    """The surroundings of a box, three times its longer side, with the box drawn."""
    height, width = image.shape[:2]
    low, high = np.array(box[:2]) * (width, height), np.array(box[2:]) * (width, height)
    scale = TILE / (3 * max(1.0, *(high - low)))
    shift = TILE / 2 - (low + high) / 2 * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    tile = cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_AREA, borderValue=(128, 128, 128))
    start, end = (tuple(int(value) for value in np.rint(corner * scale + shift)) for corner in (low, high))
    cv2.rectangle(tile, start, end, (255, 64, 64), 1)
    return np.asarray(tile, np.uint8)


def _inside(boxes: NDArray[np.float64], ignored: NDArray[np.float64]) -> NDArray[np.bool_]:
    low = np.maximum(boxes[:, None, :2], ignored[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
    common = np.maximum(high - low, 0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return np.asarray((common > INSIDE * area[:, None]).any(1))


def _as_label(box: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = box
    return [round(value, 5) for value in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)]


def _rows(scores: NDArray[np.floating], boxes: NDArray[np.floating]) -> list[list[float]]:
    return np.column_stack([scores, boxes]).round(4).tolist()


def _write_json(path: Path, content: object) -> None:
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Mine; exit code 2 and one line where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help=".data file; its train list is looked at")
    parser.add_argument("--model", required=True, type=Path, help=".ifq, or .weights with --cfg")
    parser.add_argument("--cfg", type=Path)
    parser.add_argument("--out", type=Path, default=Path("hard"), help="folder for the files (default hard)")
    parser.add_argument("--size", type=int, help="the network's input (default: its own)")
    parser.add_argument("--thresh", type=float, default=0.25, help="the score that says face (default 0.25)")
    parser.add_argument("--contradict", type=float, default=0.7, help="score of a false alarm to look at (default 0.7)")
    parser.add_argument("--min-face", type=float, default=12, help="lowest face asked for, input pixels (default 12)")
    parser.add_argument("--most", type=int, default=2000, help="hard images at the most (default 2000)")
    parser.add_argument("--workers", type=count, help="images at a time (default: one a core)")
    args = parser.parse_args(argv)
    try:
        hard, doubtful = mine(args.data, args.model, args.cfg, args.out, args)
    except TinierYoloError as error:
        print(f"mine_hard: {error}", file=sys.stderr)
        return 2
    print(f"{hard} hard images, {doubtful} contradicted labels: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

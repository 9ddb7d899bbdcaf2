"""Table 5 of IFQ-Net: model size and FDDB detection rate of the four networks, ours beside the paper's.

Every network that exists as weights is run over FDDB (or a subset of it) and evaluated; the others are named as not
trained. OpenCV's Haar cascade, and YuNet where its file is given, can stand below them.

    python scripts/table5.py --annotations FDDB-folds --images originalPics --out out/table5 [--list FILE] [--haar]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from eval.fddb.benchmark import FddbSet, evaluate_detector, plot_curves, read_compared  # noqa: E402
from tinier_yolo.cli.subject import Chosen, own_detector, peer  # noqa: E402
from tinier_yolo.errors import TinierYoloError  # noqa: E402
from tinier_yolo.files import atomic_write  # noqa: E402


@dataclass(frozen=True)
class Row:
    """A network of the table: its files' stem, the paper's size in MB and the paper's rate."""

    title: str
    stem: str
    paper_megabytes: float
    paper_rate: float


ROWS = (
    Row("Tiny-YOLO", "tiny-yolo-face", 63.00, 0.92),
    Row("IFQ-Tiny-YOLO (k=2)", "ifq-tiny-yolo-face", 1.97, 0.89),
    Row("Tinier-YOLO", "tinier-yolo-face", 7.89, 0.90),
    Row("IFQ-Tinier-YOLO (k=2)", "ifq-tinier-yolo-face", 0.25, 0.84),
)


def find_model(row: Row, weights: Path, cfg: Path) -> tuple[Path, Path | None] | None:
    """A network's model and, for weights, its cfg; None where it was not trained. An integer program comes first."""
    program, floats = weights / f"{row.stem}.ifq", weights / f"{row.stem}.weights"
    if program.is_file():
        return program, None
    return (floats, cfg / f"{row.stem}.cfg") if floats.is_file() else None


def table(rows: Sequence[tuple[Row | str, dict[str, Any] | None]]) -> str:
    """The table in Markdown.

    Args:
        rows: a network of the paper or the name of a peer, and its summary; None where it was not evaluated.
    """
    lines = [
        "| detector | bytes | MB | MB in the paper | rate | rate in the paper | ms an image |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, summary in rows:
        paper = (f"{row.paper_megabytes:.2f}", f"{row.paper_rate:.2f}") if isinstance(row, Row) else ("", "")
        title = row.title if isinstance(row, Row) else row
        if summary is None:
            lines.append(f"| {title} | not trained | | {paper[0]} | | {paper[1]} | |")
            continue
        size = summary.get("model_bytes")
        sizes = ("", "") if size is None else (f"{size:,}", f"{size / 1e6:.2f}")
        rate, time = f"{summary['rate']:.4f}", f"{summary['ms_per_image']:.1f}"
        lines.append(f"| {title} | {sizes[0]} | {sizes[1]} | {paper[0]} | {rate} | {paper[1]} | {time} |")
    return "\n".join(lines) + "\n"


def note(summary: dict[str, Any]) -> str:
    """What the rates were measured on; on a subset, that the paper's were not."""
    text = f"Rate at {summary['false_positives']} false positives (0.1 an image) on {summary['images']} images of FDDB"
    text += f" with {summary['faces']} faces"
    return text + (": a subset, not comparable with the paper's rates on all 2,845.\n" if summary["subset"] else ".\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate, print the table, and write it to ``table5.md`` with all curves in one ``roc.png``."""
    args = _parser().parse_args(argv)
    try:
        results = evaluate_all(args)
    except TinierYoloError as error:
        print(f"table5: {error}", file=sys.stderr)
        return 2
    text = table(results)
    summary = next(summary for _, summary in results if summary is not None)
    text += "\n" + note(summary)
    print(text, end="")
    with atomic_write(args.out / "table5.md", "w") as file:
        file.write(text)
    return 1 if summary["missing_images"] else 0


def evaluate_all(args: argparse.Namespace) -> list[tuple[Row | str, dict[str, Any] | None]]:
    """Evaluate what there is, one detector after the other, and draw all curves in one figure.

    Raises:
        TinierYoloError: nothing to evaluate, bad models, or bad input.
    """
    fddb = FddbSet.load(args.annotations, args.list)
    results: list[tuple[Row | str, dict[str, Any] | None]] = []
    curves: list[tuple[str, Path]] = []
    for row, chosen in _detectors(args):
        if chosen is None:
            results.append((row, None))
            continue
        name = chosen.subject.name
        out = args.out / name
        results.append((row, evaluate_detector(fddb, chosen.subject, args.images, out)))
        curves.append((name, out / "DiscROC.txt"))
    if not curves:
        raise TinierYoloError("no trained network", path=args.weights, expected=" or ".join(row.stem for row in ROWS))
    plot_curves(args.out / "roc.png", fddb, read_compared(curves))
    return results


def _detectors(args: argparse.Namespace) -> Iterator[tuple[Row | str, Chosen | None]]:
    for row in ROWS:
        found = find_model(row, args.weights, args.cfg)
        yield row, None if found is None else own_detector(*found, args.size, name=row.stem, workers=args.workers)
    if args.haar:
        yield "OpenCV Haar", peer("haar", workers=args.workers)
    if args.yunet:
        yield "OpenCV YuNet", peer("yunet", args.yunet, workers=args.workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Reproduce Table 5 of IFQ-Net.")
    parser.add_argument("--annotations", required=True, type=Path, help="folder of FDDB-fold-*-ellipseList.txt")
    parser.add_argument("--images", required=True, type=Path, help="FDDB's originalPics")
    parser.add_argument("--list", type=Path, help="evaluate these images alone")
    parser.add_argument("--out", type=Path, default=Path("out/table5"), help="folder for the results")
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="folder of the models")
    parser.add_argument("--cfg", type=Path, default=ROOT / "cfg", help="folder of the cfgs")
    parser.add_argument("--size", type=int, help="the networks' input (default: their own)")
    parser.add_argument("--workers", type=int, help="images at a time (default: one a core)")
    parser.add_argument("--haar", action="store_true", help="OpenCV's Haar cascade too")
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="OpenCV's YuNet too, from its .onnx")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Table 5 of IFQ-Net: model size and FDDB detection rate of the four networks, ours beside the paper's.

Every network that exists as weights is run over FDDB, or over the images of the lists given, and evaluated; the others
are named as not trained. Each list has a column, and all of them together another one. OpenCV's Haar cascade, and YuNet
where its file is given, can stand below the networks.

    python scripts/table5.py --annotations FDDB-folds --images originalPics --out out/table5 [--list FILE]... [--haar]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinier_yolo.cli.options import count  # noqa: E402
from tinier_yolo.errors import TinierYoloError, UsageError  # noqa: E402
from tinier_yolo.eval.fddb.benchmark import FddbResult, detect, plot_curves, score, write_results  # noqa: E402
from tinier_yolo.eval.fddb.dataset import FddbSet  # noqa: E402
from tinier_yolo.eval.plots import Line  # noqa: E402
from tinier_yolo.eval.subjects import Chosen, own_detector, peer  # noqa: E402
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


#: Names of the columns that no list has named.
WHOLE, TOGETHER = "FDDB", "together"


def find_model(row: Row, weights: Path, cfg: Path) -> tuple[Path, Path | None] | None:
    """A network's model and, for weights, its cfg; None where it was not trained. An integer program comes first."""
    program, floats = weights / f"{row.stem}.ifq", weights / f"{row.stem}.weights"
    if program.is_file():
        return program, None
    return (floats, cfg / f"{row.stem}.cfg") if floats.is_file() else None


@dataclass(frozen=True)
class Measured:
    """What was measured of a detector.

    Attributes:
        results: by column of the table.
        model_bytes: of its file; None where it has none.
        ms_per_image: median time on one thread.
    """

    results: Mapping[str, FddbResult]
    model_bytes: int | None
    ms_per_image: float | None


Rows = Sequence[tuple[Row | str, Measured | None]]


def table(columns: Sequence[str], rows: Rows) -> str:
    """The table in Markdown.

    Args:
        columns: names of the parts of FDDB, a column of rates each.
        rows: a network of the paper or the name of a peer, and what was measured; None where it was not trained.
    """
    titles = ["rate" if name == WHOLE else f"rate, {name}" for name in columns]
    header = ["detector", "bytes", "MB", "MB in the paper", *titles, "rate in the paper", "ms an image"]
    lines = [_line(header), "|" + "---|" * len(header)]
    for row, measured in rows:
        title, size, rate = (row, "", "") if isinstance(row, str) else _paper(row)
        if measured is None:
            lines.append(_line([title, "not trained", "", size, *[""] * len(columns), rate, ""]))
            continue
        count, time = measured.model_bytes, measured.ms_per_image
        sizes = ["", ""] if count is None else [f"{count:,}", f"{count / 1e6:.2f}"]
        rates = [f"{measured.results[name].roc.rate_at():.4f}" for name in columns]
        lines.append(_line([title, *sizes, size, *rates, rate, "" if time is None else f"{time:.1f}"]))
    return "\n".join(lines) + "\n"


def _paper(row: Row) -> tuple[str, str, str]:
    return row.title, f"{row.paper_megabytes:.2f}", f"{row.paper_rate:.2f}"


def _line(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def note(results: Mapping[str, FddbResult]) -> str:
    """What the rates were measured on; on a subset, that the paper's were not."""
    lines = []
    for name, result in results.items():
        roc = result.roc
        text = f"{name}: rate at {roc.budget} false positives (0.1 an image) on {roc.images} images of FDDB with "
        end = ": a subset, not comparable with the paper's rates on all 2,845." if result.subset else "."
        lines.append(f"- {text}{roc.faces} faces{end}\n")
    return "".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate, print the table, and write it to ``table5.md`` with all curves in one ``roc.png``."""
    args = _parser().parse_args(argv)
    try:
        parts = load_parts(args.annotations, args.list)
        rows = evaluate_all(args, parts)
    except TinierYoloError as error:
        print(f"table5: {error}", file=sys.stderr)
        return 2
    results = next(measured.results for _, measured in rows if measured is not None)
    text = table(list(parts), rows) + "\n" + note(results)
    print(text, end="")
    with atomic_write(args.out / "table5.md", "w") as file:
        file.write(text)
    return 1 if next(iter(results.values())).source.missing_images else 0


def load_parts(annotations: Path, lists: Sequence[Path]) -> dict[str, FddbSet]:
    """The parts of FDDB that have a column: each list, and the last one: all lists together, or the whole.

    Raises:
        TinierYoloError: bad annotations, a bad list, or two lists of one name.
    """
    whole = FddbSet.load(annotations)
    if not lists:
        return {WHOLE: whole}
    parts = {path.stem.removesuffix("_images"): whole.part([path]) for path in lists}
    if len(parts) < len(lists) or TOGETHER in parts:
        raise UsageError("two lists of one name", found=", ".join(path.name for path in lists))
    return {**parts, TOGETHER: whole.part(lists)} if len(lists) > 1 else parts


def evaluate_all(args: argparse.Namespace, parts: Mapping[str, FddbSet]) -> Rows:
    """Run what there is, one detector after the other, each once; draw all curves in one figure.

    Raises:
        TinierYoloError: nothing to evaluate, bad models, or bad input.
    """
    last, everything = list(parts.items())[-1]
    rows: list[tuple[Row | str, Measured | None]] = []
    # All are made first: one that is missing shows before the others have run.
    for row, chosen in list(_detectors(args)):
        rows.append((row, None if chosen is None else measure(chosen, parts, args.images, args.out)))
    lines = [Line.of_roc(m.results[last].source.name, m.results[last].roc) for _, m in rows if m is not None]
    if not lines:
        raise TinierYoloError("no trained network", path=args.weights, expected=" or ".join(row.stem for row in ROWS))
    plot_curves(args.out / "roc.png", everything, lines)
    return rows


def measure(chosen: Chosen, parts: Mapping[str, FddbSet], images: Path, out: Path) -> Measured:
    """Run a detector over all parts at once, and score each of them.

    Raises:
        TinierYoloError: no image can be read, or a file cannot be written.
    """
    subject, folder = chosen.subject, out / chosen.subject.name
    last, everything = list(parts.items())[-1]
    detected = detect(everything, subject, images, folder)
    results = {name: score(part, detected) for name, part in parts.items()}
    for name, result in results.items():
        write_results(folder if name == last else folder / name, parts[name], result)
    return Measured(results, subject.details.get("model_bytes"), detected.source.ms_per_image)


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
    parser.add_argument(
        "--list", type=Path, action="append", default=[], metavar="FILE",
        help="evaluate these images alone, in a column of their own; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/table5"), help="folder for the results")
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="folder of the models")
    parser.add_argument("--cfg", type=Path, default=ROOT / "cfg", help="folder of the cfgs")
    parser.add_argument("--size", type=int, help="the networks' input (default: their own)")
    parser.add_argument("--workers", type=count, help="images at a time (default: one a core)")
    parser.add_argument("--haar", action="store_true", help="OpenCV's Haar cascade too")
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="OpenCV's YuNet too, from its .onnx")
    return parser


if __name__ == "__main__":
    sys.exit(main())

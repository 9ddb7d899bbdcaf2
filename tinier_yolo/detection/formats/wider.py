"""WIDER FACE's detections: a file ``EVENT/NAME.txt`` an image: name, number, then ``x y w h score`` lines."""

from __future__ import annotations

from pathlib import Path

from tinier_yolo.datasets.records import Record
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.formats.fddb import format_record, read_detections
from tinier_yolo.detection.formats.result import Result, Target
from tinier_yolo.errors import DetectionsError, PathLike
from tinier_yolo.files import atomic_write
from tinier_yolo.output_folder import inside


def write_wider(folder: PathLike, name: str, detections: Detections) -> Path:
    """Write one image's detections to ``folder/EVENT/NAME.txt``.

    Args:
        folder: the folder of the events.
        name: ``EVENT/NAME``, without an extension; just ``NAME`` puts the file into ``folder`` itself.
        detections: what was found.

    Returns:
        The file.

    Raises:
        OutputError: the file cannot be written.
    """
    # Not with_suffix(): a name may hold dots.
    path = inside(folder, name, ".txt")
    with atomic_write(path, "w", durable=False) as file:
        file.write(format_record(name.rpartition("/")[2], detections))
    return path


class WiderWriter:
    """Writes WIDER FACE's ``EVENT/NAME.txt`` files into a folder."""

    def __init__(self, target: Target) -> None:
        self._folder = target.folder

    def write(self, result: Result) -> None:
        """Write the file of one picture."""
        write_wider(self._folder, result.name, result.detections)

    def close(self) -> None:
        """Each file is whole as it is."""


def read_wider(folder: PathLike) -> tuple[Record, ...]:
    """Read a folder of detections, all ``EVENT/NAME.txt`` in it.

    Returns:
        Records named ``EVENT/NAME`` after their files, with rows ``x y w h score`` in float64.

    Raises:
        DataError: no such folder, no such files, a file of several images, or a malformed line.
    """
    files = sorted(Path(folder).glob("*/*.txt"))
    if not files:
        raise DetectionsError("no WIDER FACE detections in the folder", path=folder, expected="EVENT/NAME.txt")
    return tuple(_read_image(file) for file in files)


def _read_image(path: Path) -> Record:
    records = read_detections(path, "WIDER FACE detections file")
    if len(records) > 1:
        raise DetectionsError("more than one image in the file", path=path, place=records[1].place())
    return Record(f"{path.parent.name}/{path.name.removesuffix('.txt')}", records[0].rows, path, records[0].lines)

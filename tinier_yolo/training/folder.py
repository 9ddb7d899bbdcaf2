"""The folder of a run: nothing in it is lost by mistake, and no two runs write into it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tinier_yolo.errors import UsageError

#: What a run leaves that cannot be made again: the endings after its cfg's stem.
KEPT = (".checkpoint", "_training.csv", "_validation.csv", "_last.weights", "_ema.weights", ".weights")


def refuse_old_run(out: Path, stem: str, resume: bool, overwrite: bool) -> None:
    """Make sure that a run begun anew destroys none.

    Raises:
        UsageError: the folder holds a run of this cfg, and neither ``resume`` nor ``overwrite`` is set.
    """
    old = [f"{stem}{ending}" for ending in KEPT if (out / f"{stem}{ending}").exists()]
    if old and not resume and not overwrite:
        expected = "--resume to go on with it, --overwrite to lose it, or another --out"
        raise UsageError("the folder holds a run already", path=out, expected=expected, found=", ".join(old))


@contextmanager
def locked(out: Path, stem: str) -> Iterator[None]:
    """Hold the run's folder for this process; the lock ends with the process, however it ends.

    Raises:
        UsageError: another process trains into it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / f".{stem}.lock").open("a+b") as file:
        if not _lock(file):
            raise UsageError("another training writes into this folder", path=out, expected="another --out")
        yield


def _lock(file: IO[bytes]) -> bool:
    """Whether the file could be locked for this process alone; where files cannot be locked, always."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True

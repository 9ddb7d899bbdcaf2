"""Files that are either whole or not there: written to a temporary sibling, flushed and renamed."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tinier_yolo.errors import OutputError, PathLike

#: The mask can only be read by setting it, and it is the whole process's.
_UMASK = threading.Lock()


@contextmanager
def atomic_write(path: PathLike, mode: str = "wb", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary sibling of ``path`` for writing; on leaving, flush it and rename it to ``path``.

    If the body raises, the sibling is removed and ``path`` stays as it was.

    Args:
        path: the file to write; its folder is made if it is missing.
        mode: ``"wb"`` or ``"w"`` (UTF-8, newlines as they are).
        durable: wait until the disk has it, so that not even a power cut leaves an empty file. Not for what is written
            by the hundred and can be made again.

    Raises:
        OutputError: the file system refuses.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=sibling_prefix(target), suffix=".tmp", dir=target.parent)
        # Of a name that is no UTF-8, the bytes that are none are written as escapes: in JSON, valid ones.
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        grant_default_permissions(temporary)
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise OutputError("cannot write", path=path, found=error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def sibling_prefix(target: Path) -> str:
    """How the name of a temporary sibling begins; it fits where that of the target does."""
    return f".{os.fsdecode(os.fsencode(target.name)[:200])}."


def grant_default_permissions(path: PathLike) -> None:
    """Give a private temporary file the permissions that ``open()`` would have given."""
    # mkstemp makes files private; what a user asked for gets what open() would have given.
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    Path(path).chmod(0o666 & ~mask)

"""How the kernels are compiled: by Numba, without the GIL, and kept on disk wherever something can be written.

Numba looks for a cache beside the source or in the user's home and raises where it may write to neither (a read-only
install without a HOME). It also knows only the file that a kernel stands in, not those whose functions it inlines. So
the folder is chosen here, and its name holds a digest of all that is compiled: a change to any of it starts afresh.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

#: Numba's settings; the folder of its cache among them, which no type stub knows.
_settings: Any = numba.config
#: Its decorator, whose stub does not know all of its options.
_njit: Any = numba.njit

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def kernel(function: FunctionT) -> FunctionT:
    """Compile at the first call, with this call's types; load from disk where another process has compiled it."""
    return _compiled(function, parallel=False)


def parallel_kernel(function: FunctionT) -> FunctionT:
    """The same for a function whose ``numba.prange`` loops run on several threads.

    Each is written out beside the kernel that it shares out: Numba's cache never finds a function again that another
    function has made.
    """
    return _compiled(function, parallel=True)


def _compiled(function: FunctionT, parallel: bool) -> FunctionT:
    folder = cache_folder()
    given = _settings.CACHE_DIR
    try:
        _settings.CACHE_DIR = "" if folder is None else str(folder)
        compile_: Any = _njit(nogil=True, no_cfunc_wrapper=True, parallel=parallel, cache=folder is not None)
        made = compile_(function)
        if folder is not None:
            _forgive(made._cache)
        return cast("FunctionT", made)
    finally:
        _settings.CACHE_DIR = given  # It is global, and others in this process use Numba too.


def _forgive(cache_: Any) -> None:
    """Let a file of Numba's cache that is damaged, and a full disk, cost the time of compiling and no more."""
    load, save = cache_.load_overload, cache_.save_overload

    def load_or_compile(*given: Any) -> Any:
        try:
            return load(*given)
        except Exception:  # whatever pickle makes of a file that is cut off
            with suppress(OSError):
                cache_.flush()
            return None

    def save_or_not(*given: Any) -> None:
        with suppress(OSError):
            save(*given)

    cache_.load_overload, cache_.save_overload = load_or_compile, save_or_not


def inlined(function: FunctionT) -> FunctionT:
    """Compile as a part of the kernels that call it."""
    # Without the entries for callers in Python and C, whom it has not: they are a quarter of the time to compile.
    compile_: Any = _njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return cast("FunctionT", compile_(function))


@cache
def cache_folder() -> Path | None:
    """The folder for compiled kernels; None where none can be written."""
    name = f"kernels-{_digest()}"
    for folder in _candidates():
        is_new = not (folder / name).exists()
        if _writable(folder / name):
            if is_new:
                _announce()
            return folder / name
    _announce()
    return None


def _announce() -> None:
    # Nothing else is said for ten seconds and more.
    print("tinier-yolo: compiling kernels for this machine, which the first run does (10 to 30 s)", file=sys.stderr)


def _candidates() -> Iterator[Path]:
    if _settings.CACHE_DIR:
        yield Path(_settings.CACHE_DIR)
    yield Path(__file__).parent / "__pycache__"
    if given := os.environ.get("XDG_CACHE_HOME"):
        yield Path(given) / "tinier-yolo"
    with suppress(RuntimeError):  # Raised where there is neither a HOME nor an entry for the user.
        yield Path.home() / ".cache" / "tinier-yolo"
    # Compiled code is code: never load it from a folder that somebody else could have filled.
    if hasattr(os, "getuid"):
        private = Path(tempfile.gettempdir()) / f"tinier-yolo-{os.getuid()}"
        try:
            private.mkdir(mode=0o700, exist_ok=True)
            status = private.lstat()
        except OSError:
            return
        if private.is_dir() and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            yield private


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def compiler() -> str:
    """What has compiled: kernels of another version of Numba or Python are not those of this one."""
    return f"numba {numba.__version__}, {sys.version}"


def sources() -> list[Path]:
    """What is compiled: kernels and vectors of every family and of training, what they share, how they are compiled.

    How layers are packed and which kernels they get is not among it.
    """
    folder = Path(__file__).parent
    shared = [folder / name for name in ("compile.py", "threads.py", "vectors.py")]
    training = folder.parents[1] / "training"
    return sorted(
        [*shared, *folder.glob("*/kernels.py"), *folder.glob("*/vectors.py"), *training.glob("fused_kernels*.py")]
    )


def _digest() -> str:
    digest = hashlib.sha256()
    for source in sources():
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]

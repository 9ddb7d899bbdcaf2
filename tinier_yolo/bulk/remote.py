"""Files at ``s3://``, ``gs://`` and the like, through fsspec, which comes with the extra ``remote``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tinier_yolo.errors import MediaError, TinierYoloError, UsageError, printable
from tinier_yolo.media.images import MAX_BYTES

#: Those that name a file of a store, and the package that reads them beside fsspec. ``http://`` needs none of them.
SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "hdfs": "pyarrow", "file": ""}


def is_remote(source: str) -> bool:
    """Whether that is an address which goes through fsspec."""
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.lower() in SCHEMES


def check(address: str) -> None:
    """Find out whether the packages are there.

    Raises:
        UsageError: one is missing, and which.
    """
    _filesystem(address)


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, in the body.

    Raises:
        MediaError: it cannot be read.
    """
    with _told(address), _filesystem(address)[0].open(address, "rb") as file:
        yield file


def read_bytes(address: str) -> bytes:
    """The bytes of an image, at most one more than it may have.

    Raises:
        MediaError: they cannot be read.
    """
    with opened(address) as file:
        return file.read(MAX_BYTES + 1)


def find(address: str) -> Iterator[str]:
    """The addresses of the files below a folder, which ends with a slash, or those that fit a pattern; sorted.

    Raises:
        MediaError: there is no such folder, or no file.
    """
    system, _ = _filesystem(address)
    with _told(address):
        found = system.find(address) if address.endswith("/") else system.glob(address)
    if not found:
        raise MediaError("no files at the address", path=address)
    for path in sorted(found):
        yield system.unstrip_protocol(path)


def _filesystem(address: str) -> tuple[Any, str]:
    scheme = address.partition("://")[0].lower()
    needs = f"pip install fsspec {SCHEMES[scheme]}".rstrip()
    try:
        from fsspec.core import url_to_fs

        with _told(address):
            system, path = url_to_fs(address)
    except ImportError:
        raise UsageError(f"{scheme}:// needs fsspec and its package for it", expected=needs) from None
    return system, path


@contextmanager
def _told(address: str) -> Iterator[None]:
    # Every store has errors of its own: no permission, no such bucket, no answer.
    try:
        yield
    except (ImportError, TinierYoloError):
        raise
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise MediaError("cannot read from the store", path=address, found=reason) from error

"""Where the models and the cfgs that come with the package are."""

from __future__ import annotations

from pathlib import Path

from tinier_yolo.errors import PathLike, UsageError

DEFAULT_MODEL = "ifq-tinier-yolo-face.ifq"

_PACKAGE = Path(__file__).resolve().parent
#: Inside the package: a folder where it is installed, a link to the one beside the package in a checkout. The second
#: place is for checkouts without links, as on some Windows machines.
_FOLDERS = ((_PACKAGE / "weights").resolve(), _PACKAGE.parent / "weights")


def default_model() -> Path:
    """The file of the model that is used where none is named.

    Raises:
        UsageError: this copy of the package has none.
    """
    for folder in _FOLDERS:
        if (folder / DEFAULT_MODEL).is_file():
            return folder / DEFAULT_MODEL
    raise UsageError(
        "the model that comes with the package is missing", path=_FOLDERS[-1] / DEFAULT_MODEL, expected="--model FILE"
    )


def cfg_file(given: PathLike) -> Path:
    """The cfg that a user has named: a file, or else one of the package's by its name, with or without ``.cfg``."""
    path = Path(given)
    if path.parent == Path() and not path.exists():
        name = path.name if path.suffix == ".cfg" else f"{path.name}.cfg"
        for folder in (_PACKAGE / "cfg", _PACKAGE.parent / "cfg"):
            if (folder / name).is_file():
                return folder / name
    return path

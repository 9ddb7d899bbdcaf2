"""The exported C as a library of this machine."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinier_yolo.errors import TinierYoloError
from tinier_yolo.export.c99.export import c_files, write
from tinier_yolo.ifq.program import Program

#: All names of the C begin with this.
NAME = "face"


class Exported:
    """A program exported as C and compiled with its boxes and letterbox; one size of input.

    Attributes:
        library: the functions, as ctypes has them.
        folder: holds the files.
        map: int32 (channels, height, width), the output of the last :meth:`run`.

    Raises:
        TinierYoloError: it does not compile.
    """

    def __init__(
        self, program: Program, folder: Path, compiler: Sequence[str], size: tuple[int, int], target: str = "portable"
    ) -> None:
        paths = write(c_files(program, NAME, target), folder)
        sources = [str(path) for path in paths if path.suffix == ".c" and not path.stem.endswith("_test")]
        library = folder / f"{NAME}.so"
        call([*compiler, "-std=c99", "-shared", "-fPIC", *sources, "-o", str(library)])
        self.folder, self._size = folder, size
        self.library = ctypes.CDLL(str(library.resolve()))
        self.library.face_arena_bytes.restype = ctypes.c_size_t
        self._arena = np.zeros(self.library.face_arena_bytes(*size) // 8 + 1, np.uint64)
        self.map = np.zeros(program.shapes(size[1], size[0])[-1], np.int32)

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The output map of an image of the input's size, which is overwritten by the next one.

        Raises:
            TinierYoloError: the C refuses it.
        """
        arena, pixels, map_ = (pointer(array) for array in (self._arena, image, self.map))
        status = self.library.face_run(arena, ctypes.c_size_t(self._arena.nbytes), pixels, *self._size, map_)
        if status != 0:
            raise TinierYoloError(f"the exported C: status {status}")
        return self.map


def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    """Its first value, for a C function."""
    return array.ctypes.data_as(ctypes.c_void_p)


def call(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        TinierYoloError: it fails, or is not there.
    """
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise TinierYoloError(f"{command[0]}: {error.strerror}") from error
    if result.returncode != 0:
        raise TinierYoloError(f"{' '.join(command)}: {(result.stderr or result.stdout).strip()}")
    return result.stdout

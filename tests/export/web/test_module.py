"""The page's C, compiled for this machine, against the reference and OpenCV; the built module against its source."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tinier_yolo.export.web.model
from tests.export.c99 import programs
from tests.networks import random_image
from tinier_yolo.detection.letterbox import Letterbox
from tinier_yolo.export.web.model import MAX_LAYERS, MAX_SIZE, program_words
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.shipped import default_model

WEB = Path(tinier_yolo.export.web.model.__file__).parent
#: What scripts/build_web_module.sh asks for.
ZIG = "0.17.1"
SIZES = [(640, 480), (480, 640), (1, 1), (1, 500), (700, 1), (416, 416), (832, 832), (832, 400), (417, 415), (33, 57)]


class Module:
    """The module as a library of this machine."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        for name in ("program_words", "picture", "input", "run_network"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._memory = np.zeros((48 << 20) + 16, np.uint8)

    def load(self, words: NDArray[np.uint32]) -> int:
        start = -(-self._memory.ctypes.data // 16) * 16
        self._library.begin(ctypes.c_size_t(start), ctypes.c_size_t(start + self._memory.nbytes - 16))
        at = self._library.program_words(len(words))
        ctypes.memmove(at, words.ctypes.data, words.nbytes)
        return int(self._library.load_program(ctypes.c_void_p(at), len(words)))

    def run(self, program: Program, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        height, width, channels = image.shape
        assert self._library.set_size(width, height) == 0
        cells = np.zeros((height, width, -(-channels // 4) * 4), np.uint8)
        cells[..., :channels] = image
        ctypes.memmove(self._library.input(), cells.ctypes.data, cells.nbytes)
        shape = tuple(program.shapes(height, width)[-1])
        output = ctypes.cast(self._library.run_network(), ctypes.POINTER(ctypes.c_int32))
        return np.ctypeslib.as_array(output, shape).copy()

    def letterboxed(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        assert self._library.set_size(*size) == 0
        rgba = np.concatenate([image, np.full((height, width, 1), 255, np.uint8)], axis=2)
        at = self._library.picture(width, height)
        ctypes.memmove(at, rgba.ctypes.data, rgba.nbytes)
        assert self._library.place(ctypes.c_void_p(at), width, height) == 0
        found = np.ctypeslib.as_array(
            ctypes.cast(self._library.input(), ctypes.POINTER(ctypes.c_uint8)), (size[1], size[0], 4)
        )
        assert not found[..., 3].any()
        return found[..., :3].copy()

    def set_size(self, width: int, height: int) -> int:
        return int(self._library.set_size(width, height))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Module:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    library = tmp_path_factory.mktemp("module") / "module.so"
    sources = [str(path) for path in sorted((WEB / "source").glob("*.c"))]
    options = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-O2", "-shared", "-fPIC"]
    made = subprocess.run(["gcc", *options, *sources, "-o", str(library)], capture_output=True, text=True, timeout=120)
    if "builtin_shufflevector" in made.stderr:
        pytest.skip("a gcc before 12")
    assert (made.returncode, made.stderr) == (0, "")
    return Module(library)


@pytest.mark.parametrize("seed", range(40))
def test_any_program_gives_the_references_map(module: Module, seed: int) -> None:
    program = programs.make(seed)
    assert module.load(program_words(program)) == 0
    options, channels = program.network.options, program.network.input.channels
    for more in ((0, 0), (5, 3)):
        rng = np.random.default_rng(seed)
        image = random_image(rng, options.height + more[0], options.width + more[1], channels)
        np.testing.assert_array_equal(module.run(program, image), reference.run_maps(program, image)[1])


def test_the_shipped_model_gives_the_references_map_at_any_size(module: Module) -> None:
    program = Program.load(default_model())
    assert module.load(program_words(program)) == 0
    for height, width in ((64, 96), (224, 160), (32, 32), (64, 96)):
        image = random_image(np.random.default_rng(height), height, width)
        np.testing.assert_array_equal(module.run(program, image), reference.run_maps(program, image)[1])
    for bad in ((0, 32), (32, -1), (1 << 20, 32)):
        assert module.set_size(*bad) == -1


def test_words_that_are_no_program_are_refused(module: Module) -> None:
    words = program_words(programs.make(1))
    for length in range(0, len(words), 41):
        assert module.load(words[:length].copy()) == -1
    assert module.load(np.append(words, np.uint32(0))) == -1
    # Magic, layers, and of the first layer channels, filters, size, stride, padding and bits.
    for place in (0, 1, 4, 5, 6, 7, 8, 13):
        wrong = words.copy()
        wrong[place] = 0xFFFFFFFF
        assert module.load(wrong) == -1, place


@pytest.mark.parametrize("size", [(416, 416), (160, 96)])
@pytest.mark.parametrize("image_size", SIZES)
def test_the_letterbox_gives_opencvs_bytes(module: Module, image_size: tuple[int, int], size: tuple[int, int]) -> None:
    assert module.load(program_words(Program.load(default_model()))) == 0
    image = np.random.default_rng(0).integers(0, 256, (image_size[1], image_size[0], 3), np.uint8)
    expected = Letterbox.fit(image_size, size).apply(image)
    np.testing.assert_array_equal(module.letterboxed(image, size), expected)


def test_the_letterbox_gives_opencvs_bytes_for_random_sizes(module: Module) -> None:
    assert module.load(program_words(Program.load(default_model()))) == 0
    rng = np.random.default_rng(1)
    for _ in range(40):
        width, height = (int(side) for side in 2 ** rng.uniform(0, 11, 2))
        size = (32 * int(rng.integers(1, 11)), 32 * int(rng.integers(1, 11)))
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        expected = Letterbox.fit((width, height), size).apply(image)
        np.testing.assert_array_equal(module.letterboxed(image, size), expected)


def test_the_limits_are_those_of_the_c() -> None:
    header = (WEB / "source" / "network.h").read_text()
    assert f"#define MAX_LAYERS {MAX_LAYERS}\n" in header
    assert f"#define MAX_SIZE {MAX_SIZE} " in header


def test_the_built_module_is_that_of_the_source(root: Path, tmp_path: Path) -> None:
    metadata = pytest.importorskip("importlib.metadata")
    try:
        version = metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        pytest.skip("no ziglang")
    if version != ZIG:
        pytest.skip(f"ziglang {version}, not {ZIG}")
    out = tmp_path / "module.wasm"
    script = [str(root / "scripts" / "build_web_module.sh"), str(out)]
    subprocess.run(
        script, check=True, timeout=280, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    )
    assert out.read_bytes() == (WEB / "module.wasm").read_bytes()


def test_each_relaxed_instruction_can_be_replaced(root: Path) -> None:
    # page.js looks for these three bytes; nothing else of the module may have them.
    wasm = (WEB / "module.wasm").read_bytes()
    assert wasm.startswith(b"\0asm\1\0\0\0")
    assert wasm.count(b"\xfd\x80\x02") > 5
    assert "fd 80 02" in (WEB / "page" / "detector.js").read_text()
    if shutil.which("node") is None:
        pytest.skip("no node")
    script = (
        "const d = require('fs').readFileSync(process.argv[1]);"
        "for (let i = 0; i + 2 < d.length; i++)"
        "if (d[i] === 0xfd && d[i + 1] === 0x80 && d[i + 2] === 2) d.set([0x8e, 0], i + 1);"
        "process.exit(WebAssembly.validate(d) ? 0 : 1)"
    )
    subprocess.run(["node", "-e", script, str(WEB / "module.wasm")], check=True, timeout=60)

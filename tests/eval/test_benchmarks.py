from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tinier_yolo.cli import eval as verb
from tinier_yolo.cli import main
from tinier_yolo.eval import benchmarks
from tinier_yolo.eval.benchmarks import BENCHMARKS, Benchmark, Option, Request
from tinier_yolo.eval.report import Source


@pytest.mark.parametrize("row", BENCHMARKS, ids=lambda row: row.name)
def test_a_row_has_a_folder_that_evaluates(row: Benchmark) -> None:
    assert callable(import_module(f"{benchmarks.__package__}.{row.name}.benchmark").evaluate)
    assert all(option.flag.startswith("--") and not option.help.endswith(".") for option in row.options)


@dataclass(frozen=True)
class Fake:
    source: Source
    request: Request

    def summary(self) -> dict[str, object]:
        return {}

    def text(self) -> str:
        return f"{self.request.needed('image_list')} {self.request.many('tag')} {self.request.one('mode')}"


@pytest.mark.parametrize(("missing", "code"), [((), 0), (("a",), 1)])
def test_a_benchmark_is_a_row_and_its_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: Sequence[str],
    code: int,
) -> None:
    module = ModuleType("benchmark")
    module.evaluate = lambda request: Fake(Source("f", tuple(missing)), request)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{benchmarks.__package__}.fake", ModuleType("fake"))
    monkeypatch.setitem(sys.modules, f"{benchmarks.__package__}.fake.benchmark", module)
    options = (
        Option("--image-list", "FILE", "a list", required=True),
        Option("--tag", "TAG", "a tag", repeated=True),
        Option("--mode", "MODE", "a mode"),
    )
    monkeypatch.setattr(verb, "BENCHMARKS", (*BENCHMARKS, Benchmark("fake", "a fake", options, aliases=("false",))))
    for name in ("fake", "false"):
        words = ["eval", name, "--image-list", "l", "--tag", "x", "--tag", "y", "--out", str(tmp_path / "out")]
        assert main(words) == code
        assert capsys.readouterr().out == "l ('x', 'y') None\n"
    with pytest.raises(SystemExit):
        main(["eval", "fake", "--out", "o"])

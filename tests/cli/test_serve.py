"""``tinier-yolo serve``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests import red_detector, small_ifq
from tinier_yolo.cli import main


def test_it_serves_until_ctrl_c(root: Path, tmp_path: Path) -> None:
    from tinier_yolo.media.images import write_image

    model = str(small_ifq.write_model(tmp_path)[0])
    write_image(tmp_path / "a.png", red_detector.picture((64, 48), (8, 8, 24, 24)))
    command = [sys.executable, "-m", "tinier_yolo", "serve", "--model", model, "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert b"small.ifq" in answer.read()
        with urllib.request.urlopen(url + "detect", (tmp_path / "a.png").read_bytes(), timeout=60) as answer:
            (found,) = json.load(answer)
        assert (found["source"], found["width"], found["height"]) == ("-", 64, 48)
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gone.ifq"], "gone.ifq: cannot read the model"),
        (["--thresh", "2"], "thresh is not a threshold"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8000: cannot listen"),
        (["--size", "100"], "bad size"),
    ],
)
def test_bad_use_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"tinier-yolo: [^\n]+\n", captured.err)
    assert message in captured.err


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_is_a_number(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port", port])
    assert end.value.code == 2
    assert "expected 0..65535" in capsys.readouterr().err

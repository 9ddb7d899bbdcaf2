"""The page in Chromium: from disk, off the network, with a photograph that matplotlib ships and a fake camera."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from tests import small_ifq
from tests.browser import ENTER, RIGHT, TAB, Browser, browser
from tests.networks import Block, ifq_cfg, random_image, random_program
from tinier_yolo.detection.detections import Detections
from tinier_yolo.detection.detector import Detector
from tinier_yolo.errors import CfgError, ProgramError
from tinier_yolo.export.web.page import web_page, write_page
from tinier_yolo.ifq.program import Program
from tinier_yolo.media.images import read_image
from tinier_yolo.shipped import default_model

PHOTO = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
READY = "document.documentElement.dataset.ready"
FOUND = "globalThis.tinierYolo?.found"


@pytest.fixture(scope="module")
def page() -> str:
    return web_page(Program.load(default_model()), "face <&> @data@.ifq")


@pytest.fixture(scope="module")
def chromium(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("page")
    write_page(page, folder)
    picture = cv2.resize(cv2.imread(str(PHOTO)), (480, 480))
    frame = cv2.copyMakeBorder(picture, 0, 0, 80, 80, cv2.BORDER_CONSTANT)
    (folder / "camera.mjpeg").write_bytes(cv2.imencode(".jpg", frame)[1].tobytes() * 3)
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with browser(*camera, f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}") as session:
        session.offline()
        session.resize(1280, 900)
        session.open((folder / "index.html").as_uri())
        session.wait(READY, 120)
        yield session


def given(chromium: Browser, path: Path) -> list[dict[str, object]]:
    """What the page finds in a file."""
    chromium.run("globalThis.tinierYolo = null")
    chromium.give_file("#file", path)
    found: list[dict[str, object]] = chromium.wait(FOUND, 120)
    return found


def assert_equal(found: list[dict[str, object]], expected: Detections) -> None:
    np.testing.assert_array_equal(np.array([one["box"] for one in found], np.float32).reshape(-1, 4), expected.boxes)
    np.testing.assert_array_equal(np.array([one["score"] for one in found], np.float32), expected.scores)


def set_thresh(chromium: Browser, value: float) -> None:
    chromium.run("thresh.value = arguments[0]; thresh.dispatchEvent(new Event('input'))", value)


def test_one_small_file_that_names_no_other(page: str) -> None:
    assert len(page.encode()) <= 400_000
    assert not re.findall(r"https?://[a-z0-9]", re.sub(r'<script type="application/json".*?</script>', "", page))
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]* (?:src|href)=(?!\"data:)", page)
    assert "default-src 'none'" in page
    assert "connect-src" not in page
    assert "face &lt;&amp;&gt; @data@.ifq" in page


def test_it_starts_without_a_word_of_complaint(chromium: Browser) -> None:
    assert chromium.complaints() == []
    assert chromium.run("return document.getElementById('proof').textContent").startswith("Checked at start")
    assert chromium.run("return getComputedStyle(document.body).margin !== '8px'"), "its own style was refused"


@pytest.mark.parametrize("thresh", [0.05, 0.25, 0.6, 0.95])
def test_a_photograph_has_pythons_boxes(chromium: Browser, thresh: float) -> None:
    set_thresh(chromium, 0.25)
    given(chromium, PHOTO)
    set_thresh(chromium, thresh)
    expected = Detector.load().detect(read_image(PHOTO), thresh=thresh)
    assert_equal(chromium.run(f"return {FOUND}"), expected)
    rows = chromium.run("return [...document.querySelectorAll('tbody tr')].map((row) => row.children[1].textContent)")
    assert rows == [f"{score:.2f}" for score in expected.scores]
    count = {0: "No face", 1: "1 face"}.get(len(expected), f"{len(expected)} faces")
    assert chromium.run("return view.getAttribute('aria-label')") == f"grace_hopper.jpg, 512 by 600 pixels: {count}"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_large_picture_and_another_input(chromium: Browser, suffix: str, tmp_path: Path) -> None:
    set_thresh(chromium, 0.25)
    picture = cv2.resize(cv2.imread(str(PHOTO)), (1500, 1100))
    cv2.imwrite(str(tmp_path / f"large{suffix}"), picture)
    try:
        chromium.run("size.value = '224x224'; size.dispatchEvent(new Event('change'))")
        found = given(chromium, tmp_path / f"large{suffix}")
    finally:
        chromium.run("size.value = '416x416'; size.dispatchEvent(new Event('change'))")
    assert_equal(found, Detector.load(size=224).detect(read_image(tmp_path / f"large{suffix}")))


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_paste_and_drop(chromium: Browser, way: str) -> None:
    chromium.run("globalThis.tinierYolo = null")
    data = base64.b64encode(PHOTO.read_bytes()).decode()
    make = (
        "const t = new DataTransfer(); t.items.add(new File([bytesOf(arguments[0])], 'a.jpg', {type: 'image/jpeg'}));"
    )
    event = {"paste": "new ClipboardEvent('paste', {clipboardData: t, bubbles: true})"}
    event["drop"] = "new DragEvent('drop', {dataTransfer: t, bubbles: true, cancelable: true})"
    chromium.run(f"{make} document.body.dispatchEvent({event[way]})", data)
    assert len(chromium.wait(FOUND)) == 1


def test_what_is_no_picture_is_said(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("This is a letter.")
    chromium.give_file("#file", tmp_path / "letter.png")
    chromium.wait("summary.classList.contains('error')")
    assert chromium.run("return summary.textContent") == "letter.png: This browser cannot read it as a picture."
    assert len(given(chromium, PHOTO)) == 1
    assert not chromium.run("return summary.classList.contains('error')")


def test_the_strict_instructions_give_the_same(chromium: Browser) -> None:
    script = (
        "const strict = withoutRelaxed(bytesOf(data.module)); return WebAssembly.instantiate(strict, {}).then("
        "({instance}) => [new Detector(data, instance.exports).proves(), strict.length, bytesOf(data.module).length])"
    )
    proves, length, before = chromium.run(script)
    assert proves
    assert length == before
    damaged = "const d = {...data, proof: {...data.proof, sum: 1}}; return new Detector(d, detector.module).proves()"
    assert chromium.run(damaged) is False
    # The module is one: give it back its program.
    chromium.run("detector = new Detector(data, detector.module); shown = null; setSize()")


def test_the_camera(chromium: Browser) -> None:
    chromium.run("globalThis.tinierYolo = null; document.getElementById('camera').click()")
    chromium.wait("globalThis.tinierYolo && Number(document.getElementById('rate').textContent) > 0", 120)
    assert chromium.wait(f"{FOUND}.length > 0")
    assert chromium.run("return [work.width, work.height]") == [640, 480]
    assert chromium.run("return document.getElementById('camera').getAttribute('aria-pressed')") == "true"
    chromium.run("document.getElementById('camera').click()")
    assert chromium.run("return [stream, document.getElementById('camera').textContent]") == [None, "Use the camera"]


def test_the_keyboard_alone(chromium: Browser) -> None:
    set_thresh(chromium, 0.25)
    chromium.run(
        "document.activeElement.blur(); document.getElementById('file').click = () => { globalThis.asked_ = true }"
    )
    order = []
    for _ in range(4):
        chromium.press(TAB)
        order.append(chromium.run("return document.activeElement.id"))
        assert chromium.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if order[-1] == "choose":
            chromium.press(ENTER)
            chromium.wait("globalThis.asked_")
        elif order[-1] == "camera":
            chromium.press(ENTER)
            chromium.wait("stream")
            chromium.press(ENTER)
            chromium.wait("stream === null")
        elif order[-1] == "thresh":
            chromium.press(RIGHT)
            assert chromium.run("return document.getElementById('thresh-value').textContent") == "0.26"
    assert order == ["choose", "camera", "thresh", "size"]
    chromium.run("delete document.getElementById('file').click")


CONTRAST = """
const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const light = (colour) => { const [r, g, b] = channels(colour); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
const ground = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (c !== 'rgba(0, 0, 0, 0)') return c; } };
return [...document.querySelectorAll('h1, p, button, label, output, select, dt, dd, td, th, caption')]
    .filter((e) => e.textContent.trim() && e.checkVisibility()).map((e) => {
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.slice(0, 20)] });
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1920, 1080)])
def test_it_fits_and_can_be_read(chromium: Browser, width: int, height: int, dark: bool, tmp_path: Path) -> None:
    set_thresh(chromium, 0.05)
    given(chromium, PHOTO)
    try:
        chromium.resize(width, height, dark=dark)
        assert chromium.run("return document.documentElement.scrollWidth") <= width
        red = int(re.findall(r"\d+", chromium.run("return getComputedStyle(document.body).backgroundColor"))[0])
        assert (red < 60) is dark
        assert min(chromium.run(CONTRAST))[0] >= 4.5
        small = "return [...document.querySelectorAll('button, select')].map((e) => e.getBoundingClientRect().height)"
        assert min(chromium.run(small)) >= 44
        chromium.screenshot(tmp_path / "page.png")
        assert read_image(tmp_path / "page.png").shape == (height, width, 3)
    finally:
        chromium.resize(1280, 900)


def test_a_small_model_of_random_numbers(tmp_path: Path) -> None:
    page = web_page(Program.load(small_ifq.write_model(tmp_path)[0]), "small.ifq")
    write_page(page, tmp_path / "site")
    with browser() as session:
        session.open((tmp_path / "site" / "index.html").as_uri())
        session.wait(READY, 120)
        session.give_file("#file", PHOTO)
        found = session.wait(FOUND, 120)
    assert_equal(found, Detector.load(tmp_path / "small.ifq").detect(read_image(PHOTO)))


def test_networks_that_have_no_page() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CfgError, match="region"):
        web_page(random_program(ifq_cfg([Block(4)], 8, 8), rng, random_image(rng, 8, 8)), "a")
    grey = ifq_cfg([Block(4)], 8, 8, 1) + "\n[region]\nanchors=1,1.5\nnum=1\nclasses=1\ncoords=4\nsoftmax=1\n"
    with pytest.raises(ProgramError, match="not a network for RGB images"):
        web_page(random_program(grey, rng, random_image(rng, 8, 8, 1)), "a")


def test_a_map_that_is_not_the_input_over_the_stride_is_refused() -> None:
    rng = np.random.default_rng(0)
    text = ifq_cfg([Block(8, padding=0)], 64, 64) + "\n[region]\nanchors=1,1.5\nnum=1\nclasses=1\ncoords=4\nsoftmax=1\n"
    program = random_program(text, rng, random_image(rng, 64, 64))
    with pytest.raises(ProgramError, match="a map of the input's size over the stride"):
        web_page(program, "face.ifq")

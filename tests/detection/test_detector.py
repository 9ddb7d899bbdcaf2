from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import red_detector, small_ifq
from tinier_yolo.darknet.network import Network
from tinier_yolo.detection.detector import Detector, as_rgb
from tinier_yolo.errors import CfgError, TinierYoloError, UsageError

IMAGE = red_detector.picture((64, 64))


class RecordingEngine:
    """Gives a fixed map and keeps what it was given."""

    def __init__(self, output_map: NDArray[np.generic]) -> None:
        self.output_map = output_map
        self.image: NDArray[np.uint8] | None = None

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.generic]:
        self.image = image.copy()
        return self.output_map


def red(size: int | tuple[int, int] | None = None, tmp_path: Path | None = None) -> Detector:
    assert tmp_path is not None
    options = red_detector.write_model(tmp_path)
    return Detector.load(options[1], options[3], size)


def test_boxes_come_back_in_pixels_of_the_image(tmp_path: Path) -> None:
    # 256x128 lies on the 128x128 input at half its size, 32 pixels down: cell (3, 1) is (192, 0) to (256, 64).
    detector = red(tmp_path=tmp_path)
    found = detector.detect(red_detector.picture((256, 128), (200, 10, 250, 60)))
    np.testing.assert_allclose(found.boxes, [[192, 0, 256, 64]])
    assert found.scores[0] == pytest.approx(1, abs=0.01)
    assert found.class_ids.tolist() == [0]


def test_red_is_not_blue(tmp_path: Path) -> None:
    detector = red(tmp_path=tmp_path)
    image = red_detector.picture((128, 128), (40, 40, 60, 60))
    assert len(detector.detect(image)) == 1
    assert len(detector.detect(np.ascontiguousarray(image[..., ::-1]))) == 0


def test_no_faces_are_empty_detections(tmp_path: Path) -> None:
    found = red(tmp_path=tmp_path).detect(IMAGE)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.class_ids.shape == (0,)


def test_the_same_image_gives_the_same_twice(tmp_path: Path) -> None:
    # The canvas is used again: an image of another shape in between must leave no trace.
    detector = red(tmp_path=tmp_path)
    wide, tall = (red_detector.picture(size, (0, 0, 20, 20)) for size in ((256, 128), (128, 256)))
    first = detector.detect(wide)
    detector.detect(tall)
    np.testing.assert_array_equal(detector.detect(wide).boxes, first.boxes)


def test_what_is_prepared_is_found_in_as_the_image_itself(tmp_path: Path) -> None:
    # Several are prepared before the first is looked at: each has memory of its own.
    detector = red(tmp_path=tmp_path)
    images = [red_detector.picture(size, (0, 0, 20, 20)) for size in ((256, 128), (128, 256), (90, 100))]
    prepared = [detector.prepare(image) for image in images]
    ahead = [detector.detect(ready, 0.1) for ready in prepared]
    for image, ready, again in zip(images, prepared, ahead, strict=True):
        assert ready.letterbox.image_size == image.shape[1::-1]
        found = detector.detect(image, 0.1)
        assert len(found) > 0
        np.testing.assert_array_equal(again.boxes, found.boxes)
        np.testing.assert_array_equal(again.scores, found.scores)


@pytest.mark.parametrize("size", [32, 64, (96, 32), (32, 160)])
def test_any_multiple_of_the_stride_is_a_size(size: int | tuple[int, int], tmp_path: Path) -> None:
    detector = red(size, tmp_path)
    assert detector.size == ((size, size) if isinstance(size, int) else size)
    assert len(detector.detect(red_detector.picture((100, 100), (0, 0, 100, 100)))) > 0


@pytest.mark.parametrize("size", [0, 31, 33, -32, (32, 40), 32 * 1024])
def test_other_sizes_are_an_error(size: int | tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bad size .*stride, 32"):
        red(size, tmp_path)


def test_results_are_sorted_clipped_and_suppressed() -> None:
    output_map = np.full((6, 4, 4), -20, np.float32)
    output_map[:4] = 0
    output_map[2:4] = np.log(8)  # eight cells wide: beyond the image on all sides
    output_map[4, 0, 0], output_map[4, 0, 1], output_map[4, 3, 3] = 1, 2, 0.5
    detector = Detector(RecordingEngine(output_map), red_detector.network())
    found = detector.detect(red_detector.picture((128, 128)), thresh=0.5, nms=1)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert len(found) == 3
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 128
    assert len(detector.detect(red_detector.picture((128, 128)), thresh=0.5, nms=0.1)) == 1


def test_a_box_in_the_grey_beside_the_image_is_dropped() -> None:
    output_map = np.full((6, 4, 4), -20, np.float32)
    output_map[:4] = 0
    output_map[4, 0, 0] = 20
    detector = Detector(RecordingEngine(output_map), red_detector.network())
    assert len(detector.detect(red_detector.picture((128, 128)))) == 1
    assert len(detector.detect(red_detector.picture((128, 64)))) == 0


@pytest.mark.parametrize("letter_box", [True, False])
def test_the_resize_policy_is_the_cfgs(letter_box: bool) -> None:
    engine = RecordingEngine(np.full((6, 4, 4), -20, np.float32))
    Detector(engine, red_detector.network(letter_box)).detect(red_detector.picture((64, 32), (0, 0, 64, 32)))
    assert engine.image is not None
    assert (engine.image[0, 0] == red_detector.RED).all() == (not letter_box)
    assert (engine.image[64, 64] == red_detector.RED).all()


def test_an_integer_map_is_in_units_of_its_fraction_bits() -> None:
    output_map = np.full((6, 4, 4), -20, np.int32) << 14
    output_map[:4] = 0
    output_map[4, 1, 2] = 3 << 13
    found = Detector(RecordingEngine(output_map), red_detector.network(), fraction_bits=14).detect(
        red_detector.picture((128, 128))
    )
    assert found.boxes.tolist() == [[64, 32, 96, 64]]
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-1.5)))


def test_grey_and_alpha_images_are_taken(tmp_path: Path) -> None:
    detector = red(tmp_path=tmp_path)
    image = red_detector.picture((128, 128), (40, 40, 60, 60))
    transparent = np.dstack((image, np.zeros((128, 128), np.uint8)))
    np.testing.assert_array_equal(detector.detect(transparent).boxes, detector.detect(image).boxes)
    assert len(detector.detect(image[..., 0])) == 0


def test_as_rgb_repeats_grey() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for image in (grey, grey[..., None]):
        rgb = as_rgb(image)
        assert rgb.shape == (2, 3, 3)
        assert (rgb == grey[..., None]).all()


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[1, 2], [3, 4]],
        IMAGE.astype(np.float32) / 255,
        IMAGE.astype(np.uint16),
        IMAGE[..., :2],
        IMAGE[None],
        IMAGE[:0],
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=str,
)
def test_what_is_no_image_is_an_error_that_says_what_is_expected(image: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not an image.*uint8 \(height, width, 3\), RGB"):
        red(tmp_path=tmp_path).detect(image)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not an image"):
        red(tmp_path=tmp_path).prepare(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(("thresh", "nms"), [(-0.1, 0.5), (1.1, 0.5), (float("nan"), 0.5), (0.5, 45)])
def test_thresholds_outside_of_0_to_1_are_an_error(thresh: float, nms: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a threshold"):
        red(tmp_path=tmp_path).detect(IMAGE, thresh, nms)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3000, 2)])
def test_slivers_are_taken(size: tuple[int, int], tmp_path: Path) -> None:
    found = red(tmp_path=tmp_path).detect(red_detector.picture(size, (0, 0, *size)))
    assert (found.boxes[:, 2:] <= size).all()
    assert len(found) > 0


@pytest.mark.parametrize("size", [None, 64, (96, 32)])
def test_a_program_and_the_weights_it_came_from_find_the_same(
    size: int | tuple[int, int] | None, tmp_path: Path
) -> None:
    program, weights, cfg = small_ifq.write_model(tmp_path)
    image = np.random.default_rng(5).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    found = Detector.load(program, size=size).detect(image, thresh=0.1)
    again = Detector.load(weights, cfg, size, threads=2).detect(image, thresh=0.1)
    assert len(found) > 0
    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.scores, again.scores)


def test_weights_want_their_cfg_and_an_ifq_none(tmp_path: Path) -> None:
    options = red_detector.write_model(tmp_path)
    with pytest.raises(UsageError, match="weights without their cfg"):
        Detector.load(options[1])
    with pytest.raises(UsageError, match="needs no cfg"):
        Detector.load(tmp_path / "model.ifq", options[3])
    with pytest.raises(UsageError, match="bad number of threads"):
        Detector.load(options[1], options[3], threads=0)


def test_names_of_the_classes_of_weights(tmp_path: Path) -> None:
    options = red_detector.write_model(tmp_path)
    assert Detector.load(options[1], options[3], class_names=("head",)).class_names == ("head",)
    with pytest.raises(UsageError, match=r"red\.cfg: names and the cfg's classes differ \(expected 1, found 2\)"):
        Detector.load(options[1], options[3], class_names=("a", "b"))
    with pytest.raises(UsageError, match=r"an \.ifq holds its own"):
        Detector.load(tmp_path / "model.ifq", class_names=("head",))


def test_a_network_that_is_no_detector_is_an_error() -> None:
    network = Network.parse("[net]\nwidth=32\nheight=32\n[avgpool]\n")
    with pytest.raises(CfgError, match="not a detector"):
        Detector(RecordingEngine(np.zeros(3)), network)
    text = red_detector.CFG.format(letter_box=1).replace("channels=3", "channels=1")
    with pytest.raises(UsageError, match="not a network for RGB images"):
        Detector(RecordingEngine(np.zeros(3)), Network.parse(text))


@pytest.mark.parametrize("name", ["missing.weights", "missing.ifq"])
def test_missing_files_are_errors_of_the_package(name: str, tmp_path: Path) -> None:
    cfg = red_detector.write_model(tmp_path)[3] if name.endswith(".weights") else None
    with pytest.raises(TinierYoloError, match=name):
        Detector.load(tmp_path / name, cfg)

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinier_yolo.errors import UsageError
from tinier_yolo.eval.peers import HaarCascade, YuNet
from tinier_yolo.media.images import read_image

STRIDES = (8, 16, 32)
CHANNELS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write_yunet(path: Path) -> None:
    """A network with YuNet's twelve outputs; those of stride 32 tell how red a cell is, and its box is the cell."""
    nodes, weights, outputs = [], [], []
    for stride in STRIDES:
        for kind, channels in CHANNELS.items():
            kernel = np.zeros((channels, 3, stride, stride), np.float32)
            if kind in ("cls", "obj") and stride == 32:
                kernel[:, 2] = 1 / (stride * stride * 255)  # OpenCV feeds BGR
            bias = np.array([0.5, 0.5, 0, 0] if kind == "bbox" else [0] * channels, np.float32)
            name = f"{kind}_{stride}"
            weights += [numpy_helper.from_array(kernel, f"w_{name}"), numpy_helper.from_array(bias, f"b_{name}")]
            weights.append(numpy_helper.from_array(np.array([1, -1, channels], np.int64), f"s_{name}"))
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"w_{name}", f"b_{name}"], [f"c_{name}"], strides=[stride] * 2,
                    kernel_shape=[stride] * 2,
                ),
                helper.make_node("Transpose", [f"c_{name}"], [f"t_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t_{name}", f"s_{name}"], [name]),
            ]  # fmt: skip
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, channels]))
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])
    graph = helper.make_graph(nodes, "yunet", [source], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), path)


needs_cascade = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades")


@needs_cascade
def test_haar_finds_the_face_of_a_photograph() -> None:
    import matplotlib

    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    found = HaarCascade().detect(read_image(photograph))
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    left, top, right, bottom = found.boxes[0].tolist()
    assert left < 260 < right
    assert top < 160 < bottom
    assert len(HaarCascade().detect(np.zeros((50, 50, 3), np.uint8))) == 0


@needs_cascade
def test_what_is_no_cascade(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such cascade"):
        HaarCascade(tmp_path / "none.xml")
    for content in ("", "text", "<?xml version='1.0'?><opencv_storage></opencv_storage>"):
        (tmp_path / "bad.xml").write_text(content)
        with pytest.raises(UsageError, match="not a Haar cascade"):
            HaarCascade(tmp_path / "bad.xml")


def test_an_opencv_without_cascades_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(UsageError, match=r"this OpenCV has no Haar cascades \(expected opencv-python < 5"):
        HaarCascade()


def test_yunet_runs_at_the_size_of_each_image(tmp_path: Path) -> None:
    write_yunet(tmp_path / "yunet.onnx")
    detector = YuNet(tmp_path / "yunet.onnx")
    for width, height in ((96, 64), (320, 160)):
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[32:64, 32:64, 0] = 255  # red: a face
        rgb[0:32, 64:96, 2] = 255  # blue: none
        rgb[0:32, 0:32, 0] = 51
        found = detector.detect(rgb, thresh=0.1)
        assert found.boxes.round(3).tolist() == [[32, 32, 64, 64], [0, 0, 32, 32]]
        assert found.scores.round(3).tolist() == np.float32([1, 0.2]).round(3).tolist()
        assert len(detector.detect(rgb, thresh=0.5)) == 1
        assert len(detector.detect(np.zeros_like(rgb))) == 0


def test_what_is_no_yunet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model"):
        YuNet(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(UsageError, match="not a model that OpenCV can read"):
        YuNet(tmp_path / "text.onnx")
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["y"])],
        "other",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 32, 32])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), tmp_path / "o.onnx")
    with pytest.raises(UsageError, match="not a YuNet model"):
        YuNet(tmp_path / "o.onnx").detect(np.zeros((32, 32, 3), np.uint8))

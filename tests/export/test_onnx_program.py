"""Integer programs as ONNX and QONNX against the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.export.c99 import programs
from tests.networks import random_image
from tinier_yolo.errors import OutputError
from tinier_yolo.export import onnx_file
from tinier_yolo.export.onnx_program import program_graph
from tinier_yolo.export.qonnx import DOMAIN, qonnx_graph, refused_by_finn
from tinier_yolo.ifq import reference
from tinier_yolo.ifq.program import Program
from tinier_yolo.shipped import default_model

Make = Callable[[Program, int, int], onnx.ModelProto]


def image_of(program: Program, seed: int, more: tuple[int, int] = (0, 0)) -> NDArray[np.uint8]:
    options = program.network.options
    rng = np.random.default_rng(seed)
    return random_image(rng, options.height + more[0], options.width + more[1], program.network.input.channels)


def evaluated(make: Make, program: Program, image: NDArray[np.uint8]) -> NDArray[np.int32]:
    model = make(program, *image.shape[:2])
    return np.asarray(onnx_file.evaluate(model.SerializeToString(), image.transpose(2, 0, 1).astype(np.float32)))


@pytest.mark.parametrize("make", [program_graph, qonnx_graph])
@pytest.mark.parametrize("seed", range(20))
def test_any_program_gives_the_references_map(make: Make, seed: int) -> None:
    program = programs.make(seed)
    for more in ((0, 0), (5, 3)):
        image = image_of(program, seed, more)
        found = evaluated(make, program, image)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, reference.run_maps(program, image)[1])


def test_stock_operators_alone() -> None:
    model = program_graph(Program.load(default_model()), 64, 96)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    shape = model.graph.output[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [1, 30, 2, 3]
    assert {entry.key for entry in model.metadata_props} == {"fraction_bits", "class_names", "anchors", "stride"}


def test_without_onnx_runtime_the_reference_evaluator_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    program = Program.load(default_model())
    image = random_image(np.random.default_rng(0), 32, 64)
    np.testing.assert_array_equal(evaluated(program_graph, program, image), reference.run_maps(program, image)[1])


def test_the_shipped_model_pools_levels_in_qonnx_and_finn_refuses_one_pool() -> None:
    program = Program.load(default_model())
    kinds = [node.op_type for node in qonnx_graph(program, 416, 416).graph.node]
    assert kinds[:8] == ["BipolarQuant", "Conv", "MultiThreshold", "MaxPool"] * 2
    (line,) = refused_by_finn(program, 416, 416)
    assert "found 2/1" in line


@pytest.mark.parametrize("seed", range(6))
def test_the_qonnx_package_gives_the_references_map_and_types(seed: int) -> None:
    modelwrapper = pytest.importorskip("qonnx.core.modelwrapper")
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    program = programs.make(seed)
    image = image_of(program, seed)
    model = modelwrapper.ModelWrapper(qonnx_graph(program, *image.shape[:2]))
    model = model.transform(InferShapes()).transform(InferDataTypes())
    found = execute_onnx(model, {"image": image.transpose(2, 0, 1)[None].astype(np.float32)})["map"][0]
    np.testing.assert_array_equal(found, reference.run_maps(program, image)[1])
    types = {str(model.get_tensor_datatype(node.output[0])) for node in model.graph.node if node.domain == DOMAIN}
    assert all(name in ("BIPOLAR", "BINARY") or name.startswith("UINT") for name in types)


def test_a_file_that_gives_another_map_is_not_written(tmp_path: Path) -> None:
    program = programs.make(7)
    image = image_of(program, 0)
    model = program_graph(program, *image.shape[:2])
    expected = reference.run_maps(program, image)[1]
    values = image.transpose(2, 0, 1).astype(np.float32)
    (tmp_path / "old.onnx").write_bytes(b"old")
    expected[0, 0, 0] += 1
    with pytest.raises(OutputError, match=r"old.onnx: the file does not give the reference's map .found a difference"):
        onnx_file.write_verified(tmp_path / "old.onnx", model, values, expected)
    with pytest.raises(OutputError, match="a map of another shape"):
        onnx_file.write_verified(tmp_path / "old.onnx", model, values, expected[:1])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]

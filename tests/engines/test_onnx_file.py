"""A stranger's ONNX file is looked at before a runtime reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.models import default_face_model
from engines.models.onnx_file import MAX_BYTES, MAX_DEPTH, MAX_NODES, BadModel, check
from tests.onnx_made import constant_network, field, model, node, tensor, yolov8

RELU = node("Relu", ["x"], ["y"])


def refused(data: bytes, folder: Path) -> str:
    """Why the file is refused."""
    path = folder / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(BadModel) as caught:
        check(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_real_networks_pass(shared: Path) -> None:
    files = sorted((shared / "data/weights").glob("*.onnx"))
    assert len(files) >= 8
    for path in files:
        check(path)


def test_our_own_pass_and_so_do_made_ones_that_a_runtime_runs(tmp_path: Path) -> None:
    check(default_face_model("f32"))
    check(default_face_model("int8"))
    path = tmp_path / "made.onnx"
    path.write_bytes(yolov8([(8, 8, 24, 24)], [1], ["car", "plate"]))
    check(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (said,) = session.run(None, {"images": np.ones((1, 3, 64, 64), np.float32)})
    assert said[0, :, 0].tolist() == pytest.approx([16, 16, 16, 16, 0, 0.9])


@pytest.mark.parametrize("number", [13, 14])
def test_weights_in_other_files_are_refused_wherever_they_stand(number: int, tmp_path: Path) -> None:
    outside = tensor("w", np.zeros(1)) + (
        field(13, field(1, "location") + field(2, "/etc/passwd")) if number == 13 else field(14, 1)
    )
    nested = field(1, "then_branch") + field(6, field(1, node("Constant", [], ["c"], field(5, outside))))
    for data in (
        model([RELU], tensors=[outside]),
        model([node("Constant", [], ["c"], field(1, "value") + field(5, outside))]),
        model([node("If", ["x"], ["y"], nested)]),
        model([RELU]) + field(25, field(1, "f") + field(7, node("Constant", [], ["c"], field(5, outside)))),
        model([node("Constant", [], ["c"], field(22, field(1, outside)))]),
    ):
        assert "lie in other files" in refused(data, tmp_path)


def test_operators_of_others_are_refused_by_name(tmp_path: Path) -> None:
    said = refused(model([RELU, node("RunThis", ["x"], ["y"], domain="com.stranger\n")]), tmp_path)
    assert "RunThis of com.stranger" in said


def test_too_many_nodes_and_too_deep_graphs(tmp_path: Path) -> None:
    assert f"more than {MAX_NODES} nodes" in refused(model([RELU] * (MAX_NODES + 1)), tmp_path)
    deep = RELU
    for _ in range(MAX_DEPTH):
        deep = node("If", ["x"], ["y"], field(6, field(1, deep)))
    assert "deep" in refused(model([deep]), tmp_path)


def test_too_large_a_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadModel, match="is more than 512 MiB"):
        check(path)


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\x03\x04" + bytes(100), b"<?xml version='1.0'?>", field(1, 8)])
def test_what_is_no_network_is_said_to_be_none(data: bytes, tmp_path: Path) -> None:
    assert ("not an ONNX file" if data else "the file is empty") in refused(data, tmp_path)


def test_a_device_or_a_folder_is_no_model(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(BadModel, match="no model at"):
            check(path)


made = constant_network(np.zeros((1, 6, 84), np.float32))


@given(st.lists(st.tuples(st.integers(0, len(made) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(made)))
def test_damaged_files_are_refused_in_one_line_or_pass(tmp_path_factory, changes, length: int) -> None:
    data = bytearray(made)
    for at, value in changes:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(data[:length])
    said = ""
    try:
        check(path)
    except BadModel as error:
        said = str(error)
    assert "\n" not in said

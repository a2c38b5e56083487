"""A stranger's network is tried in a process of its own: what fails there is one line here."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from engines.detect.trial import try_model
from engines.models import default_face_model
from engines.models.onnx_file import BadModel
from tests.onnx_made import field, model, node, port, tensor, yolov8


def refused(data: bytes, folder: Path, limit_s: float = 60.0) -> str:
    path = folder / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(BadModel) as caught:
        try_model(path, limit_s=limit_s)
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def test_what_a_good_network_is_found_to_be() -> None:
    trial = try_model(default_face_model())
    assert (trial.family, trial.classes) == ("fancam", ("face",))
    assert trial.inputs[0].startswith("y uint8")
    assert len(trial.outputs) == 3
    assert trial.ms > 0


def test_what_is_refused_before_it_runs(tmp_path: Path) -> None:
    assert "not an ONNX file" in refused(b"PK\x03\x04", tmp_path)


def test_outputs_that_nobody_can_read_are_named(tmp_path: Path) -> None:
    net = model([node("Relu", ["x"], ["said"])], [port("x", (1, 3, 64, 64))], [port("said", (1, 3, 64, 64))])
    assert "said float32 [1,3,64,64]" in refused(net, tmp_path)


def test_a_network_that_no_runtime_can_load(tmp_path: Path) -> None:
    refused(model([node("NoSuchOperator", ["x"], ["y"])], [port("x", (1, 3, 64, 64))], [port("y", (1,))]), tmp_path)


@pytest.mark.parametrize("score", [6.0, np.nan])
def test_scores_that_are_none_are_refused(score: float, tmp_path: Path) -> None:
    """As of a network that was exported without its last sigmoid."""
    assert "scores above 1" in refused(yolov8([[20, 20, 40, 40]], [0], ["face"], score=score), tmp_path)


def test_a_small_file_that_asks_for_much_memory(tmp_path: Path) -> None:
    """A detector as it should be, but for 80 GB on its way."""
    keep_nothing = field(1, "keepdims") + field(3, 0) + field(20, 2)
    nodes = [
        node("ReduceMax", ["images"], ["most"], keep_nothing),
        node("Expand", ["most", "shape"], ["large"]),
        node("Sin", ["large"], ["wave"]),
        node("CumSum", ["wave", "axis"], ["sums"]),
        node("ReduceMax", ["sums"], ["peak"], keep_nothing),
        node("Mul", ["peak", "zero"], ["nothing"]),
        node("Add", ["said", "nothing"], ["output0"]),
    ]
    tensors = [
        tensor("shape", np.array([200_000, 100_000], np.int64)),
        tensor("axis", np.zeros((), np.int64)),
        tensor("zero", np.zeros((), np.float32)),
        tensor("said", np.zeros((1, 5, 84), np.float32)),
    ]
    names = {"names": "{0: 'plate'}", "stride": "32", "task": "detect"}
    ends = [port("images", (1, 3, 64, 64))], [port("output0", (1, 5, 84))]
    net = model(nodes, *ends, tensors, names)
    assert len(net) < 3000
    assert "family" not in refused(net, tmp_path)
    tensors[0] = tensor("shape", np.array([20, 10], np.int64))
    path = tmp_path / "small.onnx"
    path.write_bytes(model(nodes, *ends, tensors, names))
    assert try_model(path).classes == ("plate",)


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    path = default_face_model()
    with pytest.raises(BadModel, match="did not end within 0 s"):
        try_model(path, limit_s=0.01)
    assert time.monotonic() - started < 10

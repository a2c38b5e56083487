"""Networks to measure with, and a user's own file, in fp32, fp16 and int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from client.cli.main import main
from engines.detect.detector import open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.scene.scene import random_scene
from engines.train.export import TOLERANCE
from engines.train.networks.export import write_network
from engines.train.networks.layout import layout
from engines.train.networks.yolov5 import Yolov5, clouds, fuse, random_network

SIDE = 128


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "n.onnx"
    write_network("n", path, SIDE)
    return path


@pytest.mark.parametrize("net", ["n", "n6"])
def test_onnx_computes_what_torch_does_for_any_batch(net: str, tmp_path: Path) -> None:
    side = 2 * layout(net).strides[-1]
    write_network(net, tmp_path / "net.onnx", side)
    pictures = clouds(3, side, torch.Generator().manual_seed(9))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = random_network(net)(pictures)  # not fused: what was folded is held too
    for found, wanted in zip(session.run(None, {"images": pictures.numpy()}), expected, strict=True):
        assert np.abs(found - wanted.numpy()).max() < TOLERANCE
        assert 1 < wanted.std() < 4


def test_fancam_finds_boxes_with_it(small: Path) -> None:
    """The random weights give scores on both sides of the threshold, in a form that the families read."""
    detector = open_detector(small, "onnxruntime", conf=0.02)
    frame = Frame(*random_scene(3, 320, 240, performers=2, face_px=(20, 60)).planes(1.0), 0, 0)
    (detections,) = detector.detect([frame])
    assert detector.family.name == "yolov5"
    assert detector.names[:2] == ("person", "bicycle")
    assert 0 < len(detections.scores) < 3 * 21 * 16


def test_fp16_is_fp16_throughout(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    assert run("export", small, "--format", "onnx", "--fp16", "--out", out) == 0
    model = onnx.load(out)
    assert {port.type.tensor_type.elem_type for port in (*model.graph.input, *model.graph.output)} == {
        onnx.TensorProto.FLOAT16
    }
    assert not [node for node in model.graph.node if node.op_type == "Cast"]


def test_boxes_in_pixels_stay_fp32(tmp_path: Path) -> None:
    """The face network's maps are halves; a network that decodes boxes itself computes those in fp32."""
    network = fuse(random_network("n"))
    source, out = tmp_path / "decoded.onnx", tmp_path / "half.onnx"
    _write_decoded(network, source)
    assert run("export", source, "--fp16", "--family", "yolov5", "--out", out) == 0
    model = onnx.load(out)
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node].count("Cast") == 3  # one a level
    assert [node.op_type for node in model.graph.node][-1] == "Concat"


def _write_decoded(network: Yolov5, path: Path) -> None:
    """As YOLOv5's own exporter does: one output of rows, box centres and sizes in px."""
    from onnx import TensorProto, helper, numpy_helper

    from engines.train.networks.graph import graph_of

    model = graph_of(network, SIDE)
    graph, rows = model.graph, []
    for stride in network.layout.strides:
        name, scale = f"o{stride}", np.r_[[2.0 * stride] * 4, [1.0] * 81].astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(scale, f"scale{stride}"))
        graph.initializer.append(numpy_helper.from_array(np.array([0, -1, 85], np.int64), f"rows{stride}"))
        graph.node.append(helper.make_node("Sigmoid", [name], [f"p{stride}"]))
        graph.node.append(helper.make_node("Mul", [f"p{stride}", f"scale{stride}"], [f"b{stride}"]))
        graph.node.append(helper.make_node("Reshape", [f"b{stride}", f"rows{stride}"], [f"r{stride}"]))
        rows.append(f"r{stride}")
    graph.node.append(helper.make_node("Concat", rows, ["boxes"], axis=1))
    del graph.output[:]
    places = sum(3 * (SIDE // stride) ** 2 for stride in network.layout.strides)
    graph.output.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", places, 85]))
    onnx.save(model, path)


def test_int8_has_what_tensorrt_takes(small: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    assert run("export", small, "--int8", "--calibrate", labelled, "--out", out) == 0
    model = onnx.load(out)
    values = {value.name: value for value in model.graph.initializer}
    assert onnx.TensorProto.INT32 not in {value.data_type for value in values.values()}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero = values[node.input[1]], values[node.input[2]]
            assert scale.data_type == onnx.TensorProto.FLOAT16
            assert zero.data_type == onnx.TensorProto.INT8
            assert not onnx.numpy_helper.to_array(zero).any()
    assert _off(small, out) < 0.3


def test_the_face_model_takes_the_same_way(tmp_path: Path) -> None:
    for flag, most in (("--fp16", 0.02), ("--int8", 0.4)):
        out = tmp_path / f"face{flag}.onnx"
        assert run("export", default_face_model(), flag, "--out", out) == 0
        session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
        assert [port.name for port in session.get_inputs()] == ["y", "uv"]
        exact = onnxruntime.InferenceSession(default_face_model(), providers=["CPUExecutionProvider"])
        y, u, v = random_scene(4, 320, 256, performers=2, face_px=(20, 60)).planes(1.0)
        planes = {"y": y[None, None], "uv": np.stack((u, v))[None]}
        for found, wanted in zip(session.run(None, planes), exact.run(None, planes), strict=True):
            assert np.sqrt(np.mean((found - wanted) ** 2)) < most * wanted.std()


def _off(source: Path, made: Path) -> float:
    pictures = clouds(1, SIDE, torch.Generator().manual_seed(3)).numpy()
    exact, other = (onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (source, made))
    pairs = zip(
        other.run(None, {"images": pictures.astype(np.float16)}), exact.run(None, {"images": pictures}), strict=True
    )
    return max(float(np.sqrt(np.mean((found - wanted) ** 2)) / wanted.std()) for found, wanted in pairs)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["yolov5z"], 1, "no net 'z'"),
        (["none.onnx", "--fp16"], 1, "cannot read none.onnx"),
        (["FACE"], 1, "is ONNX already: say --fp16 or --int8"),
        (["INT8", "--fp16"], 1, "is not fp32: convert the file that it was made from"),
        (["TEXT", "--int8"], 1, "is not an ONNX file"),
        (["yolov5n", "--format", "plan"], 2, "onnx is all there is"),
        (["yolov5n", "--fp16", "--int8"], 2, "two files"),
        (["checkpoint.pt", "--fp16"], 2, "no --fp16"),
    ],
)
def test_bad_input(words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    files = {"FACE": str(default_face_model()), "INT8": str(default_face_model("int8")), "TEXT": str(text)}
    out = tmp_path / "out.onnx"
    assert run("export", *(files.get(word, word) for word in words), "--out", out) == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out*"))

"""What a file says of its network is the same whichever runtime reads it, and a network that takes no pictures is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models import default_face_model
from engines.runtimes import KINDS, RuntimeFailure, open_runtime, read_signature
from engines.runtimes.signature import Port, declared_size, input_shapes
from tests.onnx_made import HALF, field, model, node, port


def test_our_own_network_takes_planes_of_any_size() -> None:
    one, other = (read_signature(default_face_model(), kind) for kind in KINDS)
    assert one == other
    assert one.takes_planes
    assert one.fixed_size is None
    assert one.metadata["names"] == '{"0": "face"}'
    assert [port.shape for port in one.outputs] == [(1, 15, side, side) for side in (80, 40, 20)]


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("scrfd_2.5g", None),
        ("ulfg_rfb_320", (240, 320)),
        ("yolox_nano_416", (416, 416)),
        ("mobilefacenet_112", (112, 112)),
    ],
)
def test_other_peoples_networks_are_read_alike(name: str, fixed: tuple[int, int] | None, shared: Path) -> None:
    model = shared / f"data/weights/{name}.onnx"
    one, other = (read_signature(model, kind) for kind in KINDS)
    assert one == other
    assert not one.takes_planes
    assert one.fixed_size == fixed
    assert all(None not in port.shape for port in one.outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_one_size_takes_no_other(kind: str, shared: Path) -> None:
    model = shared / "data/weights/yolox_nano_416.onnx"
    with pytest.raises(
        RuntimeFailure, match=r"expected an input images float32 \[1,3,320,320\], it takes images"
    ) as caught:
        open_runtime(model, 320, 320, kind=kind)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1
    runtime = open_runtime(model, 416, 416, kind=kind)  # type: ignore[arg-type]
    assert runtime.inputs["images"].shape == (3, 416, 416)
    assert [output.shape for output in runtime.run()] == [(1, 3549, 85)]


@pytest.mark.parametrize(
    "inputs",
    [
        (Port("x", "float32", (1, 128)),),
        (Port("x", "float16", (1, 3, 64, 64)),),
        (Port("x", "float32", (1, 1, 64, 64)),),
        (Port("x", "float32", (4, 3, 64, 64)),),
        (Port("x", "float32", (1, 64, 64, 3)),),
        (Port("x", "float32", (1, 3, 64, 64)), Port("mask", "int64", (1, 64, 64))),
        (),
    ],
    ids=str,
)
def test_inputs_that_are_no_picture_are_refused_in_one_line(inputs: tuple[Port, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected an input|takes y and uv or one picture") as caught:
        input_shapes(inputs, *declared_size(inputs, (64, 64)))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_in_half_precision_is_read_for_a_gpu_and_refused_on_a_cpu(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    to_float = field(1, "to") + field(3, 1) + field(20, 2)
    ends = [port("images", (None, 3, 64, 96), HALF)], [port("output0", (None, 3, 64, 96))]
    path.write_bytes(model([node("Cast", ["images"], ["output0"], to_float)], *ends))
    said = read_signature(path, "onnxruntime")
    assert [one.dtype for one in said.inputs] == ["float16"]
    assert [one.shape for one in said.outputs] == [(1, 3, 64, 96)]
    with pytest.raises(RuntimeFailure, match="expected an input images float32"):
        open_runtime(path, 64, 96, kind="onnxruntime")

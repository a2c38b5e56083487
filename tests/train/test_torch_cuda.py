"""The torch runtime, on the CPU: it computes what ONNX Runtime does. What only a GPU can run (compilation, capture) is not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engines.detect import detector as module
from engines.detect.detector import open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.runtimes import RuntimeFailure, open_runtime, read_signature
from engines.runtimes.kernels.ends import Ends
from engines.runtimes.signature import input_shapes
from engines.runtimes.torch_cuda import TorchCudaRuntime
from engines.runtimes.torch_cuda.graph import OnnxModule
from engines.runtimes.torch_cuda.operators import OPERATORS
from engines.scene.scene import random_scene
from tests.gpu.driver import open_driver
from tests.onnx_made import model, node, port, yolov8

WEIGHTS = (
    "face_detection_yunet_2023mar", "mobilefacenet_112", "retinaface_mobile025_640", "scrfd_2.5g", "ulfg_rfb_320",
    "yolov5n-0.5-face_640", "yolox_nano_416",
)  # fmt: skip


def pictures(runtime: TorchCudaRuntime, rng: np.random.Generator, count: int) -> None:
    for slot in runtime.slots[:count]:
        slot["y"][:] = rng.integers(16, 235, slot["y"].shape)
        slot["uv"][:] = rng.integers(90, 160, slot["uv"].shape)


@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_a_batch_of_any_size_gives_what_onnx_runtime_gives_for_each_picture(count: int) -> None:
    runtime = TorchCudaRuntime(default_face_model(), 96, 64, device="cpu")
    single = open_runtime(default_face_model(), 96, 64, kind="onnxruntime")
    rng = np.random.default_rng(count)
    for _ in range(2):  # the second time it is ready
        pictures(runtime, rng, count)
        outputs = runtime.run(count)
        assert [len(output) for output in outputs] == [count] * 3
        for number, slot in enumerate(runtime.slots[:count]):
            for name, values in slot.items():
                single.inputs[name][:] = values
            for mine, theirs in zip(outputs, single.run(), strict=True):
                np.testing.assert_allclose(mine[number], theirs[0], atol=2e-4)


@pytest.mark.parametrize("name", WEIGHTS)
def test_networks_of_others_compute_the_same(name: str, shared: Path) -> None:
    path = shared / f"data/weights/{name}.onnx"
    signature = read_signature(path, "onnxruntime")
    shape = input_shapes(signature.inputs, *signature.size)[signature.inputs[0].name]
    picture = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    single = open_runtime(path, *signature.size, kind="onnxruntime")
    single.slots[0][signature.inputs[0].name][:] = picture[0]
    example = {signature.inputs[0].name: torch.from_numpy(picture)}
    with torch.inference_mode():
        outputs = OnnxModule(path, example, torch.float32)(*example.values())
    for mine, theirs in zip(outputs, single.run(), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-4 * max(1, float(np.abs(theirs).max())))


def test_convolutions_in_half_precision_leave_boxes_in_float32() -> None:
    """The face network's convolutions, in bfloat16 where this CPU is quick: the outputs differ by its rounding, not by more."""
    example = {"y": torch.randint(16, 235, (2, 1, 96, 64), dtype=torch.uint8)}
    example["uv"] = torch.randint(90, 160, (2, 2, 48, 32), dtype=torch.uint8)
    with torch.inference_mode():
        exact, rounded = (
            OnnxModule(default_face_model(), example, dtype)(*example.values())
            for dtype in (torch.float32, torch.bfloat16)
        )
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        assert 0 < float((one - other).abs().mean()) < 0.1 * float(one.abs().max())


def test_with_the_kernels_at_both_ends_it_finds_what_the_cpu_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the GPU that is here or the emulated one; planes whose outputs are decoded here, and a picture whose boxes the kernels find."""
    driver = open_driver()
    path = tmp_path / "two.onnx"
    path.write_bytes(yolov8([(8, 8, 24, 24), (30, 30, 60, 60)], [0, 1], ["face", "person"]))

    monkeypatch.setitem(OPERATORS, "ReduceMax", lambda attributes, x: x.amax())  # which the made network has

    def opened(model: Path, height: int, width: int, ends: Ends, **_: Any) -> TorchCudaRuntime:
        return TorchCudaRuntime(model, height, width, "cpu" if driver.emulated else "cuda", ends=ends)

    frames = [
        Frame(*random_scene(seed, *size, performers=2, face_px=(60, 140)).planes(0.5), seed, 0)
        for seed, size in enumerate(((480, 480), (320, 320)))
    ]
    for network in (None, path):
        (*theirs,) = (
            detection
            for frame in frames
            for detection in open_detector(network, "onnxruntime", "f32", long_side=160, conf=0.5).detect([frame])
        )
        with monkeypatch.context() as patched, driver.context():
            patched.setattr(module, "open_runtime", opened)
            patched.setattr(module, "trouble", lambda kind: None)
            patched.setattr(module, "read_signature", lambda model, kind: read_signature(model, "onnxruntime"))
            mine = open_detector(network, "torch_cuda", long_side=160, conf=0.5).detect(frames)
        assert sum(len(found.scores) for found in theirs) >= 3
        for one, other in zip(mine, theirs, strict=True):
            assert one.complete
            order, as_ordered = np.argsort(one.boxes[:, 0]), np.argsort(other.boxes[:, 0])  # scores are nearly alike
            assert one.classes[order].tolist() == other.classes[as_ordered].tolist()
            np.testing.assert_allclose(one.boxes[order], other.boxes[as_ordered], atol=1)
            np.testing.assert_allclose(one.scores[order], other.scores[as_ordered], atol=0.05)


def test_a_detector_puts_frames_of_all_shapes_into_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    class Counted(TorchCudaRuntime):
        def run(self, count: int = 1) -> list[Any]:
            runs.append(count)
            return super().run(count)

    monkeypatch.setattr(module, "open_runtime", lambda model, height, width, **_: Counted(model, height, width, "cpu"))
    monkeypatch.setattr(module, "trouble", lambda kind: None)
    frames = [
        Frame(*random_scene(seed, *size, performers=2, face_px=(60, 140)).planes(0.5), seed, 0)
        for seed, size in enumerate(((640, 480), (640, 360), (360, 640), (320, 320)))
    ]
    found = open_detector(runtime="torch_cuda", long_side=320, conf=0.5).detect(frames)
    assert runs == [4]
    seen = 0
    for frame, mine in zip(frames, found, strict=True):
        (theirs,) = open_detector(runtime="onnxruntime", precision="f32", long_side=320, conf=0.5).detect([frame])
        assert mine.belong_to(frame)
        for box in theirs.boxes[theirs.scores > 0.6]:
            seen += 1
            # Padding is seen too, by convolutions that reach over the frame's edge.
            assert np.abs(mine.boxes - box).max(1).min() < 4
    assert seen >= 4


def test_the_compiler_takes_the_network_in_one_piece() -> None:
    example = [torch.full((8, 1, 96, 64), 90, dtype=torch.uint8), torch.full((8, 2, 48, 32), 128, dtype=torch.uint8)]
    module = OnnxModule(default_face_model(), dict(zip(("y", "uv"), example, strict=True)), torch.float32)
    with torch.inference_mode():
        compiled = torch.compile(module, dynamic=False, fullgraph=True, backend="eager")
        for one, other in zip(module(*example), compiled(*example), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)


def test_as_many_batches_are_compiled_as_there_are(tmp_path: Path) -> None:
    """Of itself torch stops at the ninth: two networks in two sizes have twelve."""
    path = tmp_path / "two.onnx"
    path.write_bytes(
        model(
            [node("Sigmoid", ["images"], ["output0"])],
            [port("images", (None, 3, 4, 4))],
            [port("output0", (None, 3, 4, 4))],
        )
    )
    for batch in range(1, 13):
        example = torch.zeros(batch, 3, 4, 4)
        module = OnnxModule(path, {"images": example}, torch.float32)
        with torch.inference_mode():
            (output,) = torch.compile(module, dynamic=False, fullgraph=True, backend="eager")(example)
        assert output.shape == (batch, 3, 4, 4)


def test_an_operator_that_is_not_here_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(
        model([node("Det", ["images"], ["output0"])], [port("images", (1, 3, 64, 64))], [port("output0", (1, 3))])
    )
    assert "Det" not in OPERATORS
    runtime = TorchCudaRuntime(path, 64, 64, device="cpu")
    with pytest.raises(RuntimeFailure, match=r"odd\.onnx: it has the operator Det"):
        runtime.run()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_what_the_gpu_refuses_is_one_line(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise error("CUDA error: out of patience\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr("engines.runtimes.torch_cuda._Batch", refused)
    with pytest.raises(RuntimeFailure, match=r"face_nano\.onnx, 8 at a time: CUDA error: out of patience$"):
        TorchCudaRuntime(default_face_model(), 96, 64, device="cpu").run(3)


def test_int8_files_and_machines_without_a_gpu_are_refused_in_one_line() -> None:
    with pytest.raises(RuntimeFailure, match="is int8"):
        TorchCudaRuntime(default_face_model("int8"), 64, 64, device="cpu")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(RuntimeFailure, match="finds no NVIDIA GPU") as caught:
        open_runtime(default_face_model(), 64, 64, kind="torch_cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_on_a_gpu_the_captured_graph_gives_what_onnx_runtime_gives() -> None:
    runtime = TorchCudaRuntime(default_face_model(), 96, 64)
    single = open_runtime(default_face_model(), 96, 64, kind="onnxruntime")
    for count in (1, 3, 8, 3):
        pictures(runtime, np.random.default_rng(count), count)
        outputs = [output.copy() for output in runtime.run(count)]
        for number, slot in enumerate(runtime.slots[:count]):
            for name, values in slot.items():
                single.inputs[name][:] = values
            for mine, theirs in zip(outputs, single.run(), strict=True):
                np.testing.assert_allclose(mine[number], theirs[0], atol=0.1)

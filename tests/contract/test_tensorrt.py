"""The TensorRT runtime against the real bindings' names and signatures, and its order of calls on an emulated GPU.

Contract-tested, not run: TensorRT's libraries and a GPU are not to be had where these tests run. What is real here: cuda-bindings,
pycuda where it is installed, and the kernels as host C++.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.detect.detector import open_detector, settled
from engines.detect.families import Look
from engines.detect.families.yolov5 import ANCHORS_P5, P5, decode_maps
from engines.detect.letterbox import Letterbox
from engines.detect.on_gpu import look_of
from engines.detect.picture import PictureInput
from engines.frame import Frame
from engines.models import default_face_model
from engines.plans.key import Key, Target
from engines.plans.store import Plan
from engines.runtimes import RuntimeFailure, open_runtime, read_signature
from engines.runtimes.kernels.ends import Ends, Form
from engines.scene.scene import random_scene
from tests.contract.trt_surface import NotHere, surface
from tests.gpu.driver import Driver, emulated_driver, real_pycuda
from tests.gpu.fake_pycuda import fake_pycuda
from tests.gpu.fake_tensorrt import Tensors, fake_tensorrt

ROOT = Path(__file__).resolve().parents[2]
USERS = [ROOT / "engines/runtimes/tensorrt.py", *sorted((ROOT / "engines/plans").glob("*.py"))]
CLASSES = {
    "builder": "Builder", "network": "INetworkDefinition", "config": "IBuilderConfig", "profile": "IOptimizationProfile",
    "parser": "OnnxParser", "cache": "ITimingCache", "_runtime": "Runtime", "engine": "ICudaEngine",
    "_engine": "ICudaEngine", "context": "IExecutionContext", "tensor": "ITensor", "layer": "ILayer",
}  # fmt: skip
"""What variables of these names hold in `USERS`."""
VERSIONS = ("==10.13.0.35", ">=11,<12")


@pytest.fixture(scope="module", params=VERSIONS)
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    try:
        return surface(request.param, tmp_path_factory.mktemp("bindings"))
    except NotHere as error:
        pytest.skip(str(error))


def chain(node: ast.expr) -> list[str]:
    """`a.b.c` as a, b, c; from the last plain name on."""
    if isinstance(node, ast.Attribute):
        return [*chain(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


def uses(path: Path) -> tuple[set[tuple[str, ...]], set[tuple[str, str, int]]]:
    """What follows `trt` in a file, and (variable, member, arguments, −1 where it is not called) of the `CLASSES`."""
    names, members = set(), set()
    tree = ast.parse(path.read_text())
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        parts = chain(node)
        if parts[:1] == ["trt"]:
            names.add(tuple(parts[1:]))
        elif len(parts) > 1 and parts[-2] in CLASSES:
            call = called.get(id(node))
            starred = call is not None and any(isinstance(argument, ast.Starred) for argument in call.args)
            count = -1 if call is None or starred else len(call.args) + len(call.keywords)
            members.add((parts[-2], parts[-1], count))
    return names, members


def test_every_name_and_call_is_in_the_real_bindings(bindings: dict[str, Any]) -> None:
    classes, held = bindings["classes"], 0
    for path in USERS:
        names, members = uses(path)
        for name in names:
            where = f"{path.name}: trt.{'.'.join(name)}, TensorRT {bindings['version']}"
            if name[0] == "__version__" or name[0] == "__name__":
                continue
            assert name[0] in classes or name[0] in bindings["functions"], where
            if len(name) > 1 and name[1][0] != "_":
                assert name[1] in classes[name[0]], where
            held += 1
        for variable, member, count in members:
            where = f"{path.name}: {variable}.{member} with {count} arguments, TensorRT {bindings['version']}"
            assert member in classes[CLASSES[variable]], where
            overloads = classes[CLASSES[variable]][member]
            if count >= 0 and overloads is not None:
                least = [sum(not argument.endswith("=") for argument in one) for one in overloads]
                assert any(low <= count <= len(one) for low, one in zip(least, overloads, strict=True)), where
            held += 1
    assert held > 20


def test_the_fake_promises_nothing_that_the_bindings_do_not(bindings: dict[str, Any]) -> None:
    module = fake_tensorrt(None, {}, [], None)  # type: ignore[arg-type]
    for name, fake in vars(module).items():
        if name == "nptype":
            assert name in bindings["functions"]
            continue
        real = bindings["classes"][name]
        public = [member for member in vars(fake) if member[0] != "_"]
        assert set(public) <= set(real), name
        for member in public:
            if inspect.isfunction(getattr(fake, member)):
                arguments = [
                    one.name + ("=" if one.default is not one.empty else "")
                    for one in inspect.signature(getattr(fake, member)).parameters.values()
                ][1:]
                assert arguments in real[member], f"{name}.{member}"


TENSORS: Tensors = {
    "y": ("INPUT", (-1, 1, 8, 16), "uint8"),
    "uv": ("INPUT", (-1, 2, 4, 8), "uint8"),
    "late": ("OUTPUT", (-1, 3), "float16"),
    "early": ("OUTPUT", (-1, 1, 8, 16), "float32"),
}
BUCKETS = [(1, 1, 1), (1, 4, 4), (4, 8, 8)]


def network(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    means = seen["uv"].mean((1, 2, 3), keepdims=False)
    return {"late": np.stack([means] * 3, 1), "early": seen["y"].astype(np.float32) + len(means)}


def plan(data: bytes = b"plan") -> Plan:
    key = Key("0" * 64, "fp16", (8, 16), tuple(BUCKETS), 3, 0, Target("tensorrt 11"))
    return Plan(Path("here.plan"), key, {}, memoryview(data))


@pytest.fixture(params=["real pycuda", "fake pycuda"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Of which nothing may be held in the end; what a failure's traceback has of its memory pycuda does not give back."""
    driver = emulated_driver()
    driver.count_anew()
    if request.param == "real pycuda":
        real_pycuda(driver)
    else:
        module = fake_pycuda(driver)
        monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
        monkeypatch.setattr(sys.modules["pycuda"], "driver", module, raising=False)
        monkeypatch.setitem(sys.modules, "pycuda.driver", module)
    monkeypatch.delitem(sys.modules, "engines.runtimes.cuda", raising=False)
    yield driver
    assert driver.held().keys() <= {"allocated"}


def test_batches_of_any_size_run_as_one_graph_and_give_each_picture_its_own(gpu: Driver) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    runtime = TensorRtRuntime(fake_tensorrt(gpu, TENSORS, BUCKETS, network), plan(), ["early", "late"])
    assert (runtime.batches, len(runtime.slots), runtime.precision) == ((1, 4, 8), 8, "f16")
    rng = np.random.default_rng(0)
    for launched, count in enumerate((1, 3, 4, 5, 8, 1, 3), start=1):
        for slot in runtime.slots:
            slot["y"][:], slot["uv"][:] = rng.integers(0, 255, (1, 8, 16)), rng.integers(0, 255, (2, 4, 8))
        early, late = runtime.run(count)
        assert gpu.count("launches") == launched
        batch = min(bucket[2] for bucket in BUCKETS if bucket[2] >= count)
        for number, slot in enumerate(runtime.slots[:count]):
            np.testing.assert_array_equal(early[number], slot["y"].astype(np.float32) + batch)
            np.testing.assert_allclose(late[number], np.full(3, slot["uv"].mean()), rtol=1e-3)
        assert early.dtype == late.dtype == np.float32
        assert len(early) == len(late) == count
    assert gpu.count("graphs") == 3
    assert gpu.depth == 0
    with pytest.raises(ValueError, match="from 1 to 8"):
        runtime.run(9)
    del early, late, slot, runtime
    assert not gpu.held()


def test_a_plan_in_half_precision_is_filled_in_single(gpu: Driver) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    tensors: Tensors = {"images": ("INPUT", (-1, 3, 8, 8), "float16"), "out": ("OUTPUT", (-1, 3, 8, 8), "float16")}
    double = fake_tensorrt(gpu, tensors, BUCKETS, lambda seen: {"out": seen["images"] * 2})
    runtime = TensorRtRuntime(double, plan())
    for slot in runtime.slots:
        assert slot["images"].dtype == np.float32
        slot["images"][:] = 0.25
    (out,) = runtime.run(2)
    assert (out == 0.5).all()


@pytest.mark.parametrize(
    "call", ["set_optimization_profile_async", "set_input_shape", "set_tensor_address", "execute_async_v3"]
)
def test_what_tensorrt_refuses_is_one_line(gpu: Driver, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    module = fake_tensorrt(gpu, TENSORS, BUCKETS, network)
    monkeypatch.setattr(module.IExecutionContext, call, lambda *_: False)
    with pytest.raises(RuntimeFailure, match=r"here\.plan: TensorRT does not") as caught:
        TensorRtRuntime(module, plan()).run()
    assert "\n" not in str(caught.value)
    assert gpu.depth == 0


def test_a_plan_that_does_not_load_says_so(gpu: Driver) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    with pytest.raises(RuntimeFailure, match=r"here\.plan: TensorRT does not load it; fancam engines build"):
        TensorRtRuntime(fake_tensorrt(gpu, TENSORS, BUCKETS, network), plan(b"damaged"))
    assert gpu.depth == 0


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ("image", "the NVIDIA driver says CUDA_ERROR_INVALID_IMAGE"),
        ("memory", "the GPU cannot be used: cuMemAlloc.*"),
        ("capture", "the NVIDIA driver says CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"),
    ],
)
def test_what_the_driver_refuses_is_one_line(
    gpu: Driver, refused: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    tensors: Tensors = {"images": ("INPUT", (-1, 3, 8, 8), "float16"), "out": ("OUTPUT", (-1, 3000, 6), "float32")}
    module = fake_tensorrt(gpu, tensors, BUCKETS, lambda seen: {"out": 0})
    if refused == "image":
        (tmp_path / "image").write_bytes(b"of another GPU")
        monkeypatch.setattr("engines.runtimes.kernels.FATBIN", tmp_path / "image")
    elif refused == "memory":
        monkeypatch.setattr(module.ICudaEngine, "device_memory_size_v2", 1 << 60)
    else:
        monkeypatch.setattr(module.IExecutionContext, "execute_async_v3", lambda *_: bool(gpu.api.cuMemAlloc(1)))
    with pytest.raises(RuntimeFailure, match=f"^{says}$"):
        TensorRtRuntime(module, plan(), ends=Ends(look_of(Look()), Form("rows"), 0.3, 0.45)).find()
    assert gpu.depth == 0


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_frames_of_all_sizes_go_in_and_boxes_come_out(gpu: Driver, dtype: str) -> None:
    """As the CPU lays frames out, decodes and suppresses; the network only sees how light its picture is."""
    from engines.runtimes.tensorrt import TensorRtRuntime

    size, values, rng = (96, 128), 5 + 4, np.random.default_rng(3)
    shapes = [(3, size[0] // stride, size[1] // stride, values) for stride in P5]
    answers = [rng.normal(-1, 2, (9, *shape)).astype(dtype) for shape in shapes]

    def answer(pictures: np.ndarray) -> dict[str, np.ndarray]:
        light = np.median(pictures[:, 1].astype(np.float32), (1, 2))
        which = np.clip(np.nan_to_num(np.round(light * 8)), 0, 8).astype(int)  # at first it runs on what nobody wrote
        return {f"o{stride}": values[which] for stride, values in zip(P5, answers, strict=True)}

    tensors: Tensors = {"images": ("INPUT", (-1, 3, *size), dtype)}
    tensors |= {f"o{stride}": ("OUTPUT", (-1, *shape), dtype) for stride, shape in zip(P5, shapes, strict=True)}
    module = fake_tensorrt(gpu, tensors, BUCKETS, lambda seen: answer(seen["images"]))
    look = Look()
    runtime = TensorRtRuntime(
        module, plan(), list(tensors)[1:], ends=Ends(look_of(look), Form("maps", P5, ANCHORS_P5), 0.6, 0.45),
    )  # fmt: skip
    assert runtime.slots == [{}] * 8
    picture = np.zeros((3, *size), np.float32)
    for count, sides in enumerate(((128, 96), (640, 480), (101, 77), (50, 333)), start=1):
        frames = [
            Frame(
                *(
                    np.full(side, level, np.uint8)
                    for side, level in zip(planes_of(*sides), (40 + 40 * n, 128, 128), strict=True)
                ),
                0,
                0,
            )
            for n in range(count)
        ]
        for number, frame in enumerate(frames):
            box = Letterbox.within(*sides, size[1], size[0])
            runtime.place(number, frame, box.inner_w, box.inner_h)
        for frame, kept in zip(frames, runtime.find(count), strict=True):
            PictureInput(picture, look).fill(frame, box)
            outputs = [output.astype(np.float32) for output in answer(picture[None]).values()]
            found = settled(decode_maps(outputs, 0.6, size, strides=P5, anchors=ANCHORS_P5), 0.45, 4)
            assert len(found.scores) > 5
            np.testing.assert_allclose(kept.scores, found.scores, rtol=1e-5)
            np.testing.assert_allclose(kept.boxes, found.boxes, rtol=1e-4, atol=1e-3)
            assert kept.classes.tolist() == found.classes.tolist()
            assert kept.all
    assert set(runtime.stages(3)) == {"pre", "infer", "nms", "copy"}
    assert min(runtime.stages(3).values()) > 0
    del runtime
    assert not gpu.held()


def planes_of(width: int, height: int) -> list[tuple[int, int]]:
    half = -(-height // 2), -(-width // 2)
    return [(height, width), half, half]


def test_more_than_there_is_room_for_is_not_complete(gpu: Driver) -> None:
    from engines.runtimes.tensorrt import TensorRtRuntime

    rows = np.full((1, 3000, 6), 40, np.float32)  # all of them one thing
    rows[..., 4:] = np.random.default_rng(0).uniform(0.7, 1, (3000, 2))
    tensors: Tensors = {"images": ("INPUT", (-1, 3, 8, 8), "float16"), "out": ("OUTPUT", (-1, 3000, 6), "float32")}
    for places, complete in ((3000, False), (500, True)):
        shown = rows * (np.arange(3000)[:, None] < places)
        module = fake_tensorrt(gpu, tensors, BUCKETS, lambda seen, shown=shown: {"out": shown})
        ends = Ends(look_of(Look()), Form("rows"), 0.3, 0.45)
        runtime = TensorRtRuntime(module, plan(), ends=ends)
        (kept,) = runtime.find(1)
        assert kept.all is complete
        assert kept.boxes.tolist() == [[20, 20, 60, 60]]


def test_a_detector_on_a_plan_of_one_size_finds_what_the_cpu_finds(
    gpu: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the way but TensorRT itself, in whose place ONNX Runtime computes."""
    from engines.runtimes import tensorrt

    side, model = 320, default_face_model()
    single = open_runtime(model, side, side, kind="onnxruntime")

    def faces(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = []
        for number in range(len(seen["y"])):
            for name, values in seen.items():
                single.inputs[name][:] = values[number]
            given.append([output.copy() for output in single.run()])
        parts = zip(*given, strict=True)
        return {port.name: np.concatenate(part) for port, part in zip(said.outputs, parts, strict=True)}

    said = read_signature(model, "onnxruntime")
    tensors: Tensors = {
        "y": ("INPUT", (-1, 1, side, side), "uint8"),
        "uv": ("INPUT", (-1, 2, side // 2, side // 2), "uint8"),
        **{
            port.name: ("OUTPUT", (-1, port.shape[1], side // stride, side // stride), "float32")  # type: ignore[dict-item]
            for port, stride in zip(said.outputs, (8, 16, 32), strict=True)
        },
    }
    key = Key("0" * 64, "fp32", (side, side), tuple(BUCKETS), 3, 0, Target("tensorrt 11"))
    ports = {
        name: {"mode": mode, "dtype": dtype, "shape": list(shape)} for name, (mode, shape, dtype) in tensors.items()
    }
    opened = fake_tensorrt(gpu, tensors, BUCKETS, faces), Plan(Path("here.plan"), key, ports, memoryview(b"plan"))
    monkeypatch.setattr(tensorrt, "open_plan", lambda *_: opened)
    for place in ("engines.runtimes", "engines.detect.detector"):
        monkeypatch.setattr(f"{place}.trouble", lambda kind: None)
    frames = [
        Frame(*random_scene(seed, side, side, performers=2, face_px=(40, 120)).planes(0.5), seed, 0)
        for seed in range(5)
    ]
    detector = open_detector(model, runtime="tensorrt", conf=0.3)
    assert detector.fixed_size == (side, side)
    detector.warm_up(640, 480)
    assert detector.batches == (1, 4, 8)
    launched = gpu.count("launches")
    together = detector.detect(frames)
    assert gpu.count("launches") == launched + 1
    alone = open_detector(model, "onnxruntime", "f32", long_side=side, conf=0.3).detect(frames)
    assert sum(len(found.boxes) for found in alone) > 3
    for mine, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(mine.boxes, theirs.boxes, atol=1e-3)
    assert detector.describe()["precision"] == "f32"

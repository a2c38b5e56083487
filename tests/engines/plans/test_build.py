"""Plans are really built, from files as users have them, by TensorRT for RTX on the CPU; nothing here executes one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from engines.models import default_face_model
from engines.plans.build import Settings, build_plan
from engines.plans.child import Building, Order, built_already
from engines.plans.key import Target, buckets_of
from engines.plans.progress import Cancelled, Phases
from engines.plans.store import PlanError, Store
from engines.plans.trt import target_of
from tests.engines.plans.conftest import RTX
from tests.onnx_made import yolov8

# Timing caches do nothing in TensorRT for RTX, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BUCKETS = buckets_of([1, 8, 32])


def test_the_face_model_with_a_profile_for_each_batch(rtx: ModuleType) -> None:
    told: list[float] = []
    built = build_plan(rtx, default_face_model(), Settings(BUCKETS, (96, 160)), report=told.append)
    assert built.precision == "fp32"
    assert built.size == (96, 160)
    assert built.ports["y"] == {"mode": "INPUT", "dtype": "UINT8", "shape": [-1, 1, -1, -1]}
    assert [name for name, port in built.ports.items() if port["mode"] == "OUTPUT"] == ["o8", "o16", "o32"]
    assert len(built.data) > 100_000
    assert len(told) > 10
    assert all(0 <= share <= 1 for share in told)
    again = build_plan(rtx, default_face_model(), Settings(BUCKETS[:1], (96, 160)), timing=built.timing)
    assert again.data.nbytes < built.data.nbytes


def test_a_build_that_is_interrupted_ends(rtx: ModuleType) -> None:
    def report(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        build_plan(rtx, default_face_model(), Settings(BUCKETS, (96, 160)), report=report)


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (b"not a model", Settings(BUCKETS), "TensorRT cannot read it"),
        (None, Settings(BUCKETS), "any size: say which .* --side"),
        (None, Settings(BUCKETS, (100, 90)), "o32|cannot build|TensorRT"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(
    rtx: ModuleType, tmp_path: Path, content: bytes | None, settings: Settings, says: str
) -> None:
    path = default_face_model()
    if content is not None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
    with pytest.raises(PlanError, match=says) as error:
        build_plan(rtx, path, settings)
    assert "\n" not in str(error.value)


def test_the_cpu_s_int8_file_is_refused_with_a_reason(rtx: ModuleType) -> None:
    with pytest.raises(PlanError, match="Int32"):
        build_plan(rtx, default_face_model("int8"), Settings(BUCKETS, (96, 160)))


def test_a_file_that_takes_one_picture_at_a_time(rtx: ModuleType, tmp_path: Path) -> None:
    model = tmp_path / "one.onnx"
    model.write_bytes(yolov8([(8, 8, 24, 24)], [0], ["face"]))
    assert build_plan(rtx, model, Settings(buckets_of([1]))).size == (64, 64)
    with pytest.raises(PlanError, match=r"one picture at a time.*--batch 1"):
        build_plan(rtx, model, Settings(BUCKETS))
    with pytest.raises(PlanError, match="64 × 64 alone"):
        build_plan(rtx, model, Settings(buckets_of([1]), (128, 128)))


def test_built_beside_the_caller_and_found_again(rtx: ModuleType, folder: Path) -> None:
    target = target_of(rtx, None)
    order = Order(default_face_model(), target, Settings(BUCKETS, (96, 160)), Store(folder).folder, RTX)
    assert not built_already(order)
    building = _ended(order)
    assert building.error == ""
    assert building.plan is not None
    assert built_already(order)
    (key,) = Store(folder).built()
    assert Store(folder).find(key.onnx, target).data.nbytes > 100_000
    assert target.tensorrt.startswith("tensorrt_rtx 1.")


def test_a_refused_build_leaves_the_old_plan(rtx: ModuleType, folder: Path) -> None:
    target = target_of(rtx, None)
    good = Order(default_face_model(), target, Settings(BUCKETS[:1], (96, 160)), Store(folder).folder, RTX)
    assert _ended(good).plan is not None
    before = sorted(folder.iterdir())
    refused = _ended(Order(good.model, target, good.settings, folder, RTX, "fp16"))
    assert "computes in fp32" in refused.error
    gone = _ended(Order(folder / "none.onnx", target, good.settings, folder, RTX))
    assert "none.onnx" in gone.error
    assert sorted(folder.iterdir()) == before


def test_a_child_that_is_killed_says_so(rtx: ModuleType, folder: Path) -> None:
    order = Order(default_face_model(), target_of(rtx, None), Settings(BUCKETS, (640, 640)), Store(folder).folder, RTX)
    building = Building(order)
    building.cancel()
    assert building.done.wait(20)
    assert building.plan is None
    assert "signal 9" in building.error


def _ended(order: Order) -> Building:
    building = Building(order)
    assert building.done.wait(60)
    return building


def test_shares_of_nested_phases_add_up() -> None:
    phases = Phases()
    phases.start("whole", None, 4)
    phases.step("whole", 0)
    phases.start("part", "whole", 2)
    assert phases.now() == 0.25
    phases.step("part", 0)
    assert phases.now() == 0.375
    phases.finish("part")
    phases.step("whole", 3)
    assert phases.now() == 1.0
    phases.finish("whole")
    assert phases.now() is None


def test_a_target_differs_in_words() -> None:
    assert Target("tensorrt 11.4").differences(Target("tensorrt 11.4", "1")) == ["the driver was 1 and is none"]

"""Serving while a plan is built: TensorRT for RTX really builds it, on the CPU; what would run it is not to be had here."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from engines.models import default_face_model
from engines.models.networks import Networks
from engines.plans.key import Key, Target, buckets_of
from engines.plans.load import onnx_sha256
from engines.plans.store import PlanError, Store
from engines.plans.trt import target_of
from engines.runtimes import trouble
from server.studio import plans as module
from server.studio.plans import Plans, models_of, runtime_meanwhile

MODELS = models_of(Networks())
LIMIT_S = 100
# Timing caches do nothing in TensorRT for RTX, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def rtx() -> ModuleType:
    return pytest.importorskip(
        "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install -e '.[rtx]'"
    )


def put(folder: Path, target: Target, data: bytes = b"plan") -> Key:
    key = Key(onnx_sha256(default_face_model()), "fp32", (96, 160), buckets_of([1, 4]), 3, 0, target)
    Store(folder).put(key, {}, data)
    return key


def test_a_plan_for_another_driver_is_built_anew_while_another_runtime_serves(
    rtx: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, here = tmp_path / "plans", target_of(rtx, None)
    old = put(folder, replace(here, driver="580.65.06"))
    plans, spare = Plans(folder, rtx, here), Plans(folder, rtx, here)
    with caplog.at_level(logging.INFO):
        for one in (plans, spare, plans, plans):
            assert one.runtime(MODELS) == runtime_meanwhile()
        assert plans.built.wait(LIMIT_S)
        assert spare.built.wait(LIMIT_S)
    said = [record.getMessage() for record in caplog.records]
    assert sum("the driver was 580.65.06 and is none; it is built now" in line for line in said) == 2  # one a studio
    assert sum("was built in" in line for line in said) == 1
    assert plans.runtime(MODELS) == "tensorrt"
    (key,) = Store(folder).built()
    assert key == replace(old, target=here)


def test_a_plan_that_cannot_be_built_leaves_the_other_runtime_serving(
    rtx: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = default_face_model("int8")  # a form for CPUs
    plans = Plans(tmp_path / "plans", rtx, target_of(rtx, None))
    assert plans.runtime([model]) == runtime_meanwhile()
    limit = time.monotonic() + LIMIT_S
    while "no plan is built, so" not in caplog.text:
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert not plans.built.is_set()
    assert f"{model.name}: TensorRT cannot read it" in caplog.text


def test_a_plan_that_fits_is_served_at_once_and_a_damaged_one_not_at_all(tmp_path: Path) -> None:
    folder, here = tmp_path / "plans", Target("tensorrt 11", "1", "NVIDIA H200", "9.0")
    put(folder, here)
    plans = Plans(folder, ModuleType("tensorrt"), here)
    assert plans.runtime(MODELS) == "tensorrt"
    (file,) = folder.glob("*.plan")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PlanError, match="is damaged"):
        plans.runtime(MODELS)


def test_a_network_without_a_plan_gets_one_for_the_pictures_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    monkeypatch.setattr(Plans, "_build_one", lambda self, order: orders.append(order))
    plans = Plans(tmp_path / "plans", ModuleType("tensorrt"), Target("tensorrt 11"))
    assert plans.runtime(MODELS) == runtime_meanwhile()
    assert plans.built.wait(LIMIT_S)
    (order,) = orders
    assert order.settings.size == (640, 640)
    assert [most for _, _, most in order.settings.buckets] == [1, 8, 32]


def test_meanwhile_torch_serves_where_it_finds_a_gpu_and_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime_meanwhile() == ("auto" if trouble("torch_cuda") else "torch_cuda")
    monkeypatch.setattr(module, "trouble", lambda kind: None)
    assert runtime_meanwhile() == "torch_cuda"

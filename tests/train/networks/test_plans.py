"""What is exported, TensorRT takes: the networks in every precision with all profiles, built by TensorRT for RTX on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.models import default_face_model
from engines.plans.build import Settings, build_plan
from engines.plans.key import buckets_of
from engines.train.networks.export import write_network
from engines.train.precision import write_fp16, write_int8

rtx = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install -e '.[rtx]'")
# Timing caches do nothing in TensorRT for RTX, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(buckets_of([1, 8, 32]), (128, 128))


@pytest.fixture(scope="module", params=["face", "n", "n6", "s"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "face":
        return default_face_model()
    path = tmp_path_factory.mktemp("nets") / f"{request.param}.onnx"
    write_network(request.param, path, 128)
    return path


def test_fp32(source: Path) -> None:
    assert build_plan(rtx, source, SETTINGS).precision == "fp32"


def test_fp16(source: Path, tmp_path: Path) -> None:
    write_fp16(source, tmp_path / "half.onnx")
    built = build_plan(rtx, tmp_path / "half.onnx", SETTINGS)
    assert built.precision == "fp16"
    assert {port["dtype"] for port in built.ports.values()} <= {"HALF", "UINT8"}


def test_int8(source: Path, tmp_path: Path) -> None:
    write_int8(source, tmp_path / "int8.onnx")
    built = build_plan(rtx, tmp_path / "int8.onnx", SETTINGS)
    assert built.precision == "int8"
    assert {port["dtype"] for port in built.ports.values()} <= {"HALF", "UINT8"}

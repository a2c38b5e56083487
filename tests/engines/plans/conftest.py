"""A library that builds plans: TensorRT for RTX, whose Python API is TensorRT 11's, builds on a CPU, without a GPU or a driver."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

RTX = "tensorrt_rtx_bindings"


@pytest.fixture
def rtx() -> ModuleType:
    return pytest.importorskip(RTX, reason="TensorRT for RTX is not installed: pip install -e '.[rtx]'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "plans"

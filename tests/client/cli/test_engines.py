"""`fancam engines`: plans from the command line, and what it says where there is no library, driver or GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from client.cli import engines
from engines.models import default_face_model
from engines.plans import gpu
from engines.plans.gpu import Gpu
from tests.client.command import run

H200 = Gpu("NVIDIA H200", "580.65.06", "9.0", 143771)


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if on a GPU: the library is TensorRT for RTX, which builds without one."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed: pip install -e '.[rtx]'")
    monkeypatch.setattr(engines, "LIBRARY", "tensorrt_rtx_bindings")
    monkeypatch.setattr(gpu, "read_gpu", lambda: H200)


@pytest.mark.usefixtures("rtx")
def test_built_listed_and_not_built_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["engines", "build", default_face_model(), "--side", 96, "--batch", "1,4", "--folder", tmp_path / "plans"]
    assert run(*words) == 0
    assert "MB" in capsys.readouterr().out
    assert run(*words) == 0
    assert "its plan is there, for NVIDIA H200, tensorrt_rtx" in capsys.readouterr().out
    assert run("engines", "list", "--folder", tmp_path / "plans") == 0
    assert "fp32  96 × 96  batches 1, 4  NVIDIA H200" in capsys.readouterr().out
    assert run("engines", "list", "--json", "--folder", tmp_path / "plans") == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert key["target"]["driver"] == "580.65.06"


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["MODEL", "--side", "96", "--fp16"], 1, "computes in fp32: fancam export makes fp16 of it"),
        (["MODEL"], 1, "--side"),
        (["none.onnx"], 1, "cannot read none.onnx"),
        (["nobody"], 1, "nobody"),
        (["MODEL", "--batch", "0,1"], 2, "from 1 on"),
        (["MODEL", "--batch", "many"], 2, "--batch"),
        (["MODEL", "--fp16", "--int8"], 2, "two plans"),
        (["yolov5"], 2, "--sizes"),
    ],
)
def test_bad_input(words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(default_face_model()) if word == "MODEL" else word for word in words]
    assert run("engines", "build", *words, "--folder", tmp_path / "plans") == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert code == 2 or said.count("\n") == 1


def test_without_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert run("engines", "build", default_face_model(), "--folder", tmp_path) == 1
    said = capsys.readouterr().err
    assert "tensorrt is not installed: pip install -e '.[tensorrt]' " in said
    assert said.count("\n") == 1

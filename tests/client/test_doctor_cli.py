"""`fancam doctor`: what is here, what is missing and how to mend it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.wire import free_udp_ports
from engines.models import default_face_model
from engines.plans.gpu import Gpu
from engines.plans.key import Key, Target
from engines.plans.load import onnx_sha256
from engines.plans.store import Store
from tests.client.command import run


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_here_everything_that_is_needed_is_there(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json", "--port", taken) == 0
    found = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {"python", "cores", "H.264 encoder", "VP8 encoder", "runtime openvino", "detector", "aiortc"} <= set(found)
    assert all(finding["ok"] for finding in found.values() if finding["needed"])
    assert "precision" in found["detector"]["says"]
    port = found[f"port {taken}"]
    assert not port["ok"]
    assert "--port" in port["mend"]


def test_a_missing_runtime_is_seen_with_its_cure_and_one_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("engines.runtimes", "engines.detect.detector"):
        monkeypatch.setattr(f"{place}.available", lambda: ("onnxruntime",))
    assert run("doctor") == 0
    said = capsys.readouterr().out
    assert "no      runtime openvino: does not import" in said
    assert "pip install openvino" in said
    assert "runtime onnxruntime, precision" in said  # what detects instead


def test_why_a_gpu_is_not_used_is_one_line_and_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("a GPU is here")
    assert run("doctor", "--json") == 0
    found = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}
    for kind in ("tensorrt", "torch_cuda"):
        finding = found[f"runtime {kind}"]
        assert (finding["ok"], finding["needed"]) == (False, False)
        assert "pip install" in finding["says"] or "NVIDIA" in finding["says"]
        assert "\n" not in finding["says"]


def test_without_any_runtime_it_fails_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("engines.runtimes", "engines.detect.detector"):
        monkeypatch.setattr(f"{place}.available", tuple)
    assert run("doctor") == 1
    said = capsys.readouterr()
    assert "MISSING runtime openvino" in said.out
    assert "MISSING detector: no runtime here" in said.out
    assert "keep Fancam from serving" in said.err


def test_where_media_would_go(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    said = capsys.readouterr().out
    assert "media's UDP ports: any that is free" in said
    assert "media's addresses: 127.0.0.1, " in said
    ports = free_udp_ports(10)
    monkeypatch.setenv("FANCAM_UDP_PORTS", f"{ports[0]}-{ports[-1]}")
    monkeypatch.setenv("FANCAM_ADVERTISE", "203.0.113.7")
    assert run("doctor") == 0
    said = capsys.readouterr().out
    assert f"media's UDP ports: {ports[0]}-{ports[-1]}, 10 sessions at a time; --max-streams and --max-viewers" in said
    assert "media's addresses: 203.0.113.7 (--advertise)" in said


def test_ports_that_are_all_in_use_and_settings_that_will_not_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = free_udp_ports(10)
    monkeypatch.setenv("FANCAM_UDP_PORTS", f"{ports[0]}-{ports[-1]}")
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        assert run("doctor") == 1
    assert "MISSING media's UDP ports: all UDP ports of" in capsys.readouterr().out
    monkeypatch.setenv("FANCAM_UDP_PORTS", "5")
    assert run("doctor") == 1
    assert "MISSING settings: FANCAM_UDP_PORTS" in capsys.readouterr().out


def test_a_plan_that_does_not_fit_is_told_with_what_serves_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine with TensorRT and a GPU, both made up."""
    monkeypatch.setattr("engines.runtimes.trouble", lambda kind: None if kind == "tensorrt" else "no GPU")
    library = ModuleType("tensorrt")
    library.__version__ = "11.4"  # type: ignore[attr-defined]
    monkeypatch.setattr("engines.plans.trt.load_trt", lambda: library)
    monkeypatch.setattr("engines.plans.load.read_gpu", lambda: Gpu("NVIDIA H200", "590.1", "9.0", 1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for driver, ok, says in (
        ("580.65", False, "the driver was 580.65 and is 590.1"),
        ("590.1", True, "fp32, 640 × 640"),
    ):
        target = Target("tensorrt 11.4", driver, "NVIDIA H200", "9.0")
        Store().put(Key(onnx_sha256(default_face_model()), "fp32", (640, 640), ((1, 1, 1),), 3, 0, target), {}, b"plan")
        assert run("doctor", "--json") == 0
        (found,) = (one for one in json.loads(capsys.readouterr().out) if one["what"] == "plan of face_nano")
        assert found["ok"] is ok
        assert says in found["says"]
        assert "while auto serves" in found["mend"] or ok

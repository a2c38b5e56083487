"""`fancam doctor`: what is here, what is missing and how to mend it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from client.cli.main import main


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def run(*words: object) -> int:
    """The command's exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


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

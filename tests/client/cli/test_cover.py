"""`--model`, `--cover` and `--cover-heads` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.render.redact import SOLID_YUV
from tests.client.clips import run as clip_run
from tests.client.clips import start, write_clip
from tests.client.command import run
from tests.onnx_made import yolov8
from tests.ports import free_port
from tests.server.door.running import wait_until

PLATE = (96, 72, 224, 168)
"""Where the made network finds one in every picture of 320 × 240."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FANCAM_MODEL_FOLDER", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """A network of 64 px, in which 320 px are 64."""
    path = tmp_path / "street.onnx"
    x0, y0, x1, y1 = (side / 5 for side in PLATE)
    path.write_bytes(yolov8([(x0, y0, x1, y1)], [1], ["car", "plate"]))
    return path


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as box:
        return [frame.to_ndarray(format="gray") for frame in box.decode(video=0)]


def test_plates_are_covered_in_a_file(plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=20)
    assert run("models", "add", plates, "--name", "street") == 0
    x0, y0, x1, y1 = PLATE
    for number, (words, dark) in enumerate(
        [(("--model", "street", "--cover", "plate"), True), (("--model", plates), False)]
    ):
        out = tmp_path / f"out{number}"
        assert run("process", clip, "--out", out, *words) == 0, capsys.readouterr().err
        shown = pictures(out / "redacted.mp4")
        assert len(shown) == 20
        for before, after in zip(pictures(clip), shown, strict=True):
            there = after[y0:y1, x0:x1].astype(int)
            away = there - (SOLID_YUV[0] if dark else before[y0:y1, x0:x1])
            if dark:
                assert np.abs(away).max() < 12
            else:  # the face network may see something in the drawing, too
                assert np.median(np.abs(away)) < 6
            assert np.abs(before[:40, 250:].astype(int) - after[:40, 250:]).mean() < 6
        told = json.loads((out / "summary.json").read_text())
        assert told["options"]["classes"] == (["plate"] if dark else [])
        assert told["people"] == []


@pytest.mark.parametrize("verb", ["process", "serve"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cover", "plate"], "no model here finds 'plate': known are face"),
        (["--cover-heads"], "heads are covered where a model finds 'person': known are face"),
        (["--model", "street"], "no model is called 'street'"),
        (["--model", "./street.onnx"], "no model at ./street.onnx"),
    ],
)
def test_what_cannot_be_covered_is_one_line(
    verb: str, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = (
        [write_clip(tmp_path / "in.mp4", frames=2), "--out", tmp_path / "out"] if verb == "process" else ["--port", 0]
    )
    assert run(verb, *where, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fancam {verb}: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pictures_tell_what_is_no_face_beside_the_faces(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((240, 320, 3), 120, np.uint8))
    assert run("detect", tmp_path / "a.png", "--model", plates) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faces"] == []
    (plate,) = told["others"]
    assert plate["class"] == "plate"
    assert plate["xyxy_px"] == pytest.approx(PLATE, abs=1)
    assert set(plate) == {"class", "xyxy_px", "score"}


def test_doctor_knows_them(plates: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "add", plates, "--name", "street") == 0
    capsys.readouterr()
    assert run("doctor") == 0
    said = capsys.readouterr().out
    assert f"models of one's own: 1 in {folder}" in said
    assert "ok      model street: yolov8, 2 classes" in said
    (folder / "street.onnx").write_bytes(b"another file")
    assert run("doctor") == 0
    assert "no      model street: " in capsys.readouterr().out


@pytest.mark.slow
def test_plates_are_covered_live(plates: Path, tmp_path: Path) -> None:
    """A server with its own network, and a viewer over WebRTC."""
    clip, port, seen = write_clip(tmp_path / "in.mp4", frames=60), free_port(), tmp_path / "seen.mp4"
    server = start(
        *("serve", "--port", str(port), "--input", f"lobby={clip}", "--loop"),
        *("--model", str(plates), "--cover", "plate", "--look-ahead", "0"),
    )
    try:
        wait_until(lambda: states(port, server) == ["live"], "the input", 60)
        watch = ("watch", f"http://127.0.0.1:{port}/whep/lobby/redacted", "--out", str(seen), "--seconds", "8")
        done = clip_run(*watch)
        assert done.returncode == 0, done.stderr
    finally:
        server.terminate()
        server.communicate(timeout=20)
    x0, y0, x1, y1 = PLATE
    shown = [one for one in pictures(seen) if one.shape == (240, 320) and one[:40, 250:].mean() > 40]  # and no slate
    assert len(shown) > 10
    dark = [np.abs(picture[y0:y1, x0:x1].astype(int) - SOLID_YUV[0]).mean() < 12 for picture in shown]
    assert all(dark), f"{dark.count(False)} of {len(dark)}"


def states(port: int, server: subprocess.Popen[str]) -> list[str]:
    assert server.poll() is None, server.communicate()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/streams", timeout=2) as answer:
            return [stream["state"] for stream in json.load(answer)["streams"]]
    except OSError:
        return []

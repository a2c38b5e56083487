"""What is carried to a machine with a GPU: all of it, or nothing when it is too much."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.train import colour

PACK = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "pack.py"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, width in (("small", 100), ("large", 1600)):
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), rng.integers(0, 255, (80, width, 3), np.uint8))
    rows = [
        {"file": f"{name}.jpg", "width": width, "height": 80, "faces": []}
        for name, width in (("small", 100), ("large", 1600))
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def pack(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, PACK, *map(str, words)], capture_output=True, text=True, check=False)


def test_labels_and_pictures_come_along_as_training_takes_them(faces: Path, tmp_path: Path) -> None:
    done = pack(tmp_path / "out", "--faces", faces)
    assert done.returncode == 0, done.stderr
    packed = tmp_path / "out" / "faces"
    assert (packed / "train.jsonl").read_text() == (faces / "train.jsonl").read_text()
    assert (packed / "images/small.jpg").read_bytes() == (faces / "images/small.jpg").read_bytes()
    large = colour.decode_ycc((packed / "images/large.jpg").read_bytes())
    assert large is not None
    assert large.shape == (32, 640, 3)


def test_a_run_to_go_on_with(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("checkpoint.pt", "log.jsonl"):
        (run / name).write_text(name)
    assert pack(tmp_path / "out", "--no-faces", "--go-on", run).returncode == 0
    assert (tmp_path / "out/run/checkpoint.pt").read_text() == "checkpoint.pt"
    assert not (tmp_path / "out/faces").exists()
    assert "exists" in pack(tmp_path / "out", "--no-faces").stderr


def test_too_much_leaves_nothing(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text("")
    with (run / "checkpoint.pt").open("wb") as file:
        file.truncate(65 << 20)
    done = pack(tmp_path / "out", "--faces", faces, "--go-on", run)
    assert done.returncode == 1
    assert "64 are allowed" in done.stderr
    assert not list(tmp_path.glob("out*"))

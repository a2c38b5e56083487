"""`fancam train tracker`: from tables with their truth to weights that `fancam track` uses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from client.cli.main import main
from engines.train import tracker

FRAMES = 90


def people(random: np.random.Generator) -> tuple[str, str]:
    """Detections and truth of four who walk to and fro past one another."""
    found, truth = [], []
    phase, speed = random.uniform(0, 6, 4), random.uniform(1, 3, 4)
    for frame in range(1, FRAMES + 1):
        for who in range(4):
            x, y = 300 + 250 * np.sin(phase[who] + speed[who] * frame / 30), 200 + 12 * who
            truth.append(f"{frame},{who + 1},{x:.1f},{y},60,150,1,1,1")
            dx, dy = random.normal(0, 3, 2)
            if random.random() > 0.1:
                found.append(f"{frame},-1,{x + dx:.1f},{y + dy:.1f},60,150,{random.uniform(0.5, 0.95):.2f}")
    return "\n".join(found), "\n".join(truth)


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    info = {}
    for part in ("det", "gt"):
        (tmp_path / "walks" / part).mkdir(parents=True)
    for number in range(3):
        info[f"walks/w{number}"] = {"fps": 30.0, "frames": FRAMES}
        tables = people(np.random.default_rng(number))
        for part, text in zip(("det", "gt"), tables, strict=True):
            (tmp_path / "walks" / part / f"w{number}.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "seqinfo.json").write_text(json.dumps(info))
    return tmp_path


def said_by(words: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_what_is_learnt_tracks(walks: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "EPOCHS", 2)
    monkeypatch.setattr(tracker, "OWN_RUNS", 1)
    weights, out = walks / "w.npz", walks / "tracks.txt"
    train = ["train", "tracker", "--data", str(walks), "--set", "walks", "--out", str(weights), "--without", "w2"]
    code, said, err = said_by(train, capsys)
    assert code == 0, err
    assert "2 sequences" in said
    unseen = walks / "walks/det/w2.txt.gz"
    code, said, _ = said_by(
        ["track", "--detections", str(unseen), "--fps", "30", "--out", str(out), "--weights", str(weights)], capsys
    )
    assert code == 0
    assert 4 <= len(set(np.loadtxt(out, delimiter=",")[:, 1])) <= 12


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--out", "w.onnx"], 2, ".npz"),
        (["--set", "runs"], 1, "runs"),
        (["--without", "w7"], 1, "w7"),
        (["--data", "nowhere"], 1, "nowhere"),
        (["--without", "w0", "--without", "w1", "--without", "w2"], 1, "nothing to learn"),
    ],
)
def test_bad_input(
    walks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, words: list[str], code: int, part: str
) -> None:
    monkeypatch.chdir(walks)
    ended, _, said = said_by(["train", "tracker", "--data", ".", "--set", "walks", "--out", "w.npz", *words], capsys)
    assert ended == code
    assert part in said
    assert "Traceback" not in said
    assert not (walks / "w.npz").exists()

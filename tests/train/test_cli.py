"""`fancam train` and `fancam export` from the first step to a file that runs, and what they say to bad input."""

import onnxruntime
import pytest

from client.cli.main import main
from engines.train import data, trainer


def said_by(words: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), capsys.readouterr().err


def test_from_pictures_to_onnx(tmp_path, labelled, capsys, monkeypatch):
    monkeypatch.setattr(data, "SIDES_PX", (96,))
    monkeypatch.setattr(trainer.Plan, "__init__", _small_plan(trainer.Plan.__init__))
    run = ["train", "faces", "--data", str(labelled), "--out", str(tmp_path), "--scenes", "1"]
    assert said_by([*run, "--steps", "1"], capsys)[0] == 0
    assert said_by([*run, "--steps", "2", "--resume"], capsys)[0] == 0
    out = tmp_path / "face.onnx"
    assert said_by(["export", str(tmp_path / "checkpoint.pt"), "--out", str(out)], capsys)[0] == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["y", "uv"]


def _small_plan(make):
    return lambda self, **given: make(self, batch_size=1, threads=1, **given)


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["train", "hands", "--data", "x", "--out", "y", "--steps", "1"], 2, "hands"),
        (["train", "faces", "--data", "x", "--out", "y"], 2, "--steps"),
        (["train", "faces", "--data", "nowhere", "--out", "y", "--steps", "1"], 1, "nowhere"),
        (["export", "nothing.pt", "--out", "y.onnx"], 1, "nothing.pt"),
        (["export", "nothing.pt", "--out", "y.onnx", "--int8"], 2, "--calibrate"),
        (["export", "nothing.pt", "--out", "nowhere/y.onnx"], 1, "nowhere"),
    ],
)
def test_bad_input(words, code, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ended, text = said_by(words, capsys)
    assert ended == code
    assert part in text
    assert "Traceback" not in text

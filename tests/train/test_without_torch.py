"""Where torch is not installed, the training verbs say so in one line."""

import sys

import pytest

from client.cli.main import main


@pytest.mark.parametrize(
    "words",
    [
        ["train", "faces", "--data", "faces.jsonl", "--out", "run", "--steps", "1"],
        ["export", "checkpoint.pt", "--out", "face.onnx"],
    ],
)
def test_the_missing_package_is_named(words, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("engines.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.count("\n") == 1
    assert "pip install -e '.[train]' in the checkout" in said

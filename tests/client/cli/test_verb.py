"""Help of all verbs in one style."""

from __future__ import annotations

import re

import pytest

from client.cli.main import VERBS, main
from tests.client.command import run

ALONE = [verb for verb in VERBS if verb not in ("bench", "dataset", "engines", "models", "train")]
OF_OTHERS = ["models add", "engines build", "dataset teach", "train tracker", "bench load"]


def help_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [*ALONE, *OF_OTHERS])
def test_values_stand_in_capitals_in_every_help(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(words, capsys)
    assert re.match(rf"Usage: fancam {words} \[OPTIONS\]( \[?[A-Z_]+…?\]?)*\n", text)
    listed = re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE)
    assert listed
    for left in listed:
        names = re.match(r"(-\w, )?--[\w-]+( / --[\w-]+)?", left)
        assert names, left
        value = left[names.end() :]
        assert value == value.upper(), left


def test_help_tells_what_is_required_the_default_and_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of("track", capsys).split())
    assert "Frames a second of the video. [required; 0.1 to 1000]" in text
    assert "persons or faces. [persons]" in text


def test_benchmarks_go_by_one_spelling_and_explain_themselves_to_h_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench") == 0
    listed = re.findall(r"^  (\S+)  ", capsys.readouterr().out, re.MULTILINE)
    assert {"sizes", "process-speed", "track-scene"} <= set(listed)
    assert not {"report", "mot_score", "mot-score", "process_speed", "live-redaction"} & set(listed)
    for name in ("process-speed", "process_speed"):
        assert run("bench", name, "-h") == 0
        assert capsys.readouterr().out.startswith("Usage: fancam bench process-speed [OPTIONS]")

"""`fancam process` with a network that knows somebody by name: she may be seen, and nobody else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import pytest

from tests.client.command import run
from tests.client.members import FRAMES, HEIGHT, Box, add_band, spread, write_still


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Box]]:
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    return path, write_still(path)


@pytest.fixture
def ada(still: tuple[Path, list[Box]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    monkeypatch.setenv("FANCAM_MODEL_FOLDER", str(tmp_path / "models"))
    add_band(still[1][-1], tmp_path)
    return still[1][-1]


def spreads(video: Path, box: Box) -> list[float]:
    with av.open(str(video)) as source:
        return [spread(frame.to_ndarray()[:HEIGHT], box) for frame in source.decode(video=0)]


@pytest.mark.parametrize(
    ("flag", "name", "seen"),
    [("--cover-except", "ada", True), ("--cover-only", "bea", True), ("--cover-only", "ada", False)],
)
def test_a_member_is_seen_once_surely_recognised(
    still: tuple[Path, list[Box]], ada: Box, tmp_path: Path, flag: str, name: str, seen: bool
) -> None:
    video, faces = still
    out, report = tmp_path / "out", tmp_path / "report"
    words = ("--out", out, "--report", report, "--model", "band", flag, name, "--no-fancams")
    assert run("process", video, *words) == 0
    hers = spreads(out / "redacted.mp4", ada)
    assert len(hers) == FRAMES
    assert max(hers[:8]) < 3, "nobody is sure at first sight"
    assert (min(hers[15:]) > 12) if seen else (max(hers) < 3)
    for face in faces:
        if face != ada:
            assert max(spreads(out / "redacted.mp4", face)) < 12
    told = json.loads((report / "report.json").read_text())
    assert (told["shown"] > 0) == seen
    assert told["made_with"]["cover"] == {flag.removeprefix("--cover-"): [name]}


def test_people_are_called_by_their_names(still: tuple[Path, list[Box]], ada: Box, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("process", still[0], "--out", out, "--model", "band") == 0
    people = json.loads((out / "summary.json").read_text())["people"]
    (hers,) = [person for person in people if person["member"] == "ada"]
    assert hers["fancam"] == "fancam-ada.mp4"
    made = {path.name for path in out.glob("*.mp4")}
    assert made == {"redacted.mp4", "fancam-ada.mp4", *(f"fancam-{one['track']}.mp4" for one in people if one != hers)}
    with (out / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    named = [row for row in rows if row["member"]]
    assert {(row["member"], int(row["track"])) for row in named} == {("ada", hers["track"])}
    assert named[-1]["member_state"] == "confirmed"
    assert max(spreads(out / "redacted.mp4", ada)) < 3, "a name uncovers nobody"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cover-except", "ada"), "the model knows nobody by name"),
        (("--model", "band", "--cover-except", "zoe"), "'zoe': known are ada, bea"),
        (("--model", "band", "--cover-except", "ada", "--cover-only", "bea"), "exclude each other"),
    ],
)
def test_who_cannot_be_told_apart_is_refused_before_anything_is_written(
    still: tuple[Path, list[Box]],
    ada: Box,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert run("process", still[0], "--out", tmp_path / "out", *words) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""`fancam process --report`: what a redaction did, for whoever answers for it."""

from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from engines.pipeline import Pipeline
from engines.report import Report, add_uncovered
from engines.scene.write import write_scene
from tests.client.command import run
from tests.engines.made import found, frame

FRAMES, FPS = 45, 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `scene.mp4`, what `fancam process` made of it in `out`, and the report in `report`."""
    folder = tmp_path_factory.mktemp("report")
    write_scene(folder / "scene.mp4", None, seconds=FRAMES / FPS, fps=FPS)
    assert run("process", folder / "scene.mp4", "--out", folder / "out", "--report", folder / "report") == 0
    return folder


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_report_names_what_was_made_of_what_and_by_what(folder: Path) -> None:
    told = json.loads((folder / "report/report.json").read_text())
    assert told["source"]["sha256"] == sha(folder / "scene.mp4")
    made = {file["name"]: file["sha256"] for file in told["outputs"]}
    assert made == {path.name: sha(path) for path in (folder / "out").glob("*.mp4")}
    assert "redacted.mp4" in made
    assert told["made_with"]["model"]
    assert told["made_with"]["style"] == "solid"


def test_every_frame_has_its_figures(folder: Path) -> None:
    told = json.loads((folder / "report/report.json").read_text())
    assert told["frames"] == len(told["per_frame"]) == FRAMES
    assert told["found"] == sum(one["found"] for one in told["per_frame"]) > FRAMES
    assert all(0 < one["covered_share"] < 0.6 for one in told["per_frame"])
    times = [one["time_s"] for one in told["per_frame"]]
    np.testing.assert_allclose(np.diff(times), 1 / FPS, atol=0.002)


def test_the_page_needs_nothing_from_elsewhere_and_says_the_same(folder: Path) -> None:
    page = (folder / "report/report.html").read_text()
    told = json.loads((folder / "report/report.json").read_text())
    assert told["source"]["sha256"] in page
    assert f"{told['found']} faces" in page
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value or "" for name, value in attrs if name in ("src", "href"))

    Links().feed(page)
    assert not links


def test_somebody_lost_in_the_middle_is_a_place_to_look_at_and_somebody_who_walks_out_is_not() -> None:
    pipeline, report = Pipeline(), Report(320, 240)
    for n in range(60):
        picture = frame(rtp_time=n * 3000)
        lost = [[140, 90, 180, 140]] if n < 30 else []
        leaves = [[max(-20, 100 - 4 * n), 20, max(20, 140 - 4 * n), 70]] if n < 28 else []
        moment = [[220, 150, 260, 200]] if 40 <= n < 44 else []
        stays = [[250, 20, 290, 70]]
        found_here = found([*lost, *leaves, *moment, *stays], of=picture)
        report.add(pipeline.track(picture, found_here), np.zeros((0, 4), np.float32))
    doubts = report.doubts()
    assert [(round(doubt.time_s, 1), doubt.why) for doubt in doubts] == [
        (1.0, "lost in the middle of the picture"),
        (1.3, "a face for a moment"),
    ]
    assert report.frames[35].coasted >= 1


def test_what_another_detector_still_sees_can_be_added(folder: Path, tmp_path: Path) -> None:
    for name in ("report.json", "report.html"):
        (tmp_path / name).write_bytes((folder / "report" / name).read_bytes())
    add_uncovered(tmp_path, [(3, [10.0, 20.0, 40.0, 60.0])])
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["uncovered"] == [
        {"frame": 3, "time_s": told["per_frame"][3]["time_s"], "box": [10.0, 20.0, 40.0, 60.0]}
    ]
    page = (tmp_path / "report.html").read_text()
    assert "still sees (1)" in page
    assert "10, 20, 40, 60" in page
    assert "still sees" not in (folder / "report/report.html").read_text()

"""`fancam process --review`: decisions over HTTP, as the page gives them, are in the file that is written; nothing else is."""

from __future__ import annotations

import http.cookiejar
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.review import DRAFT, KEPT
from engines.codecs.files import VideoFile
from engines.frame import Frame
from engines.scene.write import write_scene
from tests.client.clips import run, start, write_clip

FPS, FRAMES = 15, 45
ADDED = [20, 380, 120, 470]


class Browser:
    """What a browser keeps: the cookie it was given."""

    def __init__(self, url: str) -> None:
        self.url, self.base = url, url.split("?")[0]
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.ProxyHandler({})
        ).open
        self.first = self.read(url)

    def read(self, url: str, data: bytes | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
        with self._open(request, timeout=20) as answer:
            body: bytes = answer.read()
            assert answer.headers["Cache-Control"] == "no-store"
            return body

    def get(self, path: str) -> Any:
        return json.loads(self.read(self.base + path))

    def order(self, **what: Any) -> Any:
        what = {"version": self.get("state")["version"], **what}
        return json.loads(self.read(self.base + "change", json.dumps(what).encode()))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    write_scene(path, None, seconds=FRAMES / FPS, fps=FPS)
    return path


@contextmanager
def reviewing(video: Path, out: Path, *words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it says."""
    process = start("process", str(video), "--out", str(out), "--review", "--no-fancams", *map(str, words))
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if address := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line):
                yield process, address[0]
                break
        else:
            pytest.fail(f"said no address: {process.communicate()[1]}")
    finally:
        process.kill()
        process.communicate()


def pictures(path: Path) -> list[Frame]:
    with VideoFile(path) as video:
        return list(video)


def likeness(a: Frame, b: Frame, box: list[float]) -> float:
    """How much of a part's ups and downs is still there: 1 all, 0 none."""
    x0, y0, x1, y1 = (max(0, round(value)) for value in box)
    one, other = a.y[y0:y1, x0:x1], b.y[y0:y1, x0:x1]
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if other.std() > 3 else 0.0


def core(box: list[float]) -> list[float]:
    """The middle of a cover, where the face is."""
    x0, y0, x1, y1 = box
    return [x0 + (x1 - x0) / 4, y0 + (y1 - y0) / 4, x1 - (x1 - x0) / 4, y1 - (y1 - y0) / 4]


def finish(process: subprocess.Popen[str], browser: Browser) -> None:
    browser.read(browser.base + "write", b"null")
    while not (state := browser.get("state"))["written"]:
        assert state["writing"], state["problem"]
    assert process.wait(20) == 0


def refusal(ask: Callable[..., Any], *words: Any, **headers: str) -> int:
    """The status with which a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(*words, **headers)
    refused.value.close()
    return refused.value.code


def alone(browser: Browser, life: int, frame: int) -> bool:
    """Whether nobody else's cover touches the one of that life."""
    covers = browser.get(f"frames/{frame}")["covers"]
    (x0, y0, x1, y1), *more = (one["box"] for one in covers if one["life"] == life)
    others = [one["box"] for one in covers if one["life"] != life]
    return not more and all(b[0] >= x1 or b[2] <= x0 or b[1] >= y1 or b[3] <= y0 for b in others)


def test_the_decisions_are_in_the_file_and_it_can_be_made_again_from_them(scene: Path, tmp_path: Path) -> None:
    with reviewing(scene, tmp_path / "out", "--report", tmp_path / "report") as (process, url):
        browser = Browser(url)
        assert b"Review" in browser.first
        lives = [life[0] for life in browser.get("about")["lives"] if life[0] > 0 and life[1:3] == [0, FRAMES - 1]]
        frame = next(n for n in range(5, 40) if any(alone(browser, life, n) for life in lives))
        gone = next(life for life in lives if alone(browser, life, frame))
        before = browser.get(f"frames/{frame}")["covers"]
        browser.order(do="remove", cover=gone, first=frame, last=frame)
        browser.order(do="add", box=ADDED, first=10, last=20)
        browser.order(do="add", box=[0, 0, 50, 50], first=0, last=44)
        browser.order(do="undo")
        after = browser.get(f"frames/{frame}")["covers"]
        assert [one["life"] for one in after if one["removed"]] == [gone]
        assert json.loads((tmp_path / "out" / DRAFT).read_text())["decisions"][1]["kind"] == "add"
        assert [path.name for path in (tmp_path / "out").iterdir()] == [DRAFT]
        finish(process, browser)
    source, made = pictures(scene), pictures(tmp_path / "out/redacted.mp4")
    assert len(made) == FRAMES
    (shown,) = (one["box"] for one in before if one["life"] == gone)
    assert likeness(source[frame], made[frame], core(shown)) > 0.8
    for number in (frame - 1, frame + 1):
        assert likeness(source[number], made[number], core(shown)) < 0.5
    for one in before:
        if one["life"] != gone:
            assert likeness(source[frame], made[frame], core(one["box"])) < 0.5
    grounds = [made[number].y[405:445, 50:90] for number in (8, 10, 15, 20, 22)]
    assert [abs(int(ground.mean()) - 44) < 4 and ground.std() < 4 for ground in grounds] == [
        False,
        True,
        True,
        True,
        False,
    ]
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert [one["what"].split("(")[0] for one in report["changed"]] == [f"cover {gone} ", "a cover added"]
    assert "a cover added" in (tmp_path / "report/report.html").read_text()

    kept = tmp_path / "out" / KEPT
    words = ["process", str(scene), "--out", str(tmp_path / "again"), "--no-fancams", "--review-file", str(kept)]
    assert run(*words).returncode == 0
    again = pictures(tmp_path / "again/redacted.mp4")
    assert all((a.y == b.y).all() for a, b in zip(made, again, strict=True))
    assert json.loads((tmp_path / "again" / KEPT).read_text())["decisions"] == json.loads(kept.read_text())["decisions"]


def test_only_the_browser_that_used_the_address_is_let_in(scene: Path, tmp_path: Path) -> None:
    with reviewing(scene, tmp_path) as (process, url):
        browser = Browser(url)
        for other in (url.split("?")[0], url.split("?")[0] + "frames/3/source.jpg", url[:-3] + "abc", url):
            assert refusal(urllib.request.urlopen, other) == 403
        for path, headers, code in (
            ("frames/3/source.jpg", {"Host": "evil.example"}, 421),
            ("state", {"Host": "evil.example:80"}, 421),
        ):
            assert refusal(browser.read, browser.base + path, **headers) == code
        assert refusal(browser.read, browser.base + "write", b"null", Origin="http://evil.example") == 403
        for order in (
            {"do": "remove", "cover": 9999, "first": 0, "last": 1},
            {"do": "add", "box": [1, 1, 0, 0]},
            [],
            {"do": 3},
        ):
            assert refusal(browser.read, browser.base + "change", json.dumps(order).encode()) in (400, 409)
        assert browser.get("state")["decisions"] == []
        assert browser.read(browser.base + "frames/3/source.jpg")[:2] == b"\xff\xd8"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "nothing was" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_decisions_about_another_video_are_refused_in_a_line(scene: Path, tmp_path: Path) -> None:
    decisions = {"format": 1, "source": {"name": "other.mp4", "sha256": "0" * 64}, "decisions": []}
    (tmp_path / "review.json").write_text(json.dumps(decisions))
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    done = run("process", str(clip), "--out", str(tmp_path / "out"), "--review-file", str(tmp_path / "review.json"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"was made for another video (other.mp4), not for {clip}")
    assert not (tmp_path / "out").exists()

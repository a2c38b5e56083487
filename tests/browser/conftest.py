"""A real server, a real publisher and a real Chromium around the page."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import PATIENT, PROBE_JS, Server, chromium, flags, serving, write_camera
from engines.scene.write import write_scene

FIND_JS = "feed => document.querySelector(`figure[data-feed='${feed}'] video`)"
FRAMES_JS = f"feed => ({FIND_JS})(feed)?.getVideoPlaybackQuality().totalVideoFrames ?? 0"
PICTURE_JS = f"feed => probe.picture(({FIND_JS})(feed))"
LASTING_JS = """() => {
  const lasting = (video) => video.getVideoPlaybackQuality().totalVideoFrames > 20;
  const fancam = [...document.querySelectorAll("#fancams video")].find(lasting);
  return fancam ? probe.picture(fancam) : null;
}"""


@dataclass
class SceneFiles:
    video: Path
    camera: Path
    faces: list[list[dict[str, Any]]]
    """The truth's faces by frame."""


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    """5 s of the demo scene, 640x480, with the frame's number in the picture: as a video, as a camera, and its truth."""
    folder = tmp_path_factory.mktemp("scene")
    video, camera, truth = folder / "scene.mp4", folder / "scene.y4m", folder / "truth.jsonl"
    write_scene(video, truth, seconds=5, marker=True)
    write_camera(video, camera)
    return SceneFiles(video, camera, [json.loads(line)["faces"] for line in truth.read_text().splitlines()])


@pytest.fixture(scope="session")
def chromium_path() -> str:
    where = chromium()
    if where is None:
        if os.environ.get("TESTS_NEED_BROWSER") == "1":
            pytest.fail("no Chromium is installed, and TESTS_NEED_BROWSER=1 asks for one")
        pytest.skip("no Chromium is installed")
    return where


# Not for the whole session: while it lasts an event loop is set in this thread, which other folders' tests would meet.
@pytest.fixture(scope="module")
def browser(chromium_path: str, scene: SceneFiles) -> Iterator[Browser]:
    """Chromium whose camera shows the scene."""
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=chromium_path, args=flags(scene.camera)) as browser:
            yield browser


@pytest.fixture(scope="module")
def server(chromium_path: str) -> Iterator[Server]:
    """`fancam serve` with the built-in model."""
    with serving(*PATIENT) as running:
        yield running


def wait_for_streams(server: Server, *names: str) -> None:
    """The page shows the first stream there is: it must not be one that another test has just left."""
    end_s = time.monotonic() + 30
    while (found := [one["name"] for one in server.get("/streams")["streams"]]) != list(names):
        assert time.monotonic() < end_s, f"these streams should be there: {names}; there are {found}"
        time.sleep(0.05)


def luma(picture: dict[str, Any]) -> np.ndarray:
    """A picture of the probe's: (H, W) uint8."""
    plane = np.frombuffer(base64.b64decode(picture["luma"]), np.uint8)
    return plane.reshape(picture["height"], picture["width"])


class Watched:
    """The page, opened on a server, and what it complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.add_init_script(PROBE_JS.read_text())
        page.goto(url)

    def _heard(self, kind: str, text: str) -> None:
        # A feed that is not there yet (409) or no more (404) is told by its status, which Chromium always prints.
        if kind == "error" and not text.endswith(("(Conflict)", "(Not Found)")):
            self.complaints.append(text)

    def frames(self, feed: str) -> int:
        """How many frames a feed's player has decoded so far."""
        return int(self.page.evaluate(FRAMES_JS, feed))

    def luma(self, feed: str) -> np.ndarray:
        """What a feed's player shows at present: (H, W) uint8."""
        return luma(self.page.evaluate(PICTURE_JS, feed))

    def fancams(self) -> list[str]:
        names = self.page.evaluate("[...document.querySelectorAll('#fancams figure')].map(one => one.dataset.feed)")
        return [str(name) for name in names]

    def a_fancam_lasts(self) -> None:
        """Waits for one that shows something after more than 20 frames: people come and go, and their fancams with them."""

        def shows() -> bool:
            picture = self.page.evaluate(LASTING_JS)
            return picture is not None and luma(picture).std() > 5

        self.until(shows, "a fancam that lasts and whose picture is not empty")

    def until(self, true: Callable[[], Any], what: str, deadline_s: float = 30) -> Any:
        """Poll until `true()` is, and return what it returned; the page goes on meanwhile."""
        end_s = time.monotonic() + deadline_s
        while not (value := true()):
            assert time.monotonic() < end_s, (
                f"not within {deadline_s} s: {what}; the page's complaints: {self.complaints}"
            )
            self.page.wait_for_timeout(50)
        return value

    def rises(self, feed: str, by: int = 20, deadline_s: float = 30) -> None:
        """Waits until a feed's player has decoded `by` more frames."""
        start = self.frames(feed)
        self.until(lambda: self.frames(feed) >= start + by, f"{by} more frames of {feed}", deadline_s)

    def a_fancam_rises(self, by: int = 10) -> None:
        """Waits until any fancam's player has decoded `by` more frames from now on: the clip's next round ends those that there are."""
        starts: dict[str, int] = {}

        def risen() -> bool:
            counts = {one: self.frames(one) for one in self.fancams()}
            return any(count >= starts.setdefault(one, count) + by for one, count in counts.items())

        self.until(risen, f"{by} more frames of any fancam")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Watched]]:
    contexts = []

    def opened(url: str) -> Watched:
        contexts.append(browser.new_context())
        return Watched(contexts[-1].new_page(), url)

    yield opened
    for context in contexts:
        context.close()

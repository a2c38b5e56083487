"""The page in a real Chromium: what somebody who opens it sees, also when things break behind it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from benchmarks.browser import Server, publishing
from engines.scene.marker import read_marker
from tests.browser.conftest import FIND_JS, SceneFiles, Watched, wait_for_streams
from tests.server.door.running import Running, running_door, wait_until

pytestmark = pytest.mark.browser

Open = Callable[[str], Watched]

KINDS_JS = f"""feed => {{
  // Every frame of a player as it is shown: with the marker's stripes on top, or a slate, which has none.
  const video = ({FIND_JS})(feed);
  globalThis.kinds = {{ live: 0, slate: 0, connections: 0 }};
  const stream = video.srcObject;
  const onFrame = () => {{
    if (probe.shown(video) !== null) kinds.live += 1;
    else if (probe.range(video) < 60) kinds.slate += 1;
    if (video.srcObject !== stream) kinds.connections += 1;
    video.requestVideoFrameCallback(onFrame);
  }};
  video.requestVideoFrameCallback(onFrame);
}}"""


@pytest.fixture
def demo(server: Server, scene: SceneFiles) -> Iterator[None]:
    """The scene published as stream `demo`."""
    with publishing(scene.video, f"{server.url}/whip/demo"):
        wait_for_streams(server, "demo")
        yield


def kinds(watched: Watched) -> Any:
    return watched.page.evaluate("kinds")


def test_page_shows_source_redacted_and_fancams(server: Server, demo: None, open_page: Open) -> None:
    watched = open_page(server.url)
    for feed in ("raw", "redacted"):
        watched.rises(feed)
    watched.a_fancam_lasts()
    drawn = """() => {
      const canvas = document.querySelector("figure[data-feed='raw'] canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, at) => at % 4 === 3 && value > 0);
    }"""
    watched.until(lambda: watched.page.evaluate(drawn), "boxes over the source")
    watched.until(lambda: "p99" in watched.page.inner_text("#total"), "the ledger's total")
    watched.until(lambda: "missed" in watched.page.inner_text("#misses"), "the misses")
    columns = """() => {
      const canvas = document.getElementById("chart");
      const { data } = canvas.getContext("2d").getImageData(0, canvas.height - 1, canvas.width, 1);
      return data.filter((value, at) => at % 4 === 3 && value > 0).length;
    }"""
    watched.until(lambda: watched.page.evaluate(columns) > 30, "columns in the chart")
    assert watched.complaints == []


def test_own_camera_is_shown_redacted(server: Server, scene: SceneFiles, open_page: Open) -> None:
    watched = open_page(server.url)
    watched.page.click("#camera")
    watched.rises("redacted", 60)
    watched.a_fancam_lasts()
    numbers, covered = set(), []
    end_s = time.monotonic() + 30
    while len(numbers) < 6 or len(covered) < 12:
        assert time.monotonic() < end_s, f"too little can be seen: frames {numbers}, {len(covered)} faces"
        shown = watched.luma("redacted")
        watched.page.wait_for_timeout(150)
        number = read_marker(shown)
        if number is None:
            continue
        numbers.add(number)
        scale = shown.shape[1] / 640  # a browser short of time sends smaller pictures
        assert shown.shape == (round(480 * scale), round(640 * scale))
        for face in scene.faces[number]:
            if not face["ignore"]:
                covered.append((number, face["id"], spread(shown, [scale * at for at in face["xyxy_px"]])))
    bare = [one for one in covered if one[2] > 12]
    assert not bare, f"faces that are not covered (frame, person, spread of luma): {bare}"
    assert watched.complaints == []
    watched.page.click("#camera")
    wait_for_streams(server)


@pytest.fixture
def narrow() -> Iterator[Running]:
    """A door with one place; its studio has no pixels."""
    with running_door(max_streams=1) as door:
        yield door


@contextmanager
def place_taken(door: Running, scene: SceneFiles) -> Iterator[None]:
    with publishing(scene.video, f"{door.url}/whip/demo"):
        wait_until(lambda: door.ask("GET", "/streams").json()["streams"], "the stream that takes the place", 60)
        yield


def use_camera(watched: Watched) -> None:
    """Clicks the button and keeps hold of the webcam that the page gets, as `webcam`."""
    watched.page.evaluate("""() => {
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => (globalThis.webcam = await ask(wanted));
    }""")
    watched.page.click("#camera")


def says(watched: Watched, text: str) -> None:
    watched.until(lambda: text in watched.page.inner_text("#notice"), f"a notice of {text}")


def is_let_go(watched: Watched) -> bool:
    """The webcam is off and can be used again."""
    off = watched.page.evaluate("webcam.getTracks().every((track) => track.readyState === 'ended')")
    return bool(off) and watched.page.inner_text("#camera:enabled") == "Use my camera"


def test_a_camera_without_a_place_says_so_and_is_stopped_or_waits_for_one(
    narrow: Running, scene: SceneFiles, open_page: Open
) -> None:
    watched = open_page(narrow.url)
    page = watched.page
    with place_taken(narrow, scene):
        use_camera(watched)
        says(watched, "--max-streams")
        page.click("text=Stop camera")
        assert is_let_go(watched)
        assert not page.is_visible("#notice")
        page.click("#camera")
        says(watched, "--max-streams")
    watched.until(lambda: page.evaluate("document.getElementById('streams').value") == "camera", "the camera")
    watched.until(lambda: not page.is_visible("#notice"), "nothing to complain of")
    page.click("text=Stop camera")
    assert is_let_go(watched)


def test_a_camera_that_is_unplugged_before_it_is_shown_is_let_go(
    narrow: Running, scene: SceneFiles, open_page: Open
) -> None:
    watched = open_page(narrow.url)
    with place_taken(narrow, scene):
        use_camera(watched)
        says(watched, "--max-streams")
        watched.page.evaluate("webcam.getTracks()[0].dispatchEvent(new Event('ended'))")
        says(watched, "unplugged")
        assert is_let_go(watched)


def test_a_camera_that_may_not_come_back_is_let_go(narrow: Running, open_page: Open) -> None:
    watched = open_page(narrow.url)
    use_camera(watched)
    watched.rises("redacted")
    watched.page.route("**/whip/*", lambda route: route.fulfill(status=403, json={"detail": "not any more"}))
    publisher = next(one for one in list(narrow.door.sessions._sessions.values()) if one.kind == "publisher")
    narrow.loop.call_soon_threadsafe(narrow.door.sessions.end, publisher)
    says(watched, "not any more")
    assert is_let_go(watched)


def spread(luma: np.ndarray, xyxy_px: list[float]) -> float:
    """The standard deviation of the luma in the middle three quarters of a box."""
    x0, y0, x1, y1 = xyxy_px
    dx, dy = (x1 - x0) / 8, (y1 - y0) / 8
    return float(luma[round(y0 + dy) : round(y1 - dy), round(x0 + dx) : round(x1 - dx)].std())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_studio_lost_while_watching(how: signal.Signals, server: Server, demo: None, open_page: Open) -> None:
    watched = open_page(server.url)
    watched.rises("redacted")
    watched.until(lambda: server.get("/healthz")["spare"], "a warm spare", 100)
    watched.page.evaluate(KINDS_JS, "redacted")
    watched.until(lambda: kinds(watched)["live"] > 10, "frames with the marker")
    lost = server.get("/healthz")["studio"]["pid"]
    os.kill(lost, how)
    watched.until(lambda: kinds(watched)["slate"], "the slate", 3)
    live = kinds(watched)["live"]
    watched.until(lambda: kinds(watched)["live"] > live + 20, "frames after the slate", 9)
    assert kinds(watched)["connections"] == 0, "the player had to connect anew"
    assert server.get("/healthz")["studio"]["pid"] != lost


def test_players_come_back_after_a_restart(server: Server, demo: None, open_page: Open) -> None:
    watched = open_page(server.url)
    watched.rises("redacted")
    server.stop()
    watched.until(lambda: watched.page.inner_text("#state") == "server away", "the page noticing it")
    server.start()
    watched.until(lambda: watched.page.inner_text("#state") == "live", "the stream being live again")
    watched.rises("redacted")
    watched.rises("raw")


def test_panic_covers_redacted_and_raw(server: Server, demo: None, open_page: Open) -> None:
    watched = open_page(server.url)
    for feed in ("raw", "redacted"):
        watched.rises(feed)
        watched.until(lambda feed=feed: read_marker(watched.luma(feed)) is not None, f"the scene in {feed}")
    watched.page.on("dialog", lambda dialog: dialog.accept())
    watched.page.click("#panic")
    for feed in ("raw", "redacted"):
        watched.until(lambda feed=feed: is_covered(watched.luma(feed)), f"{feed} covered", 9)
    watched.page.wait_for_timeout(500)
    assert all(is_covered(watched.luma(feed)) for feed in ("raw", "redacted"))
    watched.page.click("#panic")
    for feed in ("raw", "redacted"):
        watched.until(lambda feed=feed: read_marker(watched.luma(feed)) is not None, f"{feed} uncovered", 9)


def is_covered(luma: np.ndarray) -> bool:
    """No marker, and next to nothing of the picture but a plain ground and the words on it."""
    plain = abs(luma.astype(int) - int(np.median(luma))) < 12
    return read_marker(luma) is None and plain.mean() > 0.8

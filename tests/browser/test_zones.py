"""Privacy zones are drawn on the page, are black in every feed from then on, and take the raw feed away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.browser import Server, publishing
from tests.browser.conftest import SceneFiles, Watched, wait_for_streams
from tests.server.door.running import running_door, wait_until

CANVAS = "figure[data-feed=redacted] canvas.zones"


def test_a_zone_drawn_on_the_page_is_black_in_every_feed(
    server: Server, scene: SceneFiles, open_page: Callable[[str], Watched]
) -> None:
    with publishing(scene.video, f"{server.url}/whip/zoned"):
        wait_for_streams(server, "zoned")
        watched = open_page(server.url)
        for feed in ("raw", "redacted"):
            watched.rises(feed)
        watched.page.click("#zones")
        box = watched.page.locator(CANVAS).bounding_box()
        assert box is not None
        for x, y in ((0.5, 0.6), (0.98, 0.6), (0.98, 0.98), (0.5, 0.98), (0.5, 0.6)):
            watched.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        watched.until(lambda: is_black(watched, "redacted"), "the zone in the redacted feed")
        watched.until(lambda: watched.frames("overlay") > 0 and is_black(watched, "overlay"), "and in the overlay")
        assert watched.page.locator("figure[data-feed=raw]").count() == 0
        assert server.get("/streams")["streams"][0]["zones"][0][0] == pytest.approx([0.5, 0.6], abs=0.01)

        watched.page.click("#clear")
        watched.until(lambda: watched.frames("raw") > 0, "the raw feed again")
        watched.until(lambda: not is_black(watched, "redacted"), "the whole picture again")
        watched.page.click("#zones")
        assert watched.page.locator(CANVAS).count() == 0
        assert watched.complaints == []


def test_a_zone_is_drawn_by_keys(scene: SceneFiles, open_page: Callable[[str], Watched]) -> None:
    with running_door() as door, publishing(scene.video, f"{door.url}/whip/stage"):
        wait_until(lambda: door.ask("GET", "/streams").json()["streams"], "the stream", 60)
        watched = open_page(door.url)
        watched.page.click("#zones:not(:disabled)")
        for key in ("Space", *["ArrowRight"] * 10, "Space", *["ArrowDown"] * 10, "Space", "Enter"):
            watched.page.keyboard.press(key)
        (zone,) = watched.until(lambda: door.ask("GET", "/streams").json()["streams"][0]["zones"], "the zone")
        assert np.ravel(zone) == pytest.approx([0.5, 0.5, 0.7, 0.5, 0.7, 0.7])


def is_black(watched: Watched, feed: str) -> bool:
    if not watched.frames(feed):
        return False
    luma = watched.luma(feed)
    height, width = luma.shape
    inside = luma[int(0.65 * height) : int(0.93 * height), int(0.55 * width) : int(0.93 * width)]
    return bool(np.percentile(inside, 90) < 30)

"""The review page in Chromium: a cover is drawn, prolonged by its bar, and is in the file that the page has written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.scene.write import write_scene
from tests.browser.conftest import Watched
from tests.client.test_review import pictures, reviewing

FPS, FRAMES = 15, 45


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("review") / "scene.mp4"
    write_scene(path, None, seconds=FRAMES / FPS, fps=FPS)
    return path


def is_covered(path: Path) -> list[bool]:
    """In which frames the lower left corner is."""
    parts = [frame.y[405:445, 50:90] for frame in pictures(path)]
    return [abs(float(part.mean()) - 44) < 4 and float(part.std()) < 4 for part in parts]


def test_a_cover_drawn_and_prolonged_on_the_page_is_written(
    clip: Path, tmp_path: Path, open_page: Callable[[str], Watched]
) -> None:
    with reviewing(clip, tmp_path / "out") as (process, url):
        watched = open_page(url)
        page = watched.page
        page.wait_for_selector("#screen img")
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        watched.until(lambda: "frame 10 of" in page.inner_text("#time"), "frame 10")
        page.keyboard.press("a")
        box = page.locator("#screen").bounding_box()
        assert box is not None
        at = [
            (box["x"] + x / 640 * box["width"], box["y"] + y / 480 * box["height"]) for x, y in ((20, 380), (120, 470))
        ]
        page.mouse.move(*at[0])
        page.mouse.down()
        page.mouse.move(*at[1], steps=4)
        page.mouse.up()
        page.wait_for_selector("#marks .added.picked")
        end = watched.until(lambda: page.locator("#lanes [data-end=last]").bounding_box(), "the cover's end")
        lanes = page.locator("#lanes").bounding_box()
        assert lanes is not None
        assert page.locator("#lanes .added").count() == 1
        page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2)
        page.mouse.down()
        page.mouse.move(lanes["x"] + lanes["width"] * 20.5 / FRAMES, end["y"] + 2, steps=4)
        page.mouse.up()
        watched.until(lambda: page.inner_text("#detail").startswith("0:00.67 – 0:01.33"), "a longer cover")
        page.keyboard.press("v")
        page.wait_for_selector("#screen.written")
        page.locator("#lanes .life.face").first.click(position={"x": 3, "y": 3})
        page.keyboard.press("Delete")
        page.click("#yes")
        watched.until(lambda: page.locator("#decisions button").count() == 4, "2 decisions")
        page.keyboard.press("u")
        watched.until(lambda: page.locator("#decisions button").count() == 2, "1 decisions")
        page.screenshot(path=tmp_path / "page.png")
        page.click("#write")
        page.click("#yes")
        watched.until(lambda: page.inner_text("#said").startswith("Written: "), "that it is written")
        assert process.wait(20) == 0
        assert watched.complaints == []
    assert is_covered(tmp_path / "out/redacted.mp4") == [10 <= frame <= 20 for frame in range(FRAMES)]

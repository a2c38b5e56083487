"""What does the page look like? Writes docs/page.png."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.report import ROOT

FANCAMS, FRAMES, DEADLINE_MS, MOST_BYTES = 3, 90, 90_000, 400_000
PLAYING_JS = """([fancams, frames]) => {
  const playing = [...document.querySelectorAll("figure")].filter(
    (one) => one.querySelector("video").getVideoPlaybackQuality().totalVideoFrames > frames
  ).map((one) => one.dataset.feed);
  return playing.includes("raw") && playing.includes("redacted") && playing.length >= 2 + fancams;
}"""


def command(
    out: Annotated[Path, typer.Option(help="The file to write (PNG).")] = ROOT / "docs" / "page.png",
    width: Annotated[int, typer.Option(min=320, help="Of the window, in pixels.")] = 1360,
    height: Annotated[int, typer.Option(min=320, help="Of the window, in pixels; a longer page is cut.")] = 1000,
) -> None:
    from playwright.sync_api import sync_playwright

    from benchmarks.browser import chromium, flags, publishing, serving
    from client.cli.main import Failure
    from engines.scene.write import write_scene

    where = chromium()
    if where is None:
        raise Failure("this needs Chromium: install it (Debian and Ubuntu: apt install chromium)")
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        video = Path(folder, "scene.mp4")
        write_scene(video)
        with publishing(video, f"{server.url}/whip/demo"), sync_playwright() as playwright:
            with playwright.chromium.launch(executable_path=where, args=flags()) as browser:
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(server.url)
                page.wait_for_function(PLAYING_JS, arg=[FANCAMS, FRAMES], timeout=DEADLINE_MS)
                picture = page.screenshot()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(smaller(picture))
    print(f"{out}: {width}x{height}, {out.stat().st_size // 1000} kB")


def smaller(png: bytes) -> bytes:
    """The picture with ever fewer levels a colour until it is at most 400 kB."""
    import cv2
    import numpy as np

    packed, step = png, 4
    while len(packed) > MOST_BYTES and step <= 32:
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        coarse = (pixels // step * step + step // 2).astype(np.uint8)
        packed = cv2.imencode(".png", coarse, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        step *= 2
    return packed

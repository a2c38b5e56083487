"""A fancam's pixels, told from the source's: it shows its person as they are at that moment."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.browser import Server, publishing
from engines.codecs.files import VideoFile
from engines.scene.marker import read_marker
from tests.browser.conftest import SceneFiles, Watched, luma

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
PAIR_JS = """() => {
  const lasting = (video) => video.getVideoPlaybackQuality().totalVideoFrames > 20;
  const fancam = [...document.querySelectorAll("#fancams video")].find(lasting);
  const source = document.querySelector("figure[data-feed='raw'] video");
  return fancam && source ? [probe.picture(source), probe.picture(fancam)] : null;
}"""
LIKE = 0.8
APART = 30
"""Frames between what two players show at a moment: three times the fancam's delay of 5 and the 5 that two jitter buffers may differ."""


def test_fancam_is_cut_from_the_frames_that_are_shown(
    server: Server, scene: SceneFiles, open_page: Callable[[str], Watched]
) -> None:
    with VideoFile(scene.video) as frames:
        source = [cv2.resize(frame.y, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames]
    moments = []
    with publishing(scene.video, f"{server.url}/whip/demo"):
        watched = open_page(server.url)
        for _ in range(8):
            moments.append(watched.until(lambda: a_moment(watched), "a fancam beside a readable number in the source"))
            watched.page.wait_for_timeout(300)
    found = []
    for number, shown in moments:
        height, width = shown.shape
        assert height / width == pytest.approx(16 / 9, rel=0.02), "no portrait"
        likeness, frame = place(shown, source)
        if likeness > LIKE:  # else it is the slate of somebody who has gone
            away = abs(frame - number + len(source) / 2) % len(source) - len(source) / 2
            assert abs(away) <= APART, f"the fancam shows frame {frame} while the source shows {number}"
            found.append(frame)
    assert len(found) >= 3, "what the fancams show is nowhere in the source"
    assert len(set(found)) > 1, "the fancams stand still"


def a_moment(watched: Watched) -> tuple[int, np.ndarray] | None:
    """The number of the frame that the source shows, and what a fancam shows that has lasted, at one moment."""
    pair = watched.page.evaluate(PAIR_JS)
    number = read_marker(luma(pair[0])) if pair else None
    return None if number is None else (number, luma(pair[1]))


def place(shown: np.ndarray, source: list[np.ndarray]) -> tuple[float, int]:
    """How well a fancam's picture fits its best place in frames of half size, at any enlargement, and in which frame that is."""
    best = (0.0, -1)
    for height in range(80, 241, 16):
        small = cv2.resize(shown, (round(height * 9 / 16), height), interpolation=cv2.INTER_AREA)
        found = [float(cv2.matchTemplate(frame, small, cv2.TM_CCOEFF_NORMED).max()) for frame in source[::3]]
        best = max(best, (max(found), 3 * int(np.argmax(found))))
    return best

"""A fancam's pixels, told from the source's: it shows its person as they are at that moment."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.browser import Server, publishing
from engines.codecs.files import VideoFile
from engines.scene.marker import read_marker
from tests.browser.conftest import SceneFiles, Watched

pytestmark = pytest.mark.browser
LIKE = 0.8
APART = 30
"""Frames between what two players show at a moment, that is a second, on a machine that does other things as well."""


def test_fancam_is_cut_from_the_frames_that_are_shown(
    server: Server, scene: SceneFiles, open_page: Callable[[str], Watched]
) -> None:
    with VideoFile(scene.video) as frames:
        source = [cv2.resize(frame.y, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames]
    with publishing(scene.video, f"{server.url}/whip/demo"):
        watched = open_page(server.url)
        watched.rises("raw")
        fancam = watched.lasting_fancam()
        pairs = []
        for _ in range(3):
            number = watched.until(lambda: read_marker(watched.luma("raw")), "a readable number in the source")
            pairs.append((number, watched.luma(fancam)))
            watched.page.wait_for_timeout(500)
    numbers = []
    for number, shown in pairs:
        height, width = shown.shape
        assert height / width == pytest.approx(16 / 9, rel=0.02), "no portrait"
        likeness, found = place(shown, source)
        assert likeness > LIKE, "what the fancam shows is nowhere in the source"
        away = abs(found - number + len(source) / 2) % len(source) - len(source) / 2
        assert abs(away) <= APART, f"the fancam shows frame {found} while the source shows {number}"
        numbers.append(found)
    assert len(set(numbers)) > 1, "the fancam stands still"


def place(shown: np.ndarray, source: list[np.ndarray]) -> tuple[float, int]:
    """How well a fancam's picture fits its best place in frames of half size, at any enlargement, and in which frame that is."""
    best = (0.0, -1)
    for height in range(80, 241, 16):
        small = cv2.resize(shown, (round(height * 9 / 16), height), interpolation=cv2.INTER_AREA)
        found = [float(cv2.matchTemplate(frame, small, cv2.TM_CCOEFF_NORMED).max()) for frame in source[::3]]
        best = max(best, (max(found), 3 * int(np.argmax(found))))
    return best

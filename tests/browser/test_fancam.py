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
        found = []
        while len(found) < 3:
            number, shown = watched.until(
                lambda: a_moment(watched, fancam, source), "the fancam's picture in the source"
            )
            found.append(shown)
            away = abs(shown - number + len(source) / 2) % len(source) - len(source) / 2
            assert abs(away) <= APART, f"the fancam shows frame {shown} while the source shows {number}"
            watched.page.wait_for_timeout(500)
    assert len(set(found)) > 1, "the fancam stands still"


def a_moment(watched: Watched, fancam: str, source: list[np.ndarray]) -> tuple[int, int] | None:
    """The number of the source's frame that is shown, and of that which the fancam is cut from; None while that shows its slate."""
    number, shown = read_marker(watched.luma("raw")), watched.luma(fancam)
    height, width = shown.shape
    assert height / width == pytest.approx(16 / 9, rel=0.02), "no portrait"
    likeness, found = place(shown, source)
    return (number, found) if number is not None and likeness > LIKE else None


def place(shown: np.ndarray, source: list[np.ndarray]) -> tuple[float, int]:
    """How well a fancam's picture fits its best place in frames of half size, at any enlargement, and in which frame that is."""
    best = (0.0, -1)
    for height in range(80, 241, 16):
        small = cv2.resize(shown, (round(height * 9 / 16), height), interpolation=cv2.INTER_AREA)
        found = [float(cv2.matchTemplate(frame, small, cv2.TM_CCOEFF_NORMED).max()) for frame in source[::3]]
        best = max(best, (max(found), 3 * int(np.argmax(found))))
    return best

"""The slate can be read at every size and shows nothing of any frame."""

from __future__ import annotations

import numpy as np
import pytest

from engines.frame import Picture, Tracks
from engines.render.redact import Redactor
from engines.render.slate import BACKGROUND_YUV, draw_slate
from tests.engines.made import found, noise_frame

REASON = "no face detection: the detector has not answered for 0.5 s"


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (200, 630), (270, 480), (321, 241), (160, 120)])
def test_the_reason_is_written_large_and_wholly_inside(size: tuple[int, int]) -> None:
    width, height = size
    picture = Picture(width, height)
    draw_slate(picture, REASON)
    ink = picture.y > 120
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert ink.mean() > 0.004
    assert 0 < columns[0] < columns[-1] < width - 1
    assert columns[-1] - columns[0] > width * 0.45
    assert 0 < rows[0] < rows[-1] < height - 1
    assert abs(rows[0] + rows[-1] - height) < height * 0.35  # about the middle
    assert picture.y[0, 0] == BACKGROUND_YUV[0]


def test_other_reasons_give_other_slates() -> None:
    slates = [Redactor().slate(320, 240, reason, 0) for reason in ("no video", "starting", "")]
    assert len({slate.picture.y.tobytes() for slate in slates}) == 3


def test_nothing_of_the_picture_before_shows_through() -> None:
    redactor = Redactor()
    redactor.redact(noise_frame(), found([]), Tracks.empty()).release()
    used, fresh = redactor.slate(320, 240, REASON, 0), Redactor().slate(320, 240, REASON, 0)
    for a, b in (
        (used.picture.y, fresh.picture.y),
        (used.picture.u, fresh.picture.u),
        (used.picture.v, fresh.picture.v),
    ):
        np.testing.assert_array_equal(a, b)

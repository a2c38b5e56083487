"""The cut is the window's picture."""

from __future__ import annotations

import numpy as np
import pytest

from engines.frame import Frame, Picture
from engines.render.camera import Window
from engines.render.crop import crop


def ramp(width: int = 200, height: int = 240) -> Frame:
    """Luma rises by a level a pixel to the right, both chroma planes downwards."""
    picture = Picture(width, height)
    picture.y[:] = np.arange(width) + 20
    picture.u[:] = picture.v[:] = (np.arange((height + 1) // 2) + 40)[:, None]
    return Frame.from_video_frame(picture.video_frame, 0, 0)


@pytest.mark.parametrize("out", [(90, 160), (45, 80), (30, 54), (180, 320)])
@pytest.mark.parametrize("window", [Window(20, 10, 90, 160), Window(33.3, 20.7, 112.5, 200)])
def test_the_cut_shows_exactly_the_windows_part(window: Window, out: tuple[int, int]) -> None:
    picture = Picture(*out)
    crop(ramp(), window, picture)
    across = picture.y.mean(axis=0, dtype=float)
    expected = window.x + (np.arange(out[0]) + 0.5) * window.w / out[0] - 0.5 + 20
    assert np.abs(across - expected).max() <= 1.01  # rounded twice
    down = picture.u.mean(axis=1, dtype=float)
    expected = (window.y + (np.arange(out[1] // 2) + 0.5) * window.h / (out[1] // 2)) / 2 - 0.5 + 40
    assert np.abs(down - expected).max() <= 1.01


def test_shrinking_averages_instead_of_picking() -> None:
    source = Picture(320, 240)
    source.y[:, ::2], source.y[:, 1::2] = 20, 220
    picture = Picture(40, 60)
    crop(Frame.from_video_frame(source.video_frame, 0, 0), Window(0, 0, 160, 240), picture)
    assert np.abs(picture.y.astype(int) - 120).max() <= 2


def test_a_cut_at_the_last_pixel_invents_nothing() -> None:
    picture = Picture(90, 160)
    crop(ramp(201, 241), Window(201 - 135, 1, 135, 240), picture)
    assert picture.y.min() >= 86
    assert 219 <= picture.y.max() <= 220

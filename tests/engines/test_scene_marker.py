"""The frame number in the picture: read after coding and scaling, and never wrongly."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.scene.demo import demo_scene
from engines.scene.marker import BLACK, CELLS, WHITE, draw_marker, read_marker
from engines.scene.scene import Planes

NUMBERS = (0, 1, 2, 255, 256, 4711, 32768, 65535)


def grey(width: int, height: int, level: int = 128) -> Planes:
    return (
        np.full((height, width), level, np.uint8),
        np.full((height // 2, width // 2), 128, np.uint8),
        np.full((height // 2, width // 2), 128, np.uint8),
    )


@settings(max_examples=60)
@given(number=st.integers(0, 1 << 20), width=st.integers(48, 960), height=st.integers(32, 540))
def test_what_is_drawn_is_read_modulo_65536(number: int, width: int, height: int) -> None:
    planes = grey(2 * width, 2 * height)
    draw_marker(planes, number)
    assert read_marker(planes[0]) == number % 65536


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_it_survives_h264_and_scaling(scale: float) -> None:
    scene = demo_scene()
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 640, 480, "yuv420p", Fraction(1, 30)
    coder.options = {"crf": "28", "preset": "veryfast", "tune": "zerolatency"}
    decoder, read = av.CodecContext.create("h264", "r"), []
    packets = []
    for i, number in enumerate(NUMBERS):
        y, u, v = scene.planes(i / 30, number)
        frame = av.VideoFrame.from_ndarray(
            np.concatenate([y.ravel(), u.ravel(), v.ravel()]).reshape(720, 640), format="yuv420p"
        )
        frame.pts, frame.time_base = i, Fraction(1, 30)
        packets += coder.encode(frame)
    for packet in [*packets, *coder.encode(None), None]:
        for frame in decoder.decode(packet):
            small = frame.reformat(width=round(640 * scale), height=round(480 * scale), format="gray")
            read.append(read_marker(small.to_ndarray()))
    assert read == list(NUMBERS)


@pytest.mark.parametrize("level", [0, 16, 60, 128, 200, 235, 255])
def test_a_flat_picture_has_no_number(level: int) -> None:
    assert read_marker(grey(640, 480, level)[0]) is None


def test_a_scene_without_a_marker_has_no_number() -> None:
    scene = demo_scene()
    assert all(read_marker(scene.planes(t)[0]) is None for t in (0.0, 5.0, 10.0, 15.0))


@pytest.mark.parametrize("number", NUMBERS)
def test_one_or_two_wrong_cells_give_nothing_rather_than_another_number(number: int) -> None:
    planes = grey(480, 120)
    draw_marker(planes, number)
    clean, cell = planes[0].copy(), 480 // CELLS
    for first in range(CELLS):
        for second in range(first, CELLS):
            y = clean.copy()
            for i in {first, second}:
                part = y[:6, i * cell : (i + 1) * cell]
                part[:] = WHITE + BLACK - part
            assert read_marker(y) is None

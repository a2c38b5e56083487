"""A frame as most networks want it: the pixels that cv2 makes of it, normalised, padded, without new memory."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.detect.families import Look
from engines.detect.letterbox import Letterbox
from engines.detect.picture import PictureInput
from engines.frame import Frame
from tests.engines.made import frame as plain_frame
from tests.engines.made import noise_frame


def bgr_of(frame: Frame) -> np.ndarray:
    i420 = np.concatenate([plane.reshape(-1) for plane in (frame.y, frame.u, frame.v)])
    return cv2.cvtColor(i420.reshape(frame.height * 3 // 2, frame.width), cv2.COLOR_YUV2BGR_I420)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_pixels_are_normalised_channel_by_channel_and_padded(channels: str) -> None:
    look = Look(channels, mean=(104, 117, 123), std=(50, 60, 70), pad=114)  # type: ignore[arg-type]
    frame = noise_frame(128, 72)
    target = np.full((3, 96, 128), np.nan, np.float32)
    PictureInput(target, look).fill(frame, Letterbox.within(128, 72, 128, 96))
    pixels = bgr_of(frame)[..., ::-1] if channels == "rgb" else bgr_of(frame)
    expected = (pixels.astype(float) - look.mean) / look.std
    np.testing.assert_allclose(target[:, :72].transpose(1, 2, 0), expected, atol=1e-5)
    for plane, mean, std in zip(target, look.mean, look.std, strict=True):
        np.testing.assert_allclose(plane[72:], (114 - mean) / std, rtol=1e-6)


def test_one_input_takes_frames_of_several_sizes_after_each_other() -> None:
    """What an earlier, larger picture left is gone."""
    target = np.zeros((3, 64, 96), np.float32)
    picture = PictureInput(target, Look(pad=0))
    picture.fill(noise_frame(96, 64), Letterbox.within(96, 64, 96, 64))
    for width, height in ((48, 64), (96, 32)):
        picture.fill(plain_frame(width, height), Letterbox.within(width, height, 96, 64))
        assert (target[:, height:] == 0).all()
        assert (target[:, :, width:] == 0).all()
        assert (target[:, :height, :width] == target[:, :1, :1]).all()


@pytest.mark.parametrize("size", [(96, 64), (640, 480), (200, 500)])
def test_filling_takes_no_new_memory(size: tuple[int, int]) -> None:
    target = np.zeros((3, 320, 320), np.float32)
    picture, frame = PictureInput(target, Look()), noise_frame(*size)
    letterbox = Letterbox.within(*size, 320, 320)
    picture.fill(frame, letterbox)
    tracemalloc.start()
    try:
        picture.fill(frame, letterbox)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000, "a single plane of it is 102,400 bytes"


@given(st.integers(16, 3000), st.integers(16, 3000), st.integers(32, 700), st.integers(32, 700), st.booleans())
def test_a_network_of_one_size_holds_the_whole_frame(
    width: int, height: int, net_w: int, net_h: int, stretched: bool
) -> None:
    box = Letterbox.within(width, height, net_w, net_h, stretched=stretched)
    assert (box.net_w, box.net_h) == (net_w, net_h)
    assert box.inner_w <= net_w
    assert box.inner_h <= net_h
    assert box.inner_w % 2 == box.inner_h % 2 == 0
    fills = net_w - box.inner_w <= 2, net_h - box.inner_h <= 2
    assert all(fills) if stretched else any(fills)
    corner = box.to_frame(np.array([[0, 0, box.inner_w, box.inner_h]], np.float32))
    np.testing.assert_allclose(corner, [[0, 0, width, height]], rtol=1e-5)


def test_a_stretched_box_comes_back_in_the_frames_proportions() -> None:
    box = Letterbox.within(1280, 720, 320, 240, stretched=True)
    np.testing.assert_allclose(box.to_frame(np.array([[80, 60, 160, 120]], np.float32)), [[320, 180, 640, 360]])

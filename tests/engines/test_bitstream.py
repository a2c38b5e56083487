"""What is read in encoded video before it is decoded, against what real encoders write."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.bitstream import Refusable, is_key, nal_units, picture_size

LIBRARIES = {"h264": "libx264", "vp8": "libvpx"}


@cache
def encoded(
    codec: str, width: int, height: int, pix_fmt: str = "yuv420p", **options: str
) -> tuple[tuple[bytes, bool], ...]:
    """Five frames and whether each is a key frame; the first and the fourth are."""
    encoder: Any = av.CodecContext.create(LIBRARIES[codec], "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = width, height, pix_fmt, 30
    encoder.options = {"deadline": "realtime"} if codec == "vp8" else {"tune": "zerolatency", **options}
    packets = []
    for number in range(5):
        grey = np.full((height, width, 3), 40 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format=pix_fmt)
        frame.pts = number
        if number == 3:
            frame.pict_type = av.video.frame.PictureType.I
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple((bytes(packet), packet.is_keyframe) for packet in packets)


SIZES = [(16, 16), (160, 120), (162, 122), (318, 238), (1920, 1080)]


@pytest.mark.parametrize("codec", ["h264", "vp8"])
@pytest.mark.parametrize("size", [*SIZES, (161, 121)], ids=str)
def test_key_frames_and_their_sizes(codec: str, size: tuple[int, int]) -> None:
    if codec == "h264" and size[0] % 2:
        pytest.skip("libx264 takes no odd sizes in 4:2:0")
    frames = encoded(codec, *size)
    assert len(frames) == 5
    assert [is_key(codec, data) for data, _ in frames] == [key for _, key in frames]
    assert frames[0][1]
    assert picture_size(codec, frames[0][0]) == size


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
@pytest.mark.parametrize("more", [{}, {"x264-params": "interlaced=1"}], ids=["progressive", "interlaced"])
def test_profiles(profile: str, more: dict[str, str]) -> None:
    if more and profile == "baseline":
        pytest.skip("Baseline has no interlaced video")
    assert picture_size("h264", encoded("h264", 320, 232, profile=profile, **more)[0][0]) == (320, 232)


@pytest.mark.parametrize(("pix_fmt", "why"), [("yuv422p", "4:2:0"), ("yuv444p", "4:2:0"), ("yuv420p10le", "8-bit")])
def test_other_formats_are_refused(pix_fmt: str, why: str) -> None:
    with pytest.raises(Refusable, match=why):
        picture_size("h264", encoded("h264", 160, 120, pix_fmt)[0][0])


def test_more_reference_frames_than_are_kept_are_refused() -> None:
    with pytest.raises(Refusable, match="reference"):
        picture_size("h264", encoded("h264", 160, 120, profile="high", **{"x264-params": "ref=8"})[0][0])


def test_a_frame_without_parameter_sets_has_no_size() -> None:
    assert picture_size("h264", encoded("h264", 160, 120)[1][0]) is None
    assert picture_size("h264", b"") is None
    assert not is_key("h264", b"")
    assert not is_key("vp8", b"")


def test_the_largest_of_several_sizes_counts() -> None:
    small, large = (encoded("h264", *size)[0][0] for size in ((160, 120), (1920, 1080)))
    assert picture_size("h264", small + large) == picture_size("h264", large + small) == (1920, 1080)


def test_every_header_that_ends_early_is_refused_and_none_is_taken_for_another_size() -> None:
    data = encoded("h264", 318, 238)[0][0]
    at = next(at for kind, at in nal_units(data) if kind == 7)
    refused = 0
    for end in range(at + 1, at + 8):
        try:
            assert picture_size("h264", data[:end]) == (318, 238)
        except Refusable:
            refused += 1
    assert refused > 3
    for end in range(10):
        with pytest.raises(Refusable):
            picture_size("vp8", encoded("vp8", 160, 120)[0][0][:end])


@given(st.binary(max_size=300), st.sampled_from(["h264", "vp8"]), st.integers(0, 60))
def test_nothing_but_a_refusal_comes_of_garbage(garbage: bytes, codec: str, at: int) -> None:
    real = encoded(codec, 160, 120)[0][0]
    for data in (garbage, b"\0\0\1\x67" + garbage, real[:at] + garbage, real[:at] + garbage + real[at:]):
        is_key(codec, data)
        with contextlib.suppress(Refusable):
            size = picture_size(codec, data)
            assert size is None or min(size) >= 0

"""Live codecs: what leaves an encoder is what browsers take, at once; what a decoder takes is bounded, and damage passes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from engines.bitstream import IDR, SLICE, SPS, nal_units
from engines.codecs.decode import DecodeError, VideoDecoder, to_i420
from engines.codecs.encode import Encoded, Encoder
from engines.frame import RTP_CLOCK_HZ, Frame, Picture

PPS = 8
WIDTH, HEIGHT, FPS = 320, 240, 30
TICKS = RTP_CLOCK_HZ // FPS
CODECS = ("h264", "vp8")


def moving(count: int, width: int = WIDTH, height: int = HEIGHT, busy: bool = False) -> Iterator[Picture]:
    """A bright bar that wanders over a ramp; over noise when `busy`, which costs bits."""
    random = np.random.default_rng(0)
    ramp = np.linspace(40, 200, width).astype(np.uint8)
    for n in range(count):
        picture = Picture(width, height)
        picture.y[:] = random.integers(110, 150, (height, width), np.uint8) if busy else ramp
        picture.u[:], picture.v[:] = 100, 150
        picture.y[:, 4 * n % width : 4 * n % width + 16] = 230
        yield picture


def encode(encoder: Encoder, count: int, keys: tuple[int, ...] = (0,), busy: bool = False) -> list[Encoded]:
    """One encoded frame a picture, or the test fails: nothing may wait inside."""
    out = []
    for n, picture in enumerate(moving(count, busy=busy)):
        (unit,) = encoder.encode(picture.video_frame, n * TICKS, n in keys)
        out.append(unit)
    return out


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def raw_h264(picture: av.VideoFrame, params: str = "") -> bytes:
    """One key frame of whatever format and size, as a foreign publisher may send it."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1, FPS)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params}
    return b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)]))


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_encoded_is_decoded_one_for_one_and_looks_the_same(codec: str) -> None:
    encoder, decoder = Encoder(codec, WIDTH, HEIGHT), VideoDecoder(codec)
    for n, picture in enumerate(moving(20)):
        sent = picture.y.copy(), picture.u.copy(), picture.v.copy()
        (unit,) = encoder.encode(picture.video_frame, n * TICKS, n == 0)
        picture.fill(0)  # the encoder keeps no hold of it
        (frame,) = decoder.decode(unit.data, unit.pts_90k, 5)
        assert (frame.width, frame.height, frame.rtp_time, frame.arrival_ns) == (WIDTH, HEIGHT, n * TICKS, 5)
        assert all(psnr(plane, was) > 35 for plane, was in zip((frame.y, frame.u, frame.v), sent, strict=True))
        assert not frame.y.flags.writeable
    encoder.close()


@pytest.mark.parametrize("codec", CODECS)
def test_keys_come_when_asked_for_and_only_then_and_decoding_can_begin_at_each(codec: str) -> None:
    units = encode(Encoder(codec, WIDTH, HEIGHT), 70, keys=(0, 7, 31))
    assert [n for n, unit in enumerate(units) if unit.key] == [0, 7, 31]
    for key in (7, 31):
        late = VideoDecoder(codec)
        assert len(late.decode(units[key].data, 0, 0)) == 1
        assert len(late.decode(units[key + 1].data, 0, 0)) == 1


def test_an_h264_key_is_an_idr_with_its_parameter_sets_in_constrained_baseline() -> None:
    units = encode(Encoder("h264", WIDTH, HEIGHT), 40, keys=(0, 20))
    for unit in (units[0], units[20]):
        kinds = [kind for kind, _ in nal_units(unit.data)]
        assert kinds.index(SPS) < kinds.index(PPS) < kinds.index(IDR)
        at = next(at for kind, at in nal_units(unit.data) if kind == SPS)
        profile, constraints = unit.data[at + 1], unit.data[at + 2]
        assert profile == 0x42
        assert constraints & 0xC0 == 0xC0  # constrained baseline: baseline's and main's rules both hold
    for n, unit in enumerate(units):
        if n not in (0, 20):
            assert {kind for kind, _ in nal_units(unit.data)} == {SLICE}


def test_frames_leave_in_the_order_they_came_so_there_are_no_b_frames() -> None:
    units = encode(Encoder("h264", WIDTH, HEIGHT, preset="veryfast"), 30)
    assert [unit.pts_90k for unit in units] == [n * TICKS for n in range(30)]
    decoder = VideoDecoder("h264")
    kinds = [PictureType(decoder.decode(unit.data, 0, 0)[0].owner.pict_type) for unit in units]
    assert set(kinds) == {PictureType.I, PictureType.P}


@pytest.mark.parametrize("codec", CODECS)
def test_a_new_bit_rate_takes_effect_within_a_second_and_up_again(codec: str) -> None:
    encoder = Encoder(codec, WIDTH, HEIGHT, bit_rate=2_000_000)
    sizes: list[int] = []
    keys: list[bool] = []
    pictures = list(moving(30, busy=True))

    def seconds(count: int, bit_rate: int) -> float:
        """Mbit/s of the last second."""
        encoder.bit_rate = bit_rate
        for _ in range(count * FPS):
            n = len(sizes)
            (unit,) = encoder.encode(pictures[n % len(pictures)].video_frame, n * TICKS, n == 0)
            keys.append(unit.key)
            sizes.append(len(unit.data))
        return sum(sizes[-FPS:]) * 8 / 1e6

    full = seconds(3, 2_000_000)
    assert seconds(2, 500_000) < 0.5 * full
    assert encoder.bit_rate == 500_000
    assert seconds(2, 2_000_000) > 0.7 * full
    encoder.bit_rate = 9_000_000
    assert encoder.bit_rate == 2_000_000  # never over what it was opened with
    assert sum(keys) == (1 if codec == "h264" else 3)  # VP8 begins anew at each change


@pytest.mark.parametrize("size", [(321, 240), (320, 241)])
@pytest.mark.parametrize("codec", CODECS)
def test_odd_sizes_are_refused_in_words(codec: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be even"):
        Encoder(codec, *size)


def grey(format_: str, level: int, width: int = 64, height: int = 48) -> av.VideoFrame:
    """One luma level, in the format's own range and depth, neutral colour."""
    frame = av.VideoFrame(width, height, format_)
    deep = format_.endswith("10le")
    for n, plane in enumerate(frame.planes):
        values = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        values[:] = (level if n == 0 else 128) * (4 if deep else 1)
    return frame


@pytest.mark.parametrize(
    ("format_", "full_range", "level", "expected"),
    [
        ("yuvj420p", True, 255, 235),
        ("yuvj420p", True, 0, 16),
        ("yuv420p", True, 255, 235),
        ("yuvj422p", True, 255, 235),
        ("yuv422p", False, 180, 180),
        ("yuv444p", False, 60, 60),
        ("yuv420p10le", False, 180, 180),
        ("yuv422p10le", False, 60, 60),
    ],
)
def test_every_format_becomes_limited_range_i420(format_: str, full_range: bool, level: int, expected: int) -> None:
    source = grey(format_, level)
    source.color_range = 2 if full_range else 1
    frame = Frame.from_video_frame(to_i420(source), 0, 0)
    assert frame.y.shape == (48, 64)
    assert frame.u.shape == frame.v.shape == (24, 32)
    for plane, value in ((frame.y, expected), (frame.u, 128), (frame.v, 128)):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_full_range_video_on_the_wire_is_decoded_to_limited_range() -> None:
    unit = raw_h264(grey("yuvj420p", 255), "qp=1:fullrange=on")
    (frame,) = VideoDecoder("h264").decode(unit, 0, 0)
    assert np.abs(frame.y.astype(int) - 235).max() <= 3


@pytest.mark.parametrize("codec", CODECS)
def test_damage_is_an_error_and_decoding_goes_on_at_the_next_key(codec: str) -> None:
    units = encode(Encoder(codec, WIDTH, HEIGHT), 12, keys=(0, 8))
    decoder = VideoDecoder(codec)
    decoder.decode(units[0].data, 0, 0)
    random = np.random.default_rng(1)
    with pytest.raises(DecodeError):
        decoder.decode(b"\x00\x00\x00\x01\x67" + random.bytes(300), 0, 0)
    for unit in units[8:]:
        (frame,) = decoder.decode(unit.data, unit.pts_90k, 0)
    last = list(moving(12))[-1]
    assert psnr(frame.y, last.y) > 35


@pytest.mark.parametrize("codec", CODECS)
def test_a_picture_over_the_limit_is_refused(codec: str) -> None:
    units = encode(Encoder(codec, WIDTH, HEIGHT), 2)
    with pytest.raises(DecodeError):
        VideoDecoder(codec, max_pixels=WIDTH * HEIGHT // 2).decode(units[0].data, 0, 0)
    assert VideoDecoder(codec, max_pixels=WIDTH * HEIGHT).decode(units[0].data, 0, 0)


def peak_mib() -> float:
    text = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(text.split()[1]) / 1024


def test_a_huge_picture_cropped_to_a_small_one_is_refused_before_memory_is_taken() -> None:
    # 2560 × 2560 in full, 320 × 240 of it to be seen: three of them would be 28 MiB and more.
    huge = raw_h264(av.VideoFrame(2560, 2560, "yuv420p"), "crop-rect=0,0,2240,2320")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins anew
    before = peak_mib()
    with pytest.raises(DecodeError, match="cut off"):
        VideoDecoder("h264").decode(huge, 0, 0)
    assert peak_mib() - before < 4


def test_a_second_parameter_set_hides_no_large_picture() -> None:
    small, large = raw_h264(av.VideoFrame(320, 240, "yuv420p")), raw_h264(av.VideoFrame(2560, 2560, "yuv420p"))
    end_of_sps = small.index(b"\x00\x00\x01", small.index(b"\x00\x00\x01\x67") + 4)
    with pytest.raises(DecodeError, match="2560x2560 px is too large"):
        VideoDecoder("h264").decode(small[:end_of_sps] + large, 0, 0)


@pytest.mark.parametrize("codec", CODECS)
def test_more_pictures_than_it_was_opened_for_do_not_take_more_bits(codec: str) -> None:
    encoder = Encoder(codec, WIDTH, HEIGHT, fps=FPS / 2, bit_rate=1_000_000)
    encoder.fps = FPS
    pictures, bits = list(moving(30, busy=True)), 0
    for n in range(4 * FPS):
        (unit,) = encoder.encode(pictures[n % len(pictures)].video_frame, n * TICKS, n == 0)
        bits += 8 * len(unit.data) * (n >= 2 * FPS)
    assert bits / 2 < 1_250_000

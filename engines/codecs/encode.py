"""Encode one live feed: every picture leaves at once, key frames only when asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
from av.video.frame import PictureType

from engines.codecs.decode import Codec
from engines.frame import RTP_CLOCK_HZ

GOP_FRAMES: Final = 3000
BUFFER_S: Final = 0.25
REOPEN_SHARE: Final = 7
"""A VP8 encoder is opened anew when its bit rate is off by more than one part in this many."""
VP8_OPTIONS: Final = {
    "deadline": "realtime",
    "cpu-used": "8",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
    "error-resilient": "0",
    "static-thresh": "100",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded frame: Annex B with SPS and PPS before each key frame, or VP8."""

    data: bytes
    key: bool
    pts_90k: int


class Encoder:
    """H.264 constrained baseline (x264, no B-frames) or VP8 (libvpx, realtime), one thread, no delay.

    `width` and `height` must be even. `bit_rate` (bit/s) is the highest; it may be set lower, and up again, at any time.
    H.264 follows it within a second. FFmpeg's VP8 encoder cannot be told a new rate, so it is opened anew, with a key
    frame, when the rate differs by a seventh, once a second at most.
    """

    def __init__(
        self,
        codec: Codec,
        width: int,
        height: int,
        fps: float = 30,
        bit_rate: int = 1_500_000,
        preset: str = "ultrafast",
    ) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"cannot encode {width}x{height}: both sides must be even")
        self._codec, self._size, self._fps, self._preset = codec, (width, height), fps, preset
        self._highest = self._bit_rate = bit_rate
        self._context = self._open()

    def _open(self) -> av.VideoCodecContext:
        context = av.CodecContext.create("libx264" if self._codec == "h264" else "libvpx", "w")
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, RTP_CLOCK_HZ)
        context.framerate = Fraction(round(self._fps * 1000), 1000)
        context.bit_rate = self._bit_rate
        context.gop_size = GOP_FRAMES
        context.thread_count = 1
        # x264 follows a new bit rate within a second, without a key frame, when these are FFmpeg's options (not x264-params)
        # and the highest rate is the one it was opened with; with a higher one it takes ten times as long.
        bounds = {"maxrate": str(self._bit_rate), "bufsize": str(int(self._bit_rate * BUFFER_S))}
        context.options = bounds | (self._h264_options() if self._codec == "h264" else VP8_OPTIONS)
        context.open()
        self._opened_bit_rate, self._opened_fps = self._bit_rate, self._fps
        self._opened_pts: int | None = None
        return context

    def _h264_options(self) -> dict[str, str]:
        level = _level(*self._size, self._fps)
        return {
            "preset": self._preset,
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "x264-params": f"repeat-headers=1:scenecut=0:sliced-threads=0:bframes=0:level={level}",
        }

    @property
    def bit_rate(self) -> int:
        return self._bit_rate

    @bit_rate.setter
    def bit_rate(self, bit_rate: int) -> None:
        self._bit_rate = min(bit_rate, self._highest)
        self._tell_rate()

    @property
    def fps(self) -> float:
        """Pictures that really come in a second."""
        return self._fps

    @fps.setter
    def fps(self, fps: float) -> None:
        self._fps = fps
        self._tell_rate()

    def _tell_rate(self) -> None:
        """x264 with no delay counts pictures, not their times: where more come than it was opened for, each gets less."""
        if self._codec == "h264":
            self._context.bit_rate = round(self._bit_rate * min(1.0, self._opened_fps / self._fps))

    def encode(self, picture: av.VideoFrame, pts_90k: int, key: bool) -> list[Encoded]:
        """Encode one picture; `pts_90k` must rise. The encoder keeps no reference to the picture afterwards."""
        if self._codec == "vp8" and self._opened_pts is not None:
            off = abs(self._bit_rate - self._opened_bit_rate)
            if off * REOPEN_SHARE > self._opened_bit_rate and pts_90k - self._opened_pts >= RTP_CLOCK_HZ:
                self._context = self._open()
        if self._opened_pts is None:
            self._opened_pts = pts_90k
        picture.pts = pts_90k
        picture.time_base = Fraction(1, RTP_CLOCK_HZ)
        picture.pict_type = PictureType.I if key else PictureType.NONE
        packets = self._context.encode(picture)
        return [Encoded(bytes(packet), packet.is_keyframe, int(packet.pts or pts_90k)) for packet in packets]

    def close(self) -> None:
        """Let go of the encoder's memory."""
        del self._context


LEVELS: Final = ((31, 3600, 108000), (32, 5120, 216000), (40, 8192, 245760), (42, 8704, 522240), (51, 36864, 983040),
                 (52, 36864, 2073600))  # fmt: skip
"""H.264 Table A-1 from 3.1 on: level · 10, macroblocks a frame, macroblocks a second."""


def _level(width: int, height: int, fps: float) -> int:
    """The lowest H.264 level for this size and rate, 3.1 at least (what browsers offer)."""
    blocks = math.ceil(width / 16) * math.ceil(height / 16)
    for level, frame_blocks, second_blocks in LEVELS:
        if blocks <= frame_blocks and blocks * fps <= second_blocks:
            return level
    return LEVELS[-1][0]

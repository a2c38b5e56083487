"""A source's pictures as access units: undecoded where viewers and the studio can take them, decoded and encoded where not."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any, Final

import av

from engines.bitstream import MAX_PIXELS, Refusable, has_headers, picture_size
from engines.codecs.decode import Codec
from engines.codecs.encode import Encoder
from engines.codecs.files import turn_upright
from engines.frame import RTP_CLOCK_HZ
from server.pull.clock import Clock, time_of

LONGEST_PX: Final = 1920
LARGEST_SOURCE_PX: Final = 4096 * 2304
USUAL_FPS: Final = 30
MAX_FPS: Final = 240
HD_PX: Final = 1280 * 720
BIT_RATE, HD_BIT_RATE = 2_500_000, 5_000_000

Unit = tuple[bytes, float, bool]
"""Data (Annex B or VP8), time in s on the clock's line, and whether it is a key frame."""


class CannotPass(Exception):
    """What comes now must be decoded and encoded, from `packet` on if there is one."""

    def __init__(self, packet: Any = None) -> None:
        self.packet = packet


def step_of(stream: Any) -> float:
    """Seconds from one picture to the next, by and large."""
    rate = stream.average_rate
    fps = rate.numerator / rate.denominator if rate else USUAL_FPS
    return 1 / fps if 1 <= fps <= MAX_FPS else 1 / USUAL_FPS


def copy_of(packet: Any) -> Any:
    """A packet with the same data and times."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy


class Passing:
    """H.264 without B-frames, and VP8, as they are; H.264 in Annex B with its parameter sets before each key frame."""

    def __init__(self, stream: Any, clock: Clock) -> None:
        """
        Raises:
            CannotPass: the video is of another kind.
        """
        context = stream.codec_context
        if context.name not in ("h264", "vp8") or context.has_b_frames:
            raise CannotPass
        self.codec: Codec = context.name
        if context.width * context.height > MAX_PIXELS:
            raise CannotPass
        self._clock, self._step_s = clock, step_of(stream)
        self._filter = av.BitStreamFilterContext("h264_mp4toannexb", stream) if self.codec == "h264" else None
        self._headers = bytes(context.extradata or b"") if self.codec == "h264" else b""
        self._last_s = -1e9

    def take(self, packet: Any) -> Iterator[Unit]:
        """
        Raises:
            CannotPass: there are B-frames after all, or a key frame that the door would refuse.
        """
        if not packet.size:
            return
        at_s = time_of(packet)
        if at_s is not None and at_s < self._last_s and not packet.is_keyframe:
            raise CannotPass(packet)  # only to a key frame a clock that is set anew goes back
        self._last_s = self._last_s if at_s is None else at_s
        kept = copy_of(packet) if packet.is_keyframe else None
        for unit in [packet] if self._filter is None else self._filter.filter(packet):  # which empties the packet
            data = bytes(unit) if kept is None else self._checked(bytes(unit), kept)
            yield data, self._clock.place(at_s, self._step_s), kept is not None

    def _checked(self, data: bytes, packet: Any) -> bytes:
        """A key frame with its parameter sets, which RTSP sources may send only once."""
        if self.codec == "h264" and not has_headers("h264", data) and self._headers.startswith(b"\0\0"):
            data = self._headers + data
        try:
            size = picture_size(self.codec, data)
        except Refusable:
            raise CannotPass(packet) from None
        if size is not None and size[0] * size[1] > MAX_PIXELS:
            raise CannotPass(packet)
        return data


class Recoding:
    """Anything else: decoded, made smaller where it is too large, and encoded with key frames on demand."""

    def __init__(self, stream: Any, clock: Clock, codec: Codec, key_wanted: Event) -> None:
        self._clock, self._step_s, self._key_wanted = clock, step_of(stream), key_wanted
        self._codec: Codec = codec
        self._decoder = stream.codec_context
        self._decoder.options = {"max_pixels": str(LARGEST_SOURCE_PX)}
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._last = -1
        self.broken = 0
        """Packets that could not be decoded."""

    def take(self, packet: Any) -> Iterator[Unit]:
        try:
            pictures = self._decoder.decode(packet)
        except av.FFmpegError:  # what comes before the first key frame, or was damaged on the way
            self.broken += 1
            return
        for picture in pictures:
            at_s = self._clock.place(picture.time, self._step_s)
            yield from self._encode(picture, at_s)

    def _encode(self, picture: av.VideoFrame, at_s: float) -> Iterator[Unit]:
        planar = turn_upright(picture)
        size = fitting(planar.width, planar.height)
        if (planar.width, planar.height) != size:
            planar = planar.reformat(*size)
        if self._encoder is None or size != self._size:
            bit_rate = BIT_RATE if size[0] * size[1] <= HD_PX else HD_BIT_RATE
            self._encoder, self._size = Encoder(self._codec, *size, fps=1 / self._step_s, bit_rate=bit_rate), size
            self._key_wanted.set()
        key = self._key_wanted.is_set()
        self._key_wanted.clear()
        self._last = max(round(at_s * RTP_CLOCK_HZ), self._last + 1)
        for encoded in self._encoder.encode(planar, self._last, key):
            yield encoded.data, encoded.pts_90k / RTP_CLOCK_HZ, encoded.key


def fitting(width: int, height: int) -> tuple[int, int]:
    """An even size of the same shape: the picture's own, or where that is too large one with 1920 at its longer side."""
    too_large = width * height > MAX_PIXELS
    scale = min(LONGEST_PX / max(width, height), (MAX_PIXELS / (width * height)) ** 0.5) if too_large else 1.0
    return int(width * scale) // 2 * 2, int(height * scale) // 2 * 2

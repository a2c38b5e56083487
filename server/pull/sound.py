"""A source's sound as Opus."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av

from server.link import OPUS_CLOCK_HZ
from server.pull.clock import time_of

OPUS_SAMPLES: Final = 960
MAX_DRIFT_S: Final = 0.1
"""Sound whose times are off by more than this from the samples counted has a hole, or began anew."""


class Opus:
    """Opus packets untouched; other sound encoded, 20 ms a packet."""

    def __init__(self, stream: Any) -> None:
        self._untouched = stream.codec_context.name == "opus"
        if self._untouched:
            return
        self._encoder = av.CodecContext.create("libopus", "w")
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = OPUS_CLOCK_HZ, "stereo", "s16"
        self._encoder.time_base = Fraction(1, OPUS_CLOCK_HZ)
        self._resampler = av.AudioResampler("s16", "stereo", OPUS_CLOCK_HZ, OPUS_SAMPLES)
        self._samples = 0
        self._start_s = 0.0
        self._taken_s: float | None = None

    def take(self, packet: Any) -> Iterator[tuple[bytes, float]]:
        """Payloads and their times in s of the source's clock."""
        if self._untouched:
            at_s = time_of(packet)
            if packet.size and at_s is not None:
                yield bytes(packet), at_s
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:  # damaged on the way
            return
        for frame in frames:
            self._follow(frame)
            frame.pts = None
            for part in self._resampler.resample(frame):
                part.pts, part.time_base = self._samples, Fraction(1, OPUS_CLOCK_HZ)
                self._samples += part.samples
                for encoded in self._encoder.encode(part):
                    yield bytes(encoded), self._start_s + (encoded.pts or 0) / OPUS_CLOCK_HZ

    def _follow(self, frame: Any) -> None:
        """Keep to the source's times, which samples alone do not after a hole."""
        at_s = frame.time
        if at_s is not None and (self._taken_s is None or abs(at_s - self._taken_s) > MAX_DRIFT_S):
            self._start_s += at_s - (self._taken_s or 0.0)
            self._taken_s = at_s
        if self._taken_s is not None:
            self._taken_s += frame.samples / frame.sample_rate

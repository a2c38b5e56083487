"""Write H.264 in MP4 that plays in browsers: written aside, renamed when whole."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final

import av

from engines.codecs.files import FORMATS
from engines.frame import RTP_CLOCK_HZ, Picture

TIME_BASE: Final = Fraction(1, RTP_CLOCK_HZ)
MP4_AUDIO: Final = ("aac", "mp3", "opus", "ac3", "eac3", "alac", "flac")
"""Copied as they are; other sound is encoded to AAC, mono or stereo: files need not name their channels."""
AAC_HZ: Final = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)


class Audio:
    """The first audio stream of a file, as packets for an MP4; `stream` is None when there is none."""

    def __init__(self, path: Path, start_s: float) -> None:
        """`start_s`: the time in the file that becomes 0; what lies before it is left out."""
        self._container = av.open(str(path), options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
        self.stream = self._container.streams.audio[0] if self._container.streams.audio else None
        self.copied = self.stream is not None and self.stream.codec_context.name in MP4_AUDIO
        self._start_s = start_s

    def packets(self, target: av.AudioStream) -> Iterator[tuple[float, av.Packet]]:
        """Time in s and packet, in order."""
        if self.copied:
            yield from self._copy(target)
        else:
            yield from self._encode(target)

    def _copy(self, target: av.AudioStream) -> Iterator[tuple[float, av.Packet]]:
        for packet in self._container.demux(self.stream):
            if packet.pts is None or packet.dts is None or not packet.time_base:
                continue
            time_s = float(packet.pts * packet.time_base) - self._start_s
            if time_s < 0:
                continue
            shift = round(self._start_s / float(packet.time_base))
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = target
            yield time_s, packet

    def _encode(self, target: av.AudioStream) -> Iterator[tuple[float, av.Packet]]:
        resampler = av.AudioResampler("fltp", target.layout, target.rate, 1024)
        done = 0
        for frame in self._container.decode(self.stream):
            if not isinstance(frame, av.AudioFrame) or (frame.time is not None and frame.time < self._start_s):
                continue
            frame.pts = None
            for part in resampler.resample(frame):
                part.pts, part.time_base = done, Fraction(1, target.rate)
                done += part.samples
                for packet in target.encode(part):
                    yield part.pts / target.rate, packet
        for packet in target.encode(None):
            yield done / target.rate, packet

    def close(self) -> None:
        self._container.close()


class Mp4Writer:
    """One H.264 video, optionally with a source's sound. No tag, date or place of the source comes along.

    Use as a context manager: leaving it normally completes and renames the file, an exception removes it.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        fps: Fraction,
        preset: str,
        crf: int,
        sample_aspect_ratio: Fraction = Fraction(1),
        audio: Audio | None = None,
    ) -> None:
        self.path = path
        self.complete = False
        """Whether the file has its name."""
        self._aside = path.with_name(f".{path.name}.part")
        self._box = av.open(str(self._aside), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._box.add_stream("libx264", rate=fps, options={"preset": preset, "crf": str(crf)})
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.time_base = TIME_BASE
        if sample_aspect_ratio != 1:
            self._video.codec_context.sample_aspect_ratio = sample_aspect_ratio
        self._sound: Iterator[tuple[float, av.Packet]] = iter(())
        self._waiting: tuple[float, av.Packet] | None = None
        if audio is not None and audio.stream is not None:
            if audio.copied:
                target = self._box.add_stream_from_template(audio.stream)
            else:
                rate = audio.stream.rate if audio.stream.rate in AAC_HZ else AAC_HZ[0]
                target = self._box.add_stream(
                    "aac", rate=rate, layout="mono" if audio.stream.channels == 1 else "stereo"
                )
            target.metadata.clear()
            self._sound = audio.packets(target)
            self._waiting = next(self._sound, None)

    def write(self, picture: Picture, rtp_time: int) -> None:
        """Add a picture at `rtp_time` (90 kHz, rising, 0 is the video's start); the encoder keeps no hold of it."""
        frame = picture.video_frame
        frame.pts, frame.time_base = rtp_time, TIME_BASE
        frame.pict_type = av.video.frame.PictureType.NONE
        self._box.mux(self._video.encode(frame))
        self._interleave(rtp_time / RTP_CLOCK_HZ)

    def _interleave(self, until_s: float) -> None:
        while self._waiting is not None and self._waiting[0] <= until_s:
            self._box.mux(self._waiting[1])
            self._waiting = next(self._sound, None)

    def close(self) -> None:
        """Complete the file and give it its name, or leave nothing behind."""
        try:
            self._box.mux(self._video.encode(None))
            self._interleave(float("inf"))
            self._box.close()
            self._aside.replace(self.path)
            self.complete = True
        finally:
            self._aside.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._box.close()
        self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

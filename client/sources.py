"""What `fancam publish` sends: a file or a webcam as access units in real time, undecoded where that is possible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any, Final

import av

from engines.codecs.decode import to_i420
from engines.codecs.encode import Encoder
from engines.codecs.files import FORMATS
from engines.frame import RTP_CLOCK_HZ

OPUS_HZ: Final = 48_000
OPUS_SAMPLES: Final = 960
LARGEST: Final = 1920 * 1088
USUAL_FPS: Final = 30

OnVideo = Callable[[bytes, int, bool], None]
"""Gets data, RTP time (90 kHz) and whether it is a key frame."""
OnAudio = Callable[[bytes, int], None]
"""Gets an Opus payload and its RTP time (48 kHz)."""


class SourceError(Exception):
    """A source that cannot be published; one line."""


class Source:
    """An open file or webcam. `run` it in a thread of its own."""

    def __init__(self, name: str, loop: bool) -> None:
        """`name`: a path, or a webcam's number.

        Raises:
            SourceError: it cannot be opened, or holds no video.
        """
        self.name, self._loop = name, loop
        self.is_camera = name.isdecimal()
        self.stopped = Event()
        self._key_wanted = Event()
        with self._open() as container:
            if not container.streams.video:
                raise SourceError(f"{name} holds no video stream")
            video = container.streams.video[0]
            context = video.codec_context
            self.passes = not self.is_camera and context.name == "h264" and not context.has_b_frames
            """Whether the video goes out undecoded."""
            if not self.passes and context.width * context.height > LARGEST:
                raise SourceError(f"{name} is {context.width}x{context.height}: at most 1920x1088 can be published")
            self.has_audio = bool(container.streams.audio)

    def want_key(self) -> None:
        """The server needs a key frame; one that passes undecoded has its own in its own time."""
        self._key_wanted.set()

    def run(self, on_video: OnVideo, on_audio: OnAudio) -> None:
        """Send in real time until the end, or until `stopped`; from the start again when it loops."""
        start_s = time.monotonic()
        done_s = 0.0
        while not self.stopped.is_set():
            with self._open() as container:
                done_s = self._once(container, start_s, done_s, on_video, on_audio)
            if not self._loop or self.is_camera:
                return

    def _open(self) -> Any:
        try:
            if self.is_camera:
                return av.open(
                    f"/dev/video{self.name}", format="v4l2", options={"framerate": "30", "video_size": "640x480"}
                )
            if not Path(self.name).is_file():
                raise SourceError(f"{self.name}: no such file")
            return av.open(self.name, options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            what = f"webcam {self.name}" if self.is_camera else self.name
            raise SourceError(f"{what} cannot be opened: {reason}") from error

    def _once(self, container: Any, start_s: float, offset_s: float, on_video: OnVideo, on_audio: OnAudio) -> float:
        """Send the source once, its times moved on by `offset_s`; returns the time at which the next round begins."""
        video = container.streams.video[0]
        streams = [video, *container.streams.audio[:1]]
        step_s = float(1 / (video.average_rate or USUAL_FPS))
        pictures = _passing(video) if self.passes else _Recoder(self._key_wanted)
        sound = _Opus(container.streams.audio[0]) if container.streams.audio else None
        first_s: float | None = None
        end_s = offset_s
        for packet in container.demux(streams):
            if self.stopped.is_set():
                break
            if packet.stream.type == "audio" and sound is not None:
                for payload, at_s in sound.take(packet):
                    if first_s is not None and at_s >= first_s:
                        on_audio(payload, round((at_s - first_s + offset_s) * OPUS_HZ))
                continue
            for data, at_s, key in pictures(packet):
                first_s = at_s if first_s is None else first_s
                due_s = at_s - first_s + offset_s
                if not self.is_camera:
                    self.stopped.wait(max(0.0, start_s + due_s - time.monotonic()))
                on_video(data, round(due_s * RTP_CLOCK_HZ), key)
                end_s = max(end_s, due_s + step_s)
        return end_s


Pictures = Callable[[Any], Iterator[tuple[bytes, float, bool]]]


def _passing(stream: Any) -> Pictures:
    """H.264 as it is, in Annex B with its parameter sets before each key frame."""
    bitstream = av.BitStreamFilterContext("h264_mp4toannexb", stream)

    def take(packet: Any) -> Iterator[tuple[bytes, float, bool]]:
        for unit in bitstream.filter(packet if packet.size else None):
            if unit.pts is not None and unit.time_base:
                yield bytes(unit), float(unit.pts * unit.time_base), unit.is_keyframe

    return take


class _Recoder:
    """Anything else, decoded and encoded."""

    def __init__(self, key_wanted: Event) -> None:
        self._key_wanted = key_wanted
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._last = -1

    def __call__(self, packet: Any) -> Iterator[tuple[bytes, float, bool]]:
        for picture in packet.decode():
            at_s = picture.time if picture.time is not None else (self._last + 1) / USUAL_FPS
            pts = max(round(at_s * RTP_CLOCK_HZ), self._last + 1)
            size = picture.width // 2 * 2, picture.height // 2 * 2
            planar = to_i420(picture)
            if (planar.width, planar.height) != size:
                planar = planar.reformat(*size)
            if self._encoder is None or size != self._size:
                rate = packet.stream.average_rate or USUAL_FPS
                self._encoder, self._size = Encoder("h264", *size, fps=float(rate), bit_rate=2_500_000), size
                self._key_wanted.set()
            key = self._key_wanted.is_set()
            self._key_wanted.clear()
            self._last = pts
            for encoded in self._encoder.encode(planar, pts, key):
                yield encoded.data, encoded.pts_90k / RTP_CLOCK_HZ, encoded.key


class _Opus:
    """Opus packets untouched; other sound encoded, 20 ms a packet."""

    def __init__(self, stream: Any) -> None:
        self._untouched = stream.codec_context.name == "opus"
        if self._untouched:
            return
        self._encoder = av.CodecContext.create("libopus", "w")
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = OPUS_HZ, "stereo", "s16"
        self._encoder.time_base = Fraction(1, OPUS_HZ)
        self._resampler = av.AudioResampler("s16", "stereo", OPUS_HZ, OPUS_SAMPLES)
        self._start_s: float | None = None
        self._samples = 0

    def take(self, packet: Any) -> Iterator[tuple[bytes, float]]:
        """Payloads and their times in s of the source's clock."""
        if self._untouched:
            if packet.pts is not None:
                yield bytes(packet), float(packet.pts * packet.time_base)
            return
        for frame in packet.decode():
            if self._start_s is None:
                self._start_s = frame.time or 0.0
            frame.pts = None
            for part in self._resampler.resample(frame):
                part.pts, part.time_base = self._samples, Fraction(1, OPUS_HZ)
                self._samples += part.samples
                for encoded in self._encoder.encode(part):
                    yield bytes(encoded), self._start_s + (encoded.pts or 0) / OPUS_HZ

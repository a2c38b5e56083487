"""Read a video file: every source frame becomes exactly one upright, even-sized I420 frame with a rising time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import av
import numpy as np

from engines.codecs.decode import to_i420
from engines.frame import RTP_CLOCK_HZ, U8, Frame, Picture

FORMATS: Final = "mov,matroska,webm,mpegts,mpeg,avi,flv,gif,h264,hevc,ivf,ogg,asf,mxf,apng,image2,yuv4mpegpipe"
"""Containers that hold their own pictures: lists and scripts, which open other files, are not among them."""
LENIENT: Final[dict[str, Any]] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Tags that are not UTF-8 are no reason to refuse a video; from PyAV 19 on they never are."""
MAX_SIDE_PX: Final = 8192
USUAL_FPS: Final = Fraction(30)


class FileError(Exception):
    """A file that cannot be read as video; one line, with its name."""


class VideoFile:
    """An open video file; iterate over it once for its frames.

    `width` and `height` are those of the frames: upright (the rotation in the file's metadata is applied) and even (the last
    column or row is repeated). `sample_aspect_ratio` of those, 1 when unknown; `fps` the average rate; `duration_s` and
    `frames_expected` as the file says, 0 when it does not; `broken` counts pieces of data that could not be decoded, or that the
    file's index has and a file that is cut short has not. A file that changes size midway is scaled to the size of its first frame.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            FileError: no such file, not a video, or no video stream in it.
        """
        if not path.is_file():
            raise FileError(f"{path}: {'a folder, not a video' if path.is_dir() else 'no such file'}")
        try:
            self._container = av.open(
                str(path),
                options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
                **LENIENT,
            )
        except (av.FFmpegError, ValueError) as error:
            raise FileError(f"{path}: not a video that can be read ({_reason(error)})") from error
        if not self._container.streams.video:
            self._container.close()
            raise FileError(f"{path}: holds no video stream")
        self.path = path
        self.broken = 0
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(MAX_SIDE_PX * MAX_SIDE_PX)}
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = Fraction(rate.numerator, rate.denominator) if rate else USUAL_FPS
        self.duration_s = (self._container.duration or 0) / 1e6
        if self._stream.duration and self._stream.time_base:
            self.duration_s = float(self._stream.duration * self._stream.time_base)
        self.frames_expected = self._stream.frames or round(self.duration_s * self.fps)
        self.start_s = 0.0
        """Time of the first frame in the file's own clock, subtracted from all; known once iteration has begun."""
        self._pictures = self._decode(len(self._stream.index_entries))
        self._first = next(self._pictures, None)
        if self._first is None:
            self._container.close()
            raise FileError(f"{path}: holds no picture that can be decoded")
        upright = _upright(self._first)
        self.width, self.height = (upright.shape[1] + 1) // 2 * 2, (upright.shape[0] + 1) // 2 * 2
        self._source_size = self._first.width, self._first.height
        sar = self._stream.sample_aspect_ratio
        self.sample_aspect_ratio = Fraction(sar.numerator, sar.denominator) if sar else Fraction(1)
        if _turns(self._first) % 2:
            self.sample_aspect_ratio = 1 / self.sample_aspect_ratio

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is None:
            raise ValueError("a VideoFile can be iterated over once")
        clock = _Clock(self.fps)
        rtp_time = clock.ticks(first)
        self.start_s = clock.start_s
        yield self._frame(first, rtp_time)
        for picture in self._pictures:
            yield self._frame(picture, clock.ticks(picture))

    def jump(self, time_s: float) -> Iterator[Frame]:
        """The frames from a key frame at or before that time on, with the times that iterating gives them; none where the file
        does not say them. To be asked once iteration has begun, which it ends.

        Raises:
            av.FFmpegError: the file cannot be jumped in.
        """
        start = (self.start_s + time_s) / float(self._stream.time_base or Fraction(1, RTP_CLOCK_HZ))
        self._container.seek(int(start), stream=self._stream)
        self._pictures = self._decode()
        return self._timed(self._pictures, _Clock(self.fps, self.start_s))

    def _timed(self, pictures: Iterator[av.VideoFrame], clock: _Clock) -> Iterator[Frame]:
        for picture in pictures:
            if picture.time is None:
                return
            yield self._frame(picture, clock.ticks(picture))

    def _decode(self, indexed: int = 0) -> Iterator[av.VideoFrame]:
        """Pictures of all packets, of which there should be as many as are `indexed`; broken data is counted and stepped over."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self.broken += max(0, indexed)
                return
            except av.FFmpegError:
                self.broken += 1
                return
            indexed -= packet.size > 0
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.broken += 1

    def _frame(self, picture: av.VideoFrame, rtp_time: int) -> Frame:
        if (picture.width, picture.height) != self._source_size:
            picture = picture.reformat(*self._source_size, format="yuv420p")
        turns = _turns(picture)
        planar = to_i420(picture)
        frame = Frame.from_video_frame(planar, rtp_time, 0)
        if not turns and (frame.width, frame.height) == (self.width, self.height):
            return frame
        return Frame.from_video_frame(_turned(frame, turns, self.width, self.height), rtp_time, 0)


class _Clock:
    """Times of frames in 90 kHz ticks from the first, always rising, also where the file has none or false ones."""

    def __init__(self, fps: Fraction, start_s: float | None = None) -> None:
        """With `start_s` it goes on somewhere in a file whose clock begins there."""
        self._step = max(1, round(RTP_CLOCK_HZ / fps))
        self._last = None if start_s is None else -1
        self.start_s = start_s or 0.0

    def ticks(self, picture: av.VideoFrame) -> int:
        time_s = picture.time
        if self._last is None:
            self.start_s = time_s or 0.0
            self._last = 0
        elif time_s is None:
            self._last += self._step
        else:
            self._last = max(round((time_s - self.start_s) * RTP_CLOCK_HZ), self._last + 1)
        return self._last


def turn_upright(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as I420 with its rotation applied; one that is turned comes out with even sides."""
    planar, turns = to_i420(picture), _turns(picture)
    if not turns:
        return planar
    frame = Frame.from_video_frame(planar, 0, 0)
    height, width = _upright(picture).shape
    return _turned(frame, turns, (width + 1) // 2 * 2, (height + 1) // 2 * 2)


def _turned(frame: Frame, turns: int, width: int, height: int) -> av.VideoFrame:
    upright = Picture(width, height)
    for source, target in ((frame.y, upright.y), (frame.u, upright.u), (frame.v, upright.v)):
        _lay(np.rot90(source, turns), target)
    return upright.video_frame


def _turns(picture: av.VideoFrame) -> int:
    """Quarter turns counterclockwise that make the picture upright."""
    return round(picture.rotation / 90) % 4


def _upright(picture: av.VideoFrame) -> np.ndarray:
    return np.rot90(np.empty((picture.height, picture.width), np.bool_), _turns(picture))


def _lay(source: U8, target: U8) -> None:
    """Copy into a target that may be a row or a column larger; what is more repeats the last."""
    height, width = source.shape
    target[:height, :width] = source
    target[height:, :width] = source[-1:]
    target[:, width:] = target[:, width - 1 : width]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

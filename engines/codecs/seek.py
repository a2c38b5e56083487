"""The frames of a video file by their number, in any order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import av

from engines.codecs.files import FileError, VideoFile
from engines.frame import RTP_CLOCK_HZ, Frame

AHEAD: Final = 48
"""Frames that are rather decoded than jumped over."""
BACK_S: Final = (0.0, 2.0, 10.0)
"""How far before a frame a key frame is looked for, where the one before it shows only what comes later."""


class FramesByNumber:
    """`times` are the RTP times of all frames, as iterating over the file gave them. Not thread-safe.

    Where a file cannot be jumped in, it is decoded from its beginning: right, and slow.
    """

    def __init__(self, path: Path, times: Sequence[int]) -> None:
        """Raises FileError: as `VideoFile`."""
        self._path, self._times = path, times
        self._next = 0
        """The number after that of `_last`."""
        self._open()

    def get(self, number: int) -> Frame:
        """Raises FileError: the file has no such frame (any more)."""
        if not self._next - 1 <= number < self._next + AHEAD and not self._jump(number):
            self._source.close()
            self._open()
        while self._next <= number:
            self._last = next(self._frames, None)
            self._next += 1
        if self._last is None or self._last.rtp_time != self._times[number]:
            raise FileError(f"{self._path}: frame {number} is not as it was")
        return self._last

    def close(self) -> None:
        self._source.close()

    def _open(self) -> None:
        self._source = VideoFile(self._path)
        self._frames = iter(self._source)
        self._last = next(self._frames, None)
        self._next = 1

    def _jump(self, number: int) -> bool:
        """Whether what was decoded last is now a known frame, at `number` or before it."""
        for back_s in BACK_S:
            try:
                self._frames = self._source.jump(max(self._times[number] / RTP_CLOCK_HZ - back_s, 0))
                first = next(self._frames, None)
            except av.FFmpegError:
                return False
            if first is None:
                continue
            at = bisect_left(self._times, first.rtp_time)
            if at <= number and self._times[at] == first.rtp_time:
                self._last, self._next = first, at + 1
                return True
        return False

"""What came of a feed: counts, and a file of the access units as they are."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from engines.bitstream import picture_size
from engines.frame import RTP_CLOCK_HZ
from server.door.broadcast import AccessUnit

FORMATS: Final = {".mkv": "matroska", ".webm": "webm"}
ENCODERS: Final = {"h264": "libx264", "vp8": "libvpx"}


class Recording:
    """Takes access units; close it to complete the file, which then appears under its name.

    An MP4 unless the name ends in .mkv or .webm. `failure` is why no more is written; closing raises it.
    """

    def __init__(self, path: Path | None) -> None:
        """
        Raises:
            OSError: no folder to write to.
        """
        if path is not None and not path.absolute().parent.is_dir():
            raise OSError(f"{path.absolute().parent} is no folder to write {path.name} to")
        self.failure: OSError | None = None
        self._path = path
        self._aside = path.with_name(f".{path.name}.part") if path else None
        self._box: Any = None
        self._stream: Any = None
        self._start = 0
        self._frames = self._keys = self._bytes = 0
        self._first_s = self._last_s = 0.0
        self._longest_gap_s = 0.0

    def add(self, unit: AccessUnit, codec: str) -> None:
        now_s = time.monotonic()
        if self._frames:
            self._longest_gap_s = max(self._longest_gap_s, now_s - self._last_s)
        else:
            self._first_s = now_s
        self._last_s = now_s
        self._frames += 1
        self._keys += unit.key
        self._bytes += len(unit.data)
        if self._path is not None and self.failure is None:
            try:
                self._write(unit, codec)
            except (av.FFmpegError, OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                hint = "; name it .mkv or .webm" if isinstance(error, ValueError) and self._stream is None else ""
                self.failure = OSError(f"{self._path} cannot be written: {why}{hint}")

    def counts(self) -> dict[str, float]:
        """frames, key_frames, fps, longest_gap_ms, bit_rate."""
        span_s = max(self._last_s - self._first_s, 1e-9)
        fps = (self._frames - 1) / span_s if self._frames > 1 else 0.0
        return {
            "frames": self._frames,
            "key_frames": self._keys,
            "fps": round(fps, 1),
            "longest_gap_ms": round(1e3 * self._longest_gap_s, 1),
            "bit_rate": round(8 * self._bytes / span_s) if self._frames > 1 else 0,
        }

    def close(self) -> None:
        """
        Raises:
            OSError: what came is not in the file.
        """
        if self.failure is not None and self._aside is not None:
            self._aside.unlink(missing_ok=True)
            raise self.failure
        if self._box is not None and self._path is not None and self._aside is not None:
            self._box.close()
            self._aside.replace(self._path)
            self._box = None

    def _write(self, unit: AccessUnit, codec: str) -> None:
        if self._box is None:
            if not unit.key:
                return
            assert self._path is not None
            kind = FORMATS.get(self._path.suffix.lower(), "mp4")
            options = {"movflags": "+faststart"} if kind == "mp4" else {}
            self._box = av.open(str(self._aside), "w", format=kind, options=options)
            self._stream = self._box.add_stream(ENCODERS[codec], rate=30)
            self._stream.width, self._stream.height = picture_size(codec, unit.data) or (640, 480)
            self._stream.pix_fmt = "yuv420p"
            self._start = unit.rtp_time
        packet = av.Packet(unit.data)
        packet.stream = self._stream
        packet.time_base = Fraction(1, RTP_CLOCK_HZ)
        packet.pts = packet.dts = unit.rtp_time - self._start
        packet.is_keyframe = unit.key
        self._box.mux(packet)

"""A source read in real time: its pictures and its sound with their RTP times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, Final

import av

from engines.codecs.decode import Codec
from engines.frame import RTP_CLOCK_HZ
from server.link import OPUS_CLOCK_HZ
from server.pull.address import Refused, Silent, SourceError
from server.pull.clock import Clock
from server.pull.opening import TIMED_OUT, Opened, open_source, reason
from server.pull.pace import FilePace, LivePace
from server.pull.sound import Opus
from server.pull.video import CannotPass, Passing, Recoding, Unit

SOUND_AHEAD_S: Final = 0.1
MAX_SOUNDS: Final = 500
CAUGHT_UP_S: Final = 0.005
"""A packet that had to be waited for so long was the newest there is."""

OnVideo = Callable[[bytes, int, bool, int], None]
"""Gets data, RTP time (90 kHz), whether it is a key frame, and its arrival (ns, monotonic clock)."""
OnAudio = Callable[[bytes, int], None]
"""Gets an Opus payload and its RTP time (48 kHz)."""


class Source:
    """A file, webcam or address, opened when made. `run` it once, in a thread of its own, or `close` it."""

    def __init__(self, name: str, loop: bool, *, allow_private: bool = True, allow_local: bool = True) -> None:
        """`name`: a path, a webcam's number or an address.

        Raises:
            SourceError: it cannot be opened, or holds no video.
        """
        self.stopped = Event()
        self._open = lambda: open_source(name, allow_private=allow_private, allow_local=allow_local)
        self._key_wanted = Event()
        self._clock = Clock()
        self._opened: Opened | None = self._open()
        streams = self._opened.container.streams
        if not streams.video:
            self.close()
            raise SourceError("the source holds no video stream" if "://" in name else f"{name} holds no video stream")
        self.has_audio = bool(streams.audio)
        self._is_live = self._opened.is_live
        self._loop = loop and not self._is_live
        self._pace = LivePace() if self._is_live else FilePace()
        self._may_pass = self._is_live or not self._may_be_turned("://" in name)
        self.codec: Codec = "h264"
        """What goes out: VP8 where that comes in, H.264 for all else."""
        self._pictures = self._begin(streams.video[0])
        self._sounds: deque[tuple[bytes, float]] = deque(maxlen=MAX_SOUNDS)
        self._skipping = self._caught_up = False

    @property
    def passes(self) -> bool:
        """Whether the video goes out undecoded at present."""
        return isinstance(self._pictures, Passing)

    def want_key(self) -> None:
        """The receiver needs a key frame; one that passes undecoded has its own in its own time."""
        self._key_wanted.set()

    def close(self) -> None:
        """Let go of a source that has not been run."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def run(self, on_video: OnVideo, on_audio: OnAudio) -> None:
        """Send in real time until the end, or until `stopped`; from the start again when a file loops.

        Raises:
            SourceError: it broke off.
        """
        while not self.stopped.is_set():
            opened, self._opened = self._opened or self._open(), None
            try:
                self._once(opened, on_video, on_audio)
            except (av.FFmpegError, OSError) as error:
                raise _broken_off(opened, error) from error
            finally:
                opened.close()
            if self._is_live and not self.stopped.is_set():
                raise _broken_off(opened, None)
            if not self._loop:
                return
            self._clock.begin_again()
            self._sounds.clear()

    def _may_be_turned(self, is_remote: bool) -> bool:
        """Whether a file says that its pictures are to be turned, as phones do; nobody would find faces that lie.

        Only a decoded picture tells; that of a remote file would have to be fetched twice.
        """
        assert self._opened is not None
        if is_remote:
            return any(name in self._opened.container.format.name for name in ("mov", "matroska"))
        opened = self._open()
        try:
            first = next(opened.container.decode(video=0), None)
        except av.FFmpegError:
            return True
        finally:
            opened.close()
        return first is not None and first.rotation != 0

    def _once(self, opened: Opened, on_video: OnVideo, on_audio: OnAudio) -> None:
        video = opened.container.streams.video[0]
        sounding = opened.container.streams.audio[:1]
        self._pictures = self._begin(video)
        sound = Opus(sounding[0]) if sounding else None
        for packet, arrival_ns in self._packets(opened.container.demux([video, *sounding])):
            if packet.stream is not video and sound is not None:
                self._sounds.extend(sound.take(packet))
            else:
                for unit in self._take(packet, video):
                    self._send(unit, arrival_ns, on_video)
            self._send_sound(on_audio)

    def _packets(self, packets: Iterator[Any]) -> Iterator[tuple[Any, int]]:
        """Packets and their arrival, without those that this machine has no time for."""
        while not self.stopped.is_set():
            asked_s = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            self._caught_up = self._caught_up or time.monotonic() - asked_s > CAUGHT_UP_S
            if self._skipping and packet.stream.type == "video":
                self._skipping = not (self._caught_up and packet.is_keyframe)
                if self._skipping:
                    continue
            yield packet, time.monotonic_ns()

    def _take(self, packet: Any, stream: Any) -> list[Unit]:
        """The units of a packet; when it cannot pass, it and all that follow are encoded anew."""
        try:
            return list(self._pictures.take(packet))
        except CannotPass as refusal:
            self._may_pass = False
            self._pictures = self._begin(stream)
            return list(self._pictures.take(refusal.packet))

    def _send(self, unit: Unit, arrival_ns: int, on_video: OnVideo) -> None:
        data, placed_s, key = unit
        now_s = time.monotonic()
        wait_s = self._pace.wait_s(placed_s, now_s)
        if wait_s:
            self.stopped.wait(wait_s)
            arrival_ns = time.monotonic_ns()
        elif not self.passes and self._pace.is_late(placed_s, now_s):
            self._skipping, self._caught_up = True, False
        on_video(data, round(placed_s * RTP_CLOCK_HZ), key, arrival_ns)

    def _send_sound(self, on_audio: OnAudio) -> None:
        """Sound that is not far ahead of the pictures, which themselves never wait for sound."""
        while self._sounds:
            payload, at_s = self._sounds[0]
            placed_s = self._clock.place_sound(at_s)
            if placed_s is None or placed_s > self._clock.last_s + SOUND_AHEAD_S:
                return
            self._sounds.popleft()
            if placed_s >= self._clock.begin_s:
                on_audio(payload, round(placed_s * OPUS_CLOCK_HZ))

    def _begin(self, stream: Any) -> Passing | Recoding:
        if self._may_pass:
            try:
                passing = Passing(stream, self._clock)
                self.codec = passing.codec
                return passing
            except CannotPass:
                self._may_pass = False
        return Recoding(stream, self._clock, self.codec, self._key_wanted)


def _broken_off(opened: Opened, error: Exception | None) -> SourceError:
    """What to say of a source that ended while it was read; its address is left to who knows it."""
    if opened.was_refused():
        return Refused("the source redirects to another address, which is not followed")
    if isinstance(error, TIMED_OUT):
        return Silent("the source fell silent")
    return SourceError(f"the source broke off: {reason(error)}" if error is not None else "the source ended")

"""One outgoing video, or sound, to any number of viewers: packetised once, never slowed by the slowest."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from server.door.path import Path
from server.door.senders import Payloads, packetise

FLOOR_BIT_S: Final = 200_000
KEY_INTERVAL_NS: Final = 500_000_000
MAX_QUEUED: Final = 60
THIN_KEY_INTERVAL_NS: Final = 2_000_000_000
SLOW_KEY_INTERVAL_NS: Final = 1_000_000_000
"""Of a viewer whose path is full: key frames fill it most."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded frame: Annex B or VP8. `rtp_time` 90 kHz, unwrapped; times in ns of the monotonic clock."""

    data: bytes
    rtp_time: int
    key: bool
    arrival_ns: int
    captured_ns: int


class Broadcast:
    """An outgoing video in one codec. `push` it; `on_key_needed` is called at most every 500 ms while a key frame is wanted,
    `on_dropped` with why a viewer does not get frames, and how many."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.on_key_needed: Callable[[], None] = lambda: None
        self.on_dropped: Callable[[str, int], None] = lambda reason, count: None
        self._viewers: set[FeedTrack] = set()
        self._picture_id = 0
        self._last_time: int | None = None
        self._asked_ns = -KEY_INTERVAL_NS

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def push(self, unit: AccessUnit) -> None:
        """Send a frame to all viewers; times that do not rise are moved up by one tick."""
        rtp_time = unit.rtp_time if self._last_time is None else max(unit.rtp_time, self._last_time + 1)
        self._last_time = rtp_time
        if not self._viewers:
            return
        # libwebrtc shows a VP8 feed only if the picture id rises by one a frame.
        self._picture_id += 1
        item = Payloads(packetise(self.codec, unit.data, self._picture_id), rtp_time, unit.key, unit.arrival_ns)
        now_ns = time.monotonic_ns()
        for viewer in self._viewers:
            viewer.offer(item, now_ns)
        if any(viewer.wants_key(now_ns) for viewer in self._viewers):
            self.need_key(now_ns)

    def need_key(self, now_ns: int) -> None:
        """A viewer asked for a key frame, or joined."""
        if now_ns - self._asked_ns >= KEY_INTERVAL_NS:
            self._asked_ns = now_ns
            self.on_key_needed()

    def bit_rate(self) -> int | None:
        """What the slowest viewer above the floor can take, bit/s; None while nobody's path limits it."""
        now_ns = time.monotonic_ns()
        limits = [limit for viewer in self._viewers if (limit := viewer.path.limit(now_ns)) is not None]
        above = [limit for limit in limits if limit >= FLOOR_BIT_S]
        if above:
            return min(above)
        return FLOOR_BIT_S if limits and len(limits) == len(self._viewers) else None

    def drop_queued(self) -> None:
        """Nothing that still waits for a viewer is sent, and nothing else before a key frame."""
        for viewer in self._viewers:
            viewer.drop_queued()

    def attach(self) -> FeedTrack:
        track = FeedTrack(self)
        self._viewers.add(track)
        self.need_key(time.monotonic_ns())
        return track

    def detach(self, track: FeedTrack) -> None:
        self._viewers.discard(track)


class FeedTrack(MediaStreamTrack):
    """One viewer's side of a broadcast: starts at a key frame; what it cannot take is dropped in whole frames."""

    kind = "video"

    def __init__(self, broadcast: Broadcast) -> None:
        super().__init__()
        self._broadcast = broadcast
        self._queue: deque[Payloads] = deque()
        self._filled = asyncio.Event()
        self._needs_key = True
        self.path = Path()
        self._credit_bytes = 0.0
        self._credited_ns = 0
        self._thinned_ns = 0
        self._asked_ns = 0

    def offer(self, item: Payloads, now_ns: int) -> None:
        thin = self._is_thin(now_ns)
        if self._needs_key and not item.key:
            self._broadcast.on_dropped("viewer_before_key", 1)
            return
        if len(self._queue) >= MAX_QUEUED or (thin and self._credit_bytes <= 0):
            self._broadcast.on_dropped("slow_viewer", 1 + len(self._queue))
            self.drop_queued()
            self._thinned_ns = now_ns
            return
        self._credit_bytes -= item.size
        self.path.sent(item.size, now_ns)
        self._needs_key = False
        self._queue.append(item)
        self._filled.set()

    def drop_queued(self) -> None:
        self._queue.clear()
        self._needs_key = True

    def wants_key(self, now_ns: int) -> bool:
        """A viewer that is below the floor asks only now and then: key frames cost everyone."""
        return self._needs_key and now_ns - self._thinned_ns > THIN_KEY_INTERVAL_NS

    def ask_for_key(self) -> None:
        """The viewer cannot go on without a key frame."""
        now_ns = time.monotonic_ns()
        if self.path.limit(now_ns) is None or now_ns - self._asked_ns >= SLOW_KEY_INTERVAL_NS:
            self._asked_ns = now_ns
            self._broadcast.need_key(now_ns)

    def note_report(self, lost: int, highest: int, rtt_s: float) -> None:
        self.path.reported(lost, highest, rtt_s, time.monotonic_ns())

    def note_remb(self, bit_rate: int) -> None:
        self.path.estimated(bit_rate, time.monotonic_ns())

    def may_resend(self, number: int, size: int) -> bool:
        return self.path.may_resend(number, size, time.monotonic_ns())

    def _is_thin(self, now_ns: int) -> bool:
        """Whether this viewer's path takes less than the floor; keeps the account of what it may still get (a second's worth)."""
        rate = self.path.limit(now_ns)
        if rate is None or rate >= FLOOR_BIT_S:
            return False
        gained = rate / 8 * (now_ns - self._credited_ns) / 1e9
        self._credit_bytes, self._credited_ns = min(rate / 8, self._credit_bytes + gained), now_ns
        return True

    async def recv(self) -> Payloads:  # type: ignore[override]
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()

    def stop(self) -> None:
        super().stop()
        self._broadcast.detach(self)
        self._queue.clear()
        self._filled.set()


class AudioBroadcast:
    """Opus, untouched, to any number of viewers."""

    def __init__(self) -> None:
        self._viewers: set[AudioTrack] = set()

    def push(self, payload: bytes, rtp_time: int) -> None:
        """`rtp_time`: 48 kHz, unwrapped."""
        if self._viewers:
            item = Payloads([payload], rtp_time, True, time.monotonic_ns())
            for viewer in self._viewers:
                viewer.offer(item)

    def attach(self) -> AudioTrack:
        track = AudioTrack(self)
        self._viewers.add(track)
        return track

    def detach(self, track: AudioTrack) -> None:
        self._viewers.discard(track)


class AudioTrack(MediaStreamTrack):
    """One viewer's sound; the oldest is dropped when it does not keep up."""

    kind = "audio"

    def __init__(self, broadcast: AudioBroadcast) -> None:
        super().__init__()
        self._broadcast = broadcast
        self._queue: asyncio.Queue[Payloads | None] = asyncio.Queue(MAX_QUEUED)

    def offer(self, item: Payloads | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(item)

    async def recv(self) -> Payloads:  # type: ignore[override]
        item = await self._queue.get() if self.readyState == "live" else None
        if item is None:
            raise MediaStreamError
        return item

    def stop(self) -> None:
        if self.readyState == "live":
            super().stop()
            self._broadcast.detach(self)
            self.offer(None)

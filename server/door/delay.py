"""A broadcaster's safety delay: what a publisher sends is held for a fixed time, undecoded, before anyone sees or hears it.

Panic takes back what is held, so that it covers what viewers have not been shown yet. Once it ends, the delay fills anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from server.metrics import Metrics

if TYPE_CHECKING:
    from server.door.broadcast import AccessUnit
    from server.door.hub import Hub
    from server.door.streams import Source

MAX_BYTES: Final = 64 << 20
"""Of one source: 30 s of 17 Mbit/s."""
KEY_INTERVAL_NS: Final = 2_000_000_000
"""So often a key frame is asked for: whoever needs one would else wait for the whole delay."""
ASK_INTERVAL_NS: Final = 500_000_000


class Held(NamedTuple):
    due_ns: int
    size: int
    key: bool
    act: Callable[[], None]


class HeldBack:
    """Of one source. Holds what is to be done with each unit and each packet of sound, in order; is told the time."""

    def __init__(self, delay_ns: int) -> None:
        self.delay_ns = delay_ns
        self._held: deque[Held] = deque()
        self._bytes = self._keys = 0
        self._needs_key = True
        self._key_ns = self._asked_ns = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def key_is_coming(self) -> bool:
        """A key frame is held, and nothing is missing after it."""
        return self._keys > 0 and not self._needs_key

    def should_ask(self, now_ns: int) -> bool:
        """Whether the source is to be asked for a key frame now, since one is needed or the last one is long ago."""
        old = self.delay_ns > KEY_INTERVAL_NS and now_ns - self._key_ns > KEY_INTERVAL_NS
        if not (old or self._needs_key) or now_ns - self._asked_ns < ASK_INTERVAL_NS:
            return False
        self._asked_ns = now_ns
        return True

    def put_unit(self, size: int, key: bool, now_ns: int, act: Callable[[], None]) -> bool:
        """Hold an access unit of `size` bytes; False when it is dropped, because a key frame must come first or there is no
        room."""
        if self._bytes + size > MAX_BYTES:
            self._needs_key = True
            return False
        if self._needs_key and not key:
            return False
        self._needs_key = False
        if key:
            self._keys += 1
            self._key_ns = now_ns
        self._put(Held(now_ns + self.delay_ns, size, key, act))
        return True

    def put(self, size: int, now_ns: int, act: Callable[[], None]) -> None:
        """Hold something else, which is dropped where there is no room."""
        if self._bytes + size <= MAX_BYTES:
            self._put(Held(now_ns + self.delay_ns, size, False, act))

    def gap(self) -> None:
        """Units were lost: the next one to be held is a key frame."""
        self._needs_key = True

    def clear(self) -> None:
        """What is held is never shown; that the source has ended, which has no size, holds."""
        self._held = deque(held for held in self._held if not held.size)
        self._bytes = self._keys = 0
        self._needs_key = True

    def take_due(self, now_ns: int) -> list[Callable[[], None]]:
        """What is to be done by now, in order."""
        due = []
        while self._held and self._held[0].due_ns <= now_ns:
            held = self._held.popleft()
            self._bytes -= held.size
            self._keys -= held.key
            due.append(held.act)
        return due

    def _put(self, held: Held) -> None:
        self._held.append(held)
        self._bytes += held.size


class Delay:
    """Stands between the sources and the hub, with whose times everything passes on; without a delay at once."""

    def __init__(
        self, hub: Hub, metrics: Metrics, delay_s: int, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._hub, self._metrics, self._clock_ns = hub, metrics, clock_ns
        self._delay_ns = delay_s * 1_000_000_000

    def on_unit(self, name: str, source: Source, unit: AccessUnit) -> None:
        """An access unit; what follows takes it for one that has come and been captured that much later."""
        line = self._line(source)
        if line is None:
            self._hub.on_unit(name, source, unit)
            return
        now_ns = self._clock_ns()
        stream = self._hub.streams.get(name)
        if stream is None or stream.source is not source:
            return
        if stream.panic:
            self._metrics.drops.labels("panic").inc()
            return
        arrival_ns, captured_ns = unit.arrival_ns + line.delay_ns, unit.captured_ns + line.delay_ns
        later = replace(unit, arrival_ns=arrival_ns, captured_ns=captured_ns if unit.captured_ns else 0)
        if not line.put_unit(len(unit.data), unit.key, now_ns, lambda: self._hub.on_unit(name, source, later)):
            self._metrics.drops.labels("delay_before_key").inc()
        if source.peer is not None and line.should_ask(now_ns):
            source.peer.request_key()

    def on_gap(self, name: str, source: Source) -> None:
        """Units were lost. What is held comes before them; what is held next begins with a key frame."""
        line = self._line(source)
        if line is None:
            self._hub.on_gap(name, source)
        else:
            line.gap()

    def on_audio(self, name: str, source: Source, payload: bytes, rtp_time: int) -> None:
        line = self._line(source)
        if line is None:
            self._hub.on_audio(name, source, payload, rtp_time)
            return
        stream = self._hub.streams.get(name)
        if stream is not None and stream.source is source and not stream.panic:
            line.put(len(payload), self._clock_ns(), lambda: self._hub.on_audio(name, source, payload, rtp_time))

    def stop(self, name: str, source: Source) -> None:
        """The source has ended: what is held is shown yet, unless another takes its place."""
        line = self._line(source)
        if line is None or not len(line):
            self._hub.stop(name, source)
            return
        source.has_ended, source.peer = True, None
        line.put(0, self._clock_ns(), lambda: self._hub.stop(name, source))

    def release(self) -> None:
        """Pass on what has been held long enough; to be called every few milliseconds."""
        now_ns = self._clock_ns()
        for stream in list(self._hub.streams.values()):
            if stream.source is not None and stream.source.held is not None:
                for act in stream.source.held.take_due(now_ns):
                    act()

    def _line(self, source: Source) -> HeldBack | None:
        if self._delay_ns and source.held is None:
            source.held = HeldBack(self._delay_ns)
        return source.held

"""One outgoing video in one codec: its place in time, and what it shows while nothing comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engines.frame import RTP_CLOCK_HZ
from server.door.broadcast import AccessUnit, Broadcast

SLATE_INTERVAL_NS: Final = 200_000_000
STUDIO_PATIENCE_NS: Final = 800_000_000
"""A living studio sends every open feed at least a slate five times a second."""
RELAY_PATIENCE_NS: Final = 2_000_000_000
KEY_INTERVAL_NS: Final = 500_000_000


class FeedClock:
    """Maps the RTP times of successive sources onto one line that only goes forward, at the pace of the clock."""

    MAX_JUMP_S: Final = 2

    def __init__(self, rate_hz: int = RTP_CLOCK_HZ) -> None:
        self._rate_hz = rate_hz
        self._last: int | None = None
        self._last_ns = 0
        self.offset = 0
        """What `place` adds at present."""

    def place(self, rtp_time: int, now_ns: int) -> int:
        """The feed's RTP time of something with the source's `rtp_time`, shown now."""
        placed = rtp_time + self.offset
        if self._last is not None:
            expected = self._expected(now_ns)
            if placed <= self._last or abs(placed - expected) > self.MAX_JUMP_S * self._rate_hz:
                placed = max(self._last + 1, expected)
                self.offset = placed - rtp_time
        self._last, self._last_ns = placed, now_ns
        return placed

    def tick(self, now_ns: int) -> int:
        """The feed's RTP time of something that has no source."""
        placed = 0 if self._last is None else max(self._last + 1, self._expected(now_ns))
        self._last, self._last_ns = placed, now_ns
        return placed

    def _expected(self, now_ns: int) -> int:
        assert self._last is not None
        return self._last + (now_ns - self._last_ns) * self._rate_hz // 1_000_000_000


@dataclass(slots=True, eq=False)
class Feed:
    """A feed that someone watches, in one codec; `relay` is the publisher's own video, which the studio never sees again."""

    ident: int
    name: str
    codec: str
    relay: bool
    broadcast: Broadcast
    fed_ns: int
    """When it last got a picture (or was opened): the slate comes some patience later."""
    clock: FeedClock = field(default_factory=FeedClock)
    viewers: int = 0
    idle_since_ns: int = 0
    needs_key: bool = True
    """What comes next is dropped unless it is a key frame."""
    on_slate: bool = False
    """Viewers see a slate, ours or the studio's."""
    size: tuple[int, int] | None = None
    fps: int | None = None
    """Pictures a second, on the rung that its stream is on."""
    asked_bit_rate: int | None = None
    last_delay: tuple[int, float] = (-1, 0.0)
    """The last frame's RTP time at its source and ms from its arrival until it was handed to the senders."""
    _slate_ns: int = 0
    _key_asked_ns: int = 0

    @property
    def key(self) -> tuple[str, str, bool]:
        """What a stream keeps it by: name, codec and whether it is relayed."""
        return self.name, self.codec, self.relay

    def show(self, unit: AccessUnit, now_ns: int, *, is_slate: bool = False) -> bool:
        """Hand a unit of the source to the viewers; False when it was dropped for want of a key frame."""
        if self.needs_key and not unit.key:
            return False
        self.needs_key, self.on_slate, self.fed_ns = False, is_slate, now_ns
        placed = self.clock.place(unit.rtp_time, now_ns)
        self.broadcast.push(AccessUnit(unit.data, placed, unit.key, unit.arrival_ns, unit.captured_ns))
        self.last_delay = unit.rtp_time, (now_ns - unit.arrival_ns) / 1e6
        return True

    def cut(self) -> None:
        """What was shown is over: a slate is due at once."""
        self.fed_ns = 0

    def slate_due(self, now_ns: int) -> bool:
        patience_ns = RELAY_PATIENCE_NS if self.relay else STUDIO_PATIENCE_NS
        return now_ns - self.fed_ns > patience_ns and now_ns - self._slate_ns >= SLATE_INTERVAL_NS

    def show_slate(self, slate: bytes, now_ns: int) -> None:
        """Show our own slate: a key frame, so what refers to earlier pictures cannot follow it."""
        self.needs_key = self.on_slate = True
        self._slate_ns = now_ns
        self.broadcast.push(AccessUnit(slate, self.clock.tick(now_ns), True, now_ns, 0))

    def may_ask_for_key(self, now_ns: int) -> bool:
        """Whether a key frame may be asked for now: once per 500 ms."""
        if now_ns - self._key_asked_ns < KEY_INTERVAL_NS:
            return False
        self._key_asked_ns = now_ns
        return True

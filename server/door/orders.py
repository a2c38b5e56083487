"""What the door tells the studio that serves, and that it never waits for it."""

from __future__ import annotations

from typing import Any, Final, Protocol

from server.door.broadcast import AccessUnit
from server.door.feed import Feed
from server.door.streams import Stream
from server.link import NO_FLAGS, Flag, Kind, json_body
from server.metrics import Metrics

MAX_BACKLOG_BYTES: Final = 1 << 20


class StudioPort(Protocol):
    """The way to the studio that serves at present; while none does, `send` does nothing."""

    @property
    def active(self) -> bool: ...

    @property
    def ever_ready(self) -> bool: ...

    @property
    def backlog_bytes(self) -> int: ...

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None: ...


class Orders:
    """Turns the hub's wishes into messages."""

    def __init__(self, port: StudioPort, metrics: Metrics) -> None:
        self._port, self._metrics = port, metrics

    def open_stream(self, stream: Stream) -> None:
        """The stream with all its feeds; its units follow from the next key frame on."""
        wish = {"name": stream.name, "codec": stream.codec, "policy": {**stream.policy, "budget_ms": stream.budget_ms}}
        self._port.send(Kind.STREAM_OPEN, stream.ident, json_body(wish))
        for feed in stream.feeds.values():
            self.open_feed(stream, feed)
        stream.skipping = True

    def close_stream(self, stream: Stream) -> None:
        self._port.send(Kind.STREAM_CLOSE, stream.ident)

    def change_policy(self, stream: Stream, change: dict[str, Any]) -> None:
        self._port.send(Kind.POLICY, stream.ident, json_body(change))

    def tell_gap(self, stream: Stream) -> None:
        self._port.send(Kind.GAP, stream.ident)

    def pass_on(self, stream: Stream, unit: AccessUnit) -> bool:
        """A unit of the stream; a full link drops whole units up to a key frame. False when a key frame is needed."""
        if not self._port.active:
            return True
        full = self._port.backlog_bytes > MAX_BACKLOG_BYTES
        if full and not stream.skipping:
            stream.skipping = True
            self.tell_gap(stream)
        if stream.skipping and (full or not unit.key):
            self._metrics.drops.labels("link_full" if full else "before_key").inc()
            return full
        stream.skipping = False
        flags = Flag.KEY if unit.key else NO_FLAGS
        self._port.send(Kind.ACCESS_UNIT, stream.ident, unit.data, flags, unit.rtp_time, unit.arrival_ns)
        return True

    def open_feed(self, stream: Stream, feed: Feed) -> None:
        if feed.relay:
            return
        wish: dict[str, Any] = {"stream": stream.ident, "feed": feed.name, "codec": feed.codec}
        rate = feed.broadcast.bit_rate()
        if rate is not None:
            wish["bit_rate"] = feed.asked_bit_rate = rate
        feed.needs_key = True
        self._port.send(Kind.FEED_OPEN, feed.ident, json_body(wish))

    def close_feed(self, feed: Feed) -> None:
        if not feed.relay:
            self._port.send(Kind.FEED_CLOSE, feed.ident)

    def ask_for_key(self, feed: Feed, now_ns: int) -> None:
        """A key frame of the feed; asked for once per 500 ms."""
        if self._port.active and feed.may_ask_for_key(now_ns):
            self._port.send(Kind.FEED_KEY, feed.ident)

    def pass_on_rate(self, feed: Feed) -> None:
        """What the feed's slowest viewer can take, when it has changed by more than a sixteenth; null when that is no limit."""
        rate, asked = feed.broadcast.bit_rate(), feed.asked_bit_rate
        alike = rate == asked or (rate is not None and asked is not None and abs(rate - asked) < asked // 16)
        if alike or not self._port.active:
            return
        feed.asked_bit_rate = rate
        self._port.send(Kind.FEED_RATE, feed.ident, json_body({"bit_rate": rate}))

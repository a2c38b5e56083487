"""The open feeds of all streams: how each is opened, shown, closed and ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from server.door.broadcast import AccessUnit, Broadcast
from server.door.feed import Feed
from server.door.orders import Orders
from server.door.streams import Refused, Stream, Watcher
from server.link import Flag, Kind, Message, Slate
from server.metrics import Metrics, kind_of_feed

FEED_LINGER_NS: Final = 2_000_000_000


class Feeds:
    """`max_feeds` are encoded at once. `idents` are the numbers that the studio is told; `changed` and `evict` as the hub's."""

    def __init__(
        self,
        orders: Orders,
        metrics: Metrics,
        idents: Iterator[int],
        *,
        max_feeds: int,
        changed: Callable[[], None],
        evict: Callable[[Watcher, str], None],
        clock_ns: Callable[[], int],
        make_broadcast: Callable[[str], Broadcast],
    ) -> None:
        self._orders, self._metrics, self._idents = orders, metrics, idents
        self._max_feeds = max_feeds
        self._changed, self._evict, self._clock_ns = changed, evict, clock_ns
        self._make_broadcast = make_broadcast
        self._open: dict[int, tuple[Stream, Feed]] = {}
        """By number."""
        self._slates: dict[tuple[str, int], bytes] = {}

    def count(self) -> Counter[tuple[str, str]]:
        """Open feeds by kind and codec."""
        return Counter((kind_of_feed(feed.name), feed.codec) for _, feed in self._open.values())

    # Opening and closing

    def open(self, stream: Stream, name: str, codec: str, relay: bool) -> Feed:
        """
        Raises:
            Refused: 503 as many feeds are encoded as may be, and each is watched.
        """
        encoded = sum(not feed.relay for _, feed in self._open.values())
        if not relay and encoded >= self._max_feeds and not self._close_an_idle_one():
            raise Refused(503, f"{self._max_feeds} feeds are being encoded, which is the most (--max-feeds)", 5)
        feed = Feed(next(self._idents), name, codec, relay, self._make_broadcast(codec), fed_ns=self._clock_ns())
        feed.broadcast.on_key_needed = lambda: self._key_needed(stream, feed)
        feed.broadcast.on_dropped = lambda reason, count: self._metrics.drops.labels(reason).inc(count)
        stream.feeds[feed.key] = feed
        self._open[feed.ident] = stream, feed
        if relay:
            stream.ask_for_key(self._clock_ns())
        else:
            self._orders.open_feed(stream, feed)
        return feed

    def renumber(self, stream: Stream) -> None:
        """The stream's feeds stay, but show nothing any more of what the studio has made of them so far."""
        for feed in stream.feeds.values():
            self._open.pop(feed.ident, None)
            feed.ident = next(self._idents)
            self._open[feed.ident] = stream, feed

    def close(self, stream: Stream, feed: Feed) -> None:
        """Close a feed that nobody watches."""
        del stream.feeds[feed.key]
        self._open.pop(feed.ident, None)
        self._orders.close_feed(feed)
        self._changed()

    def close_idle(self, stream: Stream, now_ns: int) -> None:
        """Close the feeds that nobody has watched for a while."""
        for feed in list(stream.feeds.values()):
            if not feed.viewers and now_ns - feed.idle_since_ns > FEED_LINGER_NS:
                self.close(stream, feed)

    def end(self, stream: Stream, feed: Feed, reason: str) -> None:
        """Send the feed's viewers away and close it."""
        for watcher in [watcher for watcher in stream.watchers if watcher.feed is feed]:
            stream.watchers.remove(watcher)
            self._evict(watcher, reason)
        self.close(stream, feed)

    def end_fancams(self, stream: Stream, reason: str) -> None:
        for feed in [feed for feed in stream.feeds.values() if feed.name.startswith("fancam/")]:
            self.end(stream, feed, reason)

    def _close_an_idle_one(self) -> bool:
        for stream, feed in self._open.values():
            if not feed.relay and not feed.viewers:
                self.close(stream, feed)
                return True
        return False

    # What they show

    def relay(self, stream: Stream, unit: AccessUnit, now_ns: int) -> None:
        """Show a unit of the publisher's to those who watch it as it is."""
        for feed in stream.feeds.values():
            if feed.relay and not stream.panic:
                if feed.show(unit, now_ns):
                    self._metrics.frame_seconds.labels("raw").observe((now_ns - unit.arrival_ns) / 1e9)
                else:
                    stream.ask_for_key(now_ns)

    def show_slates(self, stream: Stream, now_ns: int) -> None:
        """Show our own slate where nothing else has come for too long."""
        for feed in stream.feeds.values():
            slate = self._slates.get((feed.codec, Slate.PANIC if stream.panic else Slate.RECONNECTING))
            if feed.viewers and slate is not None and feed.slate_due(now_ns):
                feed.show_slate(slate, now_ns)
                self._metrics.frames.labels("door_slates").inc()

    def ask_for_keys(self, stream: Stream, now_ns: int) -> None:
        """Ask the publisher for a key frame, where a relayed feed waits for one."""
        if stream.source is not None and any(feed.relay and feed.needs_key for feed in stream.feeds.values()):
            stream.ask_for_key(now_ns)

    def pass_on_rates(self, stream: Stream) -> None:
        for feed in stream.feeds.values():
            if not feed.relay:
                self._orders.pass_on_rate(feed)

    def _key_needed(self, stream: Stream, feed: Feed) -> None:
        if feed.relay:
            stream.ask_for_key(self._clock_ns())
        else:
            self._orders.ask_for_key(feed, self._clock_ns())

    # What the studio says of them

    def on_message(self, message: Message) -> None:
        """A slate, or a message about one feed; what is about a feed that is not open any more is ignored."""
        if message.kind is Kind.SLATE:
            self._slates["h264" if message.flags & Flag.H264 else "vp8", message.ident] = bytes(message.body)
        elif message.ident in self._open:
            stream, feed = self._open[message.ident]
            if message.kind is Kind.ENCODED:
                self._encoded(stream, feed, message)
            else:
                self.end(stream, feed, message.json()["reason"])

    def take_stats(self, stats: dict[str, dict[str, Any]]) -> None:
        """Sizes and rates, by the feeds' numbers."""
        for ident, entry in stats.items():
            if int(ident) in self._open and entry["width"]:
                _, feed = self._open[int(ident)]
                feed.size, feed.fps = (entry["width"], entry["height"]), entry["fps"]

    def _encoded(self, stream: Stream, feed: Feed, message: Message) -> None:
        is_slate = bool(message.flags & Flag.IS_SLATE)
        if not is_slate and (stream.panic or message.arrival_ns <= stream.stale_until_ns):
            return  # it was under way when the policy changed
        now_ns = self._clock_ns()
        was_slate = feed.on_slate
        unit = AccessUnit(bytes(message.body), message.rtp_time, bool(message.flags & Flag.KEY), message.arrival_ns, 0)
        if not feed.show(unit, now_ns, is_slate=is_slate):
            self._metrics.drops.labels("feed_before_key").inc()
            self._key_needed(stream, feed)
            return
        if not is_slate:
            self._metrics.frame_seconds.labels(kind_of_feed(feed.name)).observe((now_ns - message.arrival_ns) / 1e9)
        if was_slate != is_slate:
            self._changed()

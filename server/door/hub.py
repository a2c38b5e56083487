"""Streams and feeds: who publishes what, who watches which feed of it, and what the studio has to do for that.

Everything here runs in the door's event loop and is told the time; the studio, the sessions and the clock are arguments.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engines.models.networks import FACES
from server.door.feed import KEY_INTERVAL_NS, Feed
from server.door.latency import DEFAULT_S
from server.door.metadata import tell_viewers
from server.door.orders import Orders, StudioPort
from server.door.peers import AccessUnit, AudioBroadcast, Broadcast
from server.door.streams import FULL, Incoming, Refused, Source, Stream, Watcher
from server.link import Flag, Kind, Message, Slate
from server.metrics import Metrics, kind_of_feed
from server.redaction import check_names

logger = logging.getLogger(__name__)

TAKEOVER_NS: Final = 5_000_000_000
FEED_LINGER_NS: Final = 2_000_000_000
STREAM_LINGER_NS: Final = 30_000_000_000
"""How long viewers of a stream whose publisher has gone see the slate before they are sent away."""
RATE_INTERVAL_NS: Final = 500_000_000
NO_ROOM_RETRY_S: Final = 10
CODEC_PREFERENCE: Final = ("h264", "vp8")


class Hub:
    """The registry. `policy` is what every stream begins with, before its own; `finds` are the models' classes.

    `changed` is called when `describe` would say something new, `evict` to send a viewer away.
    """

    def __init__(
        self,
        studio: StudioPort,
        metrics: Metrics,
        *,
        max_feeds: int,
        keep_audio: bool,
        policies: Mapping[str, dict[str, Any]],
        members: Sequence[str] = (),
        finds: Sequence[str] = FACES[:1],
        policy: Mapping[str, Any] | None = None,
        budget_ms: int = 100,
        changed: Callable[[], None],
        evict: Callable[[Watcher, str], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        make_broadcast: Callable[[str], Broadcast] = Broadcast,
    ) -> None:
        self.streams: dict[str, Stream] = {}
        self._studio, self._orders, self._metrics = studio, Orders(studio, metrics), metrics
        self._max_feeds, self._keep_audio = max_feeds, keep_audio
        self._changed, self._evict, self._clock_ns = changed, evict, clock_ns
        self._make_broadcast = make_broadcast
        self._idents = itertools.count(1)
        self._by_ident: dict[int, Stream] = {}
        self._feed_by_ident: dict[int, tuple[Stream, Feed]] = {}
        self._slates: dict[tuple[str, int], bytes] = {}
        self._policies, self._policy = dict(policies), dict(policy or {})
        self._members, self._finds = tuple(members), tuple(finds)
        self._budget_ms = budget_ms
        self._budgets_ms: dict[str, int] = {}
        self._room: int | None = None
        """How many streams there was room for besides those of `_counted`, when the studio last told."""
        self._counted: set[int] = set()
        self._rates_ns = 0

    # Publishers

    def check_free(self, name: str) -> None:
        """Raises Refused(409) for an input's name, and while another publisher has sent something within 5 s."""
        stream = self.streams.get(name)
        if stream is not None and stream.source is not None and not stream.source.has_ended:
            if stream.source.describe_input is not None:
                raise Refused(409, f"stream {name} is an input of the server's")
            left_ns = TAKEOVER_NS - stream.source.silent_ns(self._clock_ns())
            if left_ns > 0:
                raise Refused(409, f"stream {name} has a publisher", 1 + left_ns // 1_000_000_000)

    def check_room(self, name: str) -> None:
        """Raises Refused(503) when there is no room for another stream though all others were on the lowest rung."""
        present = {stream.ident for stream in self.streams.values() if stream.source is not None}
        known = self.streams.get(name)
        if self._room is None or (known is not None and known.ident in self._counted & present):
            return
        if self._room - len(present - self._counted) <= 0:
            raise Refused(503, "this machine has no room for another stream", NO_ROOM_RETRY_S)

    def start(self, name: str, source: Source, peer: Incoming) -> Incoming | None:
        """Make `source` the stream's publisher; return the silent one that it takes over from, to be closed.

        Raises:
            Refused: another one was faster.
        """
        self.check_free(name)
        self.check_room(name)
        stream = self.streams.get(name)
        if stream is None:
            stream = self.streams[name] = Stream(name, 0, {**self._policy, **self._policies.get(name, {})})
            stream.budget_ms = self._budgets_ms.get(name, self._budget_ms)
            if (cover := stream.policy.get("cover", "everyone")) != "everyone":
                logger.info("%s: redaction begins with cover %s", name, cover, extra={"stream": name})
        replaced = stream.source.peer if stream.source is not None else None
        if stream.source is not None:
            self._drop_source(stream)
        source.peer = peer
        self._begin(stream, source, peer.codec)
        if source.describe_input is None:
            logger.info("%s is published%s", name, " by another one" if replaced else "", extra={"stream": name})
        return replaced

    def stop(self, name: str, source: Source) -> None:
        """The publisher has gone; viewers see the slate for a while, in case it comes back."""
        stream = self.streams.get(name)
        if stream is None or stream.source is not source:
            return
        self._drop_source(stream)
        logger.info("%s: the publisher has gone", name, extra={"stream": name})
        stream.left_ns = self._clock_ns()
        for feed in stream.feeds.values():
            feed.cut()
        if not stream.watchers:
            self._forget(stream)
        self._changed()

    def on_unit(self, name: str, source: Source, unit: AccessUnit) -> None:
        """An access unit of the publisher: relayed as it is, and handed to the studio."""
        stream = self.streams.get(name)
        if stream is None or stream.source is not source:
            return
        now_ns = self._clock_ns()
        if source.peer is not None and source.peer.codec != stream.codec:  # known for sure from the first packet on
            self._drop_source(stream)
            self._begin(stream, source, source.peer.codec)
        self._metrics.frames.labels("received").inc()
        stream.remember(unit.rtp_time, unit.arrival_ns, unit.captured_ns)
        for feed in stream.feeds.values():
            if feed.relay and not stream.panic:
                if feed.show(unit, now_ns):
                    self._metrics.frame_seconds.labels("raw").observe((now_ns - unit.arrival_ns) / 1e9)
                else:
                    self._ask_publisher(stream, now_ns)
        if not self._orders.pass_on(stream, unit):
            self._ask_publisher(stream, now_ns)

    def on_gap(self, name: str, source: Source) -> None:
        """Units were lost: nothing can be decoded before the next key frame."""
        stream = self.streams.get(name)
        if stream is None or stream.source is not source:
            return
        for feed in stream.feeds.values():
            feed.needs_key = feed.needs_key or feed.relay
        self._orders.tell_gap(stream)
        self._ask_publisher(stream, self._clock_ns())

    def on_audio(self, name: str, source: Source, payload: bytes, rtp_time: int) -> None:
        stream = self.streams.get(name)
        if stream is not None and stream.source is source and not stream.panic:
            stream.audio.push(payload, stream.audio_clock.place(rtp_time, self._clock_ns()))

    # Viewers

    def check_watchable(self, name: str, feed_name: str) -> Stream:
        """The stream, if it has a publisher and this feed.

        Raises:
            Refused: 409 nobody publishes, 404 no such track, 403 raw in spite of zones, 503 no studio has been ready yet.
        """
        stream = self.streams.get(name)
        if stream is None or stream.source is None:
            raise Refused(409, f"nobody publishes {name}", 2)
        if feed_name.startswith("fancam/") and feed_name not in stream.fancams:
            raise Refused(404, f"{name} has no {feed_name}")
        if feed_name == "raw" and stream.zones:
            raise Refused(403, f"{name} has privacy zones, and so no raw feed")
        if not self._studio.ever_ready:
            raise Refused(503, "the server is still warming up", 2)
        return stream

    def watch(self, name: str, feed_name: str, offered: Sequence[str]) -> Watcher:
        """Open the feed, in the first codec of ours that the viewer takes, or join it.

        Raises:
            Refused: as `check_watchable`; 422 no codec in common; 503 as many feeds are encoded as may be.
        """
        stream = self.check_watchable(name, feed_name)
        usable = [codec for codec in CODEC_PREFERENCE if codec in offered]
        if not usable:
            raise Refused(422, "the offer has neither H264 nor VP8")
        relay = feed_name == "raw" and stream.codec in offered
        codec = stream.codec if relay else usable[0]
        feed = stream.feeds.get((feed_name, codec, relay)) or self._open_feed(stream, feed_name, codec, relay)
        feed.viewers += 1
        watcher = Watcher(stream, feed)
        stream.watchers.add(watcher)
        logger.info("%s: a viewer of %s (%s)", name, feed_name, codec, extra={"stream": name, "feed": feed_name})
        self._changed()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """The viewer has gone."""
        if watcher not in watcher.stream.watchers:
            return
        watcher.stream.watchers.remove(watcher)
        name, feed_name = watcher.stream.name, watcher.feed.name
        logger.info("%s: a viewer of %s has gone", name, feed_name, extra={"stream": name, "feed": feed_name})
        watcher.feed.viewers -= 1
        watcher.feed.idle_since_ns = self._clock_ns()
        if watcher.stream.source is None and not watcher.stream.watchers:
            self._forget(watcher.stream)
        self._changed()

    def audio_of(self, name: str, feed_name: str) -> AudioBroadcast | None:
        """The sound that goes with a feed; the redacted feed has none, since a voice identifies, unless it shall be kept."""
        silent = feed_name == "redacted" and not self._keep_audio
        return None if silent else self.streams[name].audio

    # Policy

    def set_policy(self, name: str, change: dict[str, Any], by: str) -> dict[str, Any]:
        """Change a stream's redaction at once; it holds for later publishers of the name too. `by` is logged.

        Raises:
            Refused: 404 no such stream; 422 it names somebody whom the model does not know.
        """
        stream = self.streams.get(name)
        if stream is None:
            raise Refused(404, f"no stream {name}")
        try:
            check_names(change, self._members, self._finds)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        stream.policy.update(change)
        told = ", ".join(f"{key} {value}" for key, value in change.items())
        logger.info("%s: redaction is told %s, by %s", name, told, by, extra={"stream": name})
        self._policies[name] = dict(stream.policy)
        if stream.zones:
            for key in [key for key, feed in stream.feeds.items() if feed.name == "raw"]:
                stream.feeds[key].broadcast.drop_queued()
                self._end_feed(stream, key, "the stream has privacy zones")
        if stream.source is not None:
            self._orders.change_policy(stream, change)
        if stream.panic and stream.source is not None and stream.source.held is not None:
            stream.source.held.clear()
        now_ns = self._clock_ns()
        who = not change.keys().isdisjoint({"cover", "classes", "heads", "fancams"})
        for feed in stream.feeds.values():
            if stream.panic or (who and not feed.relay):  # what was covered for others, and still waits
                feed.broadcast.drop_queued()
            if stream.panic and feed.relay:
                feed.cut()
        self._show_slates(stream, now_ns)
        self._changed()
        return dict(stream.policy)

    def set_budget(self, name: str, budget_ms: int) -> None:
        """Give the stream's frames so long from arrival until sent; it holds for later publishers of the name too.

        Raises:
            Refused: 404 no such stream.
        """
        stream = self.streams.get(name)
        if stream is None:
            raise Refused(404, f"no stream {name}")
        stream.budget_ms = self._budgets_ms[name] = budget_ms
        if stream.source is not None:
            self._orders.change_policy(stream, {"budget_ms": budget_ms})
        self._changed()

    # The studio

    def studio_ready(self) -> None:
        """Another studio serves from now on: tell it everything."""
        for stream in self.streams.values():
            if stream.source is not None:
                self._introduce(stream)
        self._changed()

    def studio_lost(self) -> None:
        """Every feed that the studio made shows the slate; fancams end, because the tracks that they follow have."""
        now_ns = self._clock_ns()
        self._room = None
        for stream in self.streams.values():
            self._end_fancams(stream, "the tracks have been lost")
            stream.tracks, stream.member_states = [], []
            for feed in stream.feeds.values():
                if not feed.relay:
                    feed.cut()
            self._show_slates(stream, now_ns)
        self._changed()

    def on_message(self, message: Message) -> None:
        """A message of the studio that serves, or a slate of one that is getting ready."""
        if message.kind is Kind.SLATE:
            self._slates["h264" if message.flags & Flag.H264 else "vp8", message.ident] = bytes(message.body)
        elif message.kind is Kind.STATS:
            self._take_stats(message.json())
        elif message.kind in (Kind.ENCODED, Kind.FEED_GONE):
            stream_and_feed = self._feed_by_ident.get(message.ident)
            if stream_and_feed is not None:
                handle = self._encoded if message.kind is Kind.ENCODED else self._feed_gone
                handle(*stream_and_feed, message)
        else:
            stream = self._by_ident.get(message.ident)
            if stream is not None and message.kind is Kind.META:
                tell_viewers(stream, message, self._clock_ns())
            elif stream is not None and message.kind is Kind.TRACKS:
                listed = message.json()
                stream.size, stream.tracks = (listed["width"], listed["height"]), listed["tracks"]
                stream.member_states = listed.get("members", [])
                self._changed()
            elif stream is not None and message.kind is Kind.NEED_KEY:
                self._ask_publisher(stream, self._clock_ns())

    # Time

    def tick(self) -> None:
        """Ten times a second: slates where nothing comes, feeds without viewers, bit rates, streams that are over."""
        now_ns = self._clock_ns()
        rates_due = now_ns - self._rates_ns >= RATE_INTERVAL_NS
        if rates_due:
            self._rates_ns = now_ns
        for stream in list(self.streams.values()):
            self._show_slates(stream, now_ns)
            for key, feed in list(stream.feeds.items()):
                if not feed.viewers and now_ns - feed.idle_since_ns > FEED_LINGER_NS:
                    self._close_feed(stream, key)
                elif feed.relay and feed.needs_key and stream.source is not None:
                    self._ask_publisher(stream, now_ns)
                elif rates_due and not feed.relay:
                    self._orders.pass_on_rate(feed)
            if stream.source is None and now_ns - stream.left_ns > STREAM_LINGER_NS:
                for key in list(stream.feeds):
                    self._end_feed(stream, key, "the stream has ended")
                self._forget(stream)

    def describe(self, *, names: bool = False) -> dict[str, Any]:
        """The body of GET /streams, with or without members' `names`."""
        now_ns, active = self._clock_ns(), self._studio.active
        told = {"members": self._members} if names and self._members else {}
        streams = [
            stream.describe(now_ns, active, names=names, members=self._members)
            for _, stream in sorted(self.streams.items())
        ]
        return {**told, "streams": streams}

    def count_streams(self) -> Counter[str]:
        """Streams by state."""
        now_ns = self._clock_ns()
        return Counter(stream.state(now_ns, self._studio.active) for stream in self.streams.values())

    def count_feeds(self) -> Counter[tuple[str, str]]:
        """Open feeds by kind and codec."""
        feeds = [feed for stream in self.streams.values() for feed in stream.feeds.values()]
        return Counter((kind_of_feed(feed.name), feed.codec) for feed in feeds)

    def latency(self, name: str, seconds: int = DEFAULT_S) -> dict[str, Any]:
        """The body of GET /streams/{name}/latency: of the last `seconds`.

        Raises:
            Refused: 404 no such stream.
        """
        stream = self.streams.get(name)
        if stream is None:
            raise Refused(404, f"no stream {name}")
        told = stream.latency.summary(seconds, stream.budget_ms, self._clock_ns())
        return {"rung": stream.rung, **told}

    # Inner parts

    def _begin(self, stream: Stream, source: Source, codec: str) -> None:
        """Take what comes from the source as the stream's video."""
        stream.source, stream.codec, stream.size, stream.rung = source, codec, None, FULL
        stream.ident = next(self._idents)
        self._by_ident[stream.ident] = stream
        for key, feed in list(stream.feeds.items()):
            if feed.relay and feed.codec != codec:
                self._end_feed(stream, key, "the video's codec has changed")
            else:
                feed.needs_key = True
        self._introduce(stream)
        self._changed()

    def _introduce(self, stream: Stream) -> None:
        """Tell the studio of a stream that has a publisher."""
        self._orders.open_stream(stream)
        stream.key_asked_ns = 0
        self._ask_publisher(stream, self._clock_ns())

    def _drop_source(self, stream: Stream) -> None:
        """Forget the publisher and everything that was learnt from its video."""
        self._end_fancams(stream, "the publisher has gone")
        self._orders.close_stream(stream)
        self._by_ident.pop(stream.ident, None)
        for feed in stream.feeds.values():
            self._feed_by_ident.pop(feed.ident, None)
            feed.ident = next(self._idents)
            self._feed_by_ident[feed.ident] = (stream, feed)
        stream.source, stream.tracks, stream.member_states = None, [], []
        stream.recent.clear()

    def _forget(self, stream: Stream) -> None:
        for key in list(stream.feeds):
            self._close_feed(stream, key)
        if self.streams.get(stream.name) is stream:
            del self.streams[stream.name]
            self._metrics.forget_stream(stream.name)
        self._changed()

    def _ask_publisher(self, stream: Stream, now_ns: int) -> None:
        """Ask for a key frame, once per 500 ms whoever needs it."""
        peer = stream.source.peer if stream.source else None
        held = stream.source.held if stream.source else None
        if held is not None and held.key_is_coming:
            return
        if peer is not None and now_ns - stream.key_asked_ns >= KEY_INTERVAL_NS:
            stream.key_asked_ns = now_ns
            peer.request_key()

    def _open_feed(self, stream: Stream, name: str, codec: str, relay: bool) -> Feed:
        encoded = sum(not feed.relay for other in self.streams.values() for feed in other.feeds.values())
        if not relay and encoded >= self._max_feeds and not self._close_an_idle_feed():
            raise Refused(503, f"{self._max_feeds} feeds are being encoded, which is the most (--max-feeds)", 5)
        feed = Feed(next(self._idents), name, codec, relay, self._make_broadcast(codec), fed_ns=self._clock_ns())
        feed.broadcast.on_key_needed = lambda: self._key_needed(stream, feed)
        stream.feeds[name, codec, relay] = feed
        self._feed_by_ident[feed.ident] = (stream, feed)
        if relay:
            self._ask_publisher(stream, self._clock_ns())
        else:
            self._orders.open_feed(stream, feed)
        return feed

    def _close_an_idle_feed(self) -> bool:
        for stream in self.streams.values():
            for key, feed in stream.feeds.items():
                if not feed.relay and not feed.viewers:
                    self._close_feed(stream, key)
                    return True
        return False

    def _close_feed(self, stream: Stream, key: tuple[str, str, bool]) -> None:
        feed = stream.feeds.pop(key)
        self._feed_by_ident.pop(feed.ident, None)
        self._orders.close_feed(feed)
        self._changed()

    def _end_feed(self, stream: Stream, key: tuple[str, str, bool], reason: str) -> None:
        """Send the feed's viewers away and close it."""
        feed = stream.feeds[key]
        for watcher in [watcher for watcher in stream.watchers if watcher.feed is feed]:
            stream.watchers.remove(watcher)
            self._evict(watcher, reason)
        self._close_feed(stream, key)

    def _end_fancams(self, stream: Stream, reason: str) -> None:
        for key in [key for key in stream.feeds if key[0].startswith("fancam/")]:
            self._end_feed(stream, key, reason)

    def _key_needed(self, stream: Stream, feed: Feed) -> None:
        if feed.relay:
            self._ask_publisher(stream, self._clock_ns())
        else:
            self._orders.ask_for_key(feed, self._clock_ns())

    def _show_slates(self, stream: Stream, now_ns: int) -> None:
        for feed in stream.feeds.values():
            slate = self._slates.get((feed.codec, Slate.PANIC if stream.panic else Slate.RECONNECTING))
            if feed.viewers and slate is not None and feed.slate_due(now_ns):
                feed.show_slate(slate, now_ns)
                self._metrics.frames.labels("door_slates").inc()

    def _encoded(self, stream: Stream, feed: Feed, message: Message) -> None:
        is_slate = bool(message.flags & Flag.IS_SLATE)
        if stream.panic and not is_slate:
            return  # it was under way when panic was declared
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

    def _feed_gone(self, stream: Stream, feed: Feed, message: Message) -> None:
        self._end_feed(stream, (feed.name, feed.codec, feed.relay), message.json()["reason"])

    def _take_stats(self, stats: dict[str, Any]) -> None:
        self._metrics.take_stats(stats)
        self._room, self._counted = stats.get("room"), {int(ident) for ident in stats["streams"]}
        for ident, entry in stats["streams"].items():
            if (stream := self._by_ident.get(int(ident))) is not None:
                self._take_stream_stats(stream, entry, stats)
        for ident, entry in stats["feeds"].items():
            stream_and_feed = self._feed_by_ident.get(int(ident))
            if stream_and_feed is not None and entry["width"]:
                stream_and_feed[1].size = (entry["width"], entry["height"])
                stream_and_feed[1].fps = entry["fps"]

    def _take_stream_stats(self, stream: Stream, entry: dict[str, Any], stats: dict[str, Any]) -> None:
        feeds = [feed for feed in stats["feeds"].values() if feed["stream"] == stream.ident]
        feeds.sort(key=lambda feed: feed["feed"] != "redacted")
        stream.latency.add_drops(entry["drops"], [feed["drops"] for feed in feeds], self._clock_ns())
        if stream.rung != entry["rung"]:
            stream.rung = entry["rung"]
            self._changed()

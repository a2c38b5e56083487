"""Streams: who publishes what, who watches which feed of it, and what the studio has to do for that.

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
from server.door.broadcast import AccessUnit, AudioBroadcast, Broadcast
from server.door.feeds import Feeds
from server.door.latency import DEFAULT_S
from server.door.load import Load
from server.door.metadata import tell_viewers
from server.door.offer import CODECS
from server.door.orders import Orders, StudioPort
from server.door.policies import Policies
from server.door.streams import FULL, Incoming, Refused, Source, Stream, Watcher
from server.link import Kind, Message
from server.metrics import Metrics

logger = logging.getLogger(__name__)

TAKEOVER_NS: Final = 5_000_000_000
STREAM_LINGER_NS: Final = 30_000_000_000
"""How long viewers of a stream whose publisher has gone see the slate before they are sent away."""
RATE_INTERVAL_NS: Final = 500_000_000


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
        self._keep_audio = keep_audio
        self._changed, self._clock_ns = changed, clock_ns
        self._idents = itertools.count(1)
        self._by_ident: dict[int, Stream] = {}
        self.feeds = Feeds(
            self._orders, metrics, self._idents, max_feeds=max_feeds, changed=changed, evict=evict, clock_ns=clock_ns,
            make_broadcast=make_broadcast,
        )  # fmt: skip
        self.policies = Policies(
            self.streams, self.feeds, self._orders, first=policy or {}, by_name=policies, members=members, finds=finds,
            budget_ms=budget_ms, changed=changed, clock_ns=clock_ns,
        )  # fmt: skip
        self.load = Load(self.streams)
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

    def start(self, name: str, source: Source, peer: Incoming) -> Incoming | None:
        """Make `source` the stream's publisher; return the silent one that it takes over from, to be closed.

        Raises:
            Refused: another one was faster.
        """
        self.check_free(name)
        self.load.check_room(name)
        stream = self.streams.get(name)
        if stream is None:
            stream = self.streams[name] = self.policies.new_stream(name)
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
        self.feeds.relay(stream, unit, now_ns)
        if not self._orders.pass_on(stream, unit):
            stream.ask_for_key(now_ns)

    def on_gap(self, name: str, source: Source) -> None:
        """Units were lost: nothing can be decoded before the next key frame."""
        stream = self.streams.get(name)
        if stream is None or stream.source is not source:
            return
        for feed in stream.feeds.values():
            feed.needs_key = feed.needs_key or feed.relay
        self._orders.tell_gap(stream)
        stream.ask_for_key(self._clock_ns())

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
        usable = [codec for codec in CODECS if codec in offered]
        if not usable:
            raise Refused(422, "the offer has neither H264 nor VP8")
        relay = feed_name == "raw" and stream.codec in offered
        codec = stream.codec if relay else usable[0]
        feed = stream.feeds.get((feed_name, codec, relay)) or self.feeds.open(stream, feed_name, codec, relay)
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
        self.load.studio_lost()
        for stream in self.streams.values():
            self.feeds.end_fancams(stream, "the tracks have been lost")
            stream.tracks, stream.member_states = [], []
            for feed in stream.feeds.values():
                if not feed.relay:
                    feed.cut()
            self.feeds.show_slates(stream, now_ns)
        self._changed()

    def on_message(self, message: Message) -> None:
        """A message of the studio that serves, or a slate of one that is getting ready."""
        if message.kind is Kind.STATS:
            self._take_stats(message.json())
        elif message.kind in (Kind.SLATE, Kind.ENCODED, Kind.FEED_GONE):
            self.feeds.on_message(message)
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
                stream.ask_for_key(self._clock_ns())

    # Time

    def tick(self) -> None:
        """Ten times a second: slates where nothing comes, feeds without viewers, bit rates, streams that are over."""
        now_ns = self._clock_ns()
        rates_due = now_ns - self._rates_ns >= RATE_INTERVAL_NS
        if rates_due:
            self._rates_ns = now_ns
        for stream in list(self.streams.values()):
            self.feeds.show_slates(stream, now_ns)
            self.feeds.close_idle(stream, now_ns)
            self.feeds.ask_for_keys(stream, now_ns)
            if rates_due:
                self.feeds.pass_on_rates(stream)
            if stream.source is None and now_ns - stream.left_ns > STREAM_LINGER_NS:
                for feed in list(stream.feeds.values()):
                    self.feeds.end(stream, feed, "the stream has ended")
                self._forget(stream)

    def describe(self, *, names: bool = False) -> dict[str, Any]:
        """The body of GET /streams, with or without members' `names`."""
        now_ns, active = self._clock_ns(), self._studio.active
        policies = self.policies
        told = {"members": policies.members} if names and policies.members else {}
        told |= {"besides": policies.besides} if policies.besides else {}
        streams = [
            stream.describe(now_ns, active, names=names, members=policies.members)
            for _, stream in sorted(self.streams.items())
        ]
        return {**told, "streams": streams}

    def count_streams(self) -> Counter[str]:
        """Streams by state."""
        now_ns = self._clock_ns()
        return Counter(stream.state(now_ns, self._studio.active) for stream in self.streams.values())

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
        for feed in list(stream.feeds.values()):
            if feed.relay and feed.codec != codec:
                self.feeds.end(stream, feed, "the video's codec has changed")
            else:
                feed.needs_key = True
        self._introduce(stream)
        self._changed()

    def _introduce(self, stream: Stream) -> None:
        """Tell the studio of a stream that has a publisher."""
        self._orders.open_stream(stream)
        stream.key_asked_ns = 0
        stream.ask_for_key(self._clock_ns())

    def _drop_source(self, stream: Stream) -> None:
        """Forget the publisher and everything that was learnt from its video."""
        self.feeds.end_fancams(stream, "the publisher has gone")
        self._orders.close_stream(stream)
        self._by_ident.pop(stream.ident, None)
        self.feeds.renumber(stream)
        stream.source, stream.tracks, stream.member_states = None, [], []
        stream.recent.clear()

    def _forget(self, stream: Stream) -> None:
        for feed in list(stream.feeds.values()):
            self.feeds.close(stream, feed)
        if self.streams.get(stream.name) is stream:
            del self.streams[stream.name]
            self._metrics.forget_stream(stream.name)
        self._changed()

    def _take_stats(self, stats: dict[str, Any]) -> None:
        self._metrics.take_stats(stats)
        self.feeds.take_stats(stats["feeds"])
        if self.load.take_stats(stats, self._clock_ns()):
            self._changed()

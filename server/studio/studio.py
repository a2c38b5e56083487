"""The studio: pixels and no socket but the link. Reads the door's messages, holds streams and feeds, reports each second."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from engines.codecs.decode import Codec
from engines.codecs.encode import Encoder
from engines.detect.detector import Detector
from engines.render.redact import Redactor
from server.link import Flag, Kind, Message, Parser, Slate
from server.studio.costs import Cost, Costs
from server.studio.feeds import PANIC, LiveFeed
from server.studio.inference import Inference
from server.studio.ladder import RUNGS, Ladder, Rung
from server.studio.ledger import BUCKETS_MS, Tally, rss_bytes
from server.studio.load import LEAST_CORES, DoorShare, Machine, cores, demand, room, shown_fps
from server.studio.outbox import Outbox
from server.studio.streams import ORDER, Stream

logger = logging.getLogger(__name__)

TICK_S: Final = 0.1
STATS_INTERVAL_NS: Final = 1_000_000_000
STOOD_STILL_NS: Final = 400_000_000
SLATE_SIZE: Final = (640, 360)
JOIN_S: Final = 0.3
READ_BYTES: Final = 1 << 18


class Studio:
    """One epoch of the link on the blocking socket `link`.

    `make_detector(settings)` makes a detector, in the thread that will use it; `canary` says whether one finds the face in a
    known picture, `measure` what the stages cost with it. `on_fatal` is called from any thread when the studio cannot go
    on: the process must end. `renewed` is set from outside when `make_detector` has come to give a better one.
    """

    def __init__(
        self,
        link: socket.socket,
        make_detector: Callable[[dict[str, Any]], Detector],
        canary: Callable[[Detector], bool],
        on_fatal: Callable[[str], None],
        measure: Callable[[Detector], dict[str, Cost]] = lambda detector: {},
        renewed: threading.Event | None = None,
    ) -> None:
        self._link = link
        self._make_detector, self._canary, self._on_fatal = make_detector, canary, on_fatal
        self._measure, self._costs = measure, Costs()
        self._renewed = renewed or threading.Event()
        self._ladder, self._door, self._machine = Ladder(), DoorShare(os.getppid()), Machine()
        self._outbox = Outbox(link, on_fatal)
        self._detector_tally = Tally()
        self._inference: Inference | None = None
        self._settings: dict[str, Any] = {}
        self._streams: dict[int, Stream] = {}
        self._feeds: dict[int, LiveFeed] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._handlers: dict[Kind, Callable[[Message], None]] = {
            Kind.STREAM_OPEN: self._open_stream,
            Kind.STREAM_CLOSE: self._close_stream,
            Kind.ACCESS_UNIT: self._access_unit,
            Kind.GAP: self._gap,
            Kind.POLICY: self._policy,
            Kind.FEED_OPEN: self._open_feed,
            Kind.FEED_CLOSE: self._close_feed,
            Kind.FEED_KEY: self._feed_key,
            Kind.FEED_RATE: self._feed_rate,
            Kind.PING: self._ping,
        }

    def run(self) -> None:
        """Serve until the door says STOP or is gone; then close all."""
        parser = Parser()
        try:
            while data := self._link.recv(READ_BYTES):
                for message in parser.feed(data):
                    if message.kind is Kind.STOP:
                        return
                    self._handle(message)
        except ConnectionError as error:
            logger.info("the door has gone: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        """End all threads that can be ended; the encoders get a moment to finish."""
        self._stopped.set()
        with self._lock:
            feeds, streams = list(self._feeds.values()), list(self._streams.values())
            self._feeds, self._streams = {}, {}
        for feed in feeds:
            feed.close()
        for stream in streams:
            stream.close()
        if self._inference is not None:
            self._inference.close()
        deadline = time.monotonic() + JOIN_S
        for feed in feeds:
            feed.join(max(0.0, deadline - time.monotonic()))

    def _handle(self, message: Message) -> None:
        if message.kind is Kind.HELLO:
            self._hello(message)
        elif self._inference is not None and message.epoch == self._outbox.epoch:
            handler = self._handlers.get(message.kind)
            if handler is None:
                logger.warning("ignored a %s", message.kind.name)
            else:
                handler(message)

    def _hello(self, message: Message) -> None:
        if self._inference is not None:
            logger.warning("ignored a second HELLO")
            return
        self._outbox.epoch = message.epoch
        self._settings = message.json()
        self._send_slates()
        self._inference = Inference(
            lambda: self._make_detector(self._settings),
            self._canary,
            self._detector_tally,
            self._costs,
            on_ready=self._ready,
            on_fatal=self._on_fatal,
        )
        threading.Thread(target=self._tick, name="ticker", daemon=True).start()

    def _send_slates(self) -> None:
        """Key frames that the door shows while no studio is there, and in panic in place of what it relays."""
        width, height = SLATE_SIZE
        codecs: tuple[tuple[Codec, Flag], ...] = (("h264", Flag.H264), ("vp8", Flag.VP8))
        for codec, flag in codecs:
            for kind, reason in ((Slate.RECONNECTING, "reconnecting"), (Slate.PANIC, PANIC)):
                encoder = Encoder(codec, width, height)
                slate = Redactor().slate(width, height, reason, 0)
                for unit in encoder.encode(slate.picture.video_frame, 0, True):
                    self._outbox.send(Kind.SLATE, kind, unit.data, flag | Flag.KEY)
                slate.release()
                encoder.close()

    def _ready(self, detector: Detector) -> None:
        self._costs.begin_with(self._measure(detector))
        told = {"pid": os.getpid(), **detector.describe()}
        asked = self._settings.get("runtime", "auto")
        if asked not in ("auto", told["runtime"]):
            told["asked"] = asked
        self._outbox.send_json(Kind.READY, 0, told)

    def _open_stream(self, message: Message) -> None:
        assert self._inference is not None
        wish = message.json()
        self._close_stream(message)
        stream = Stream(
            message.ident,
            wish["name"],
            wish["codec"],
            wish.get("policy") or {},
            self._inference,
            self._outbox,
            self._costs,
            int(self._settings.get("look_ahead", 0)),
            self._settings.get("members", ()),
            int(self._settings.get("fancam_delay", 0)),
        )
        with self._lock:
            self._streams[message.ident] = stream

    def _close_stream(self, message: Message) -> None:
        with self._lock:
            stream = self._streams.pop(message.ident, None)
            feeds = [feed for feed in self._feeds.values() if feed.stream is stream]
        for feed in feeds:
            self._gone(feed, "the stream has ended")
        if stream is not None:
            stream.close()

    def _access_unit(self, message: Message) -> None:
        stream = self._streams.get(message.ident)
        if stream is not None:
            stream.push(bytes(message.body), message.rtp_time, message.arrival_ns, bool(message.flags & Flag.KEY))

    def _gap(self, message: Message) -> None:
        if (stream := self._streams.get(message.ident)) is not None:
            stream.gap()

    def _policy(self, message: Message) -> None:
        if (stream := self._streams.get(message.ident)) is not None:
            stream.set_policy(message.json())

    def _open_feed(self, message: Message) -> None:
        wish = message.json()
        name = wish["feed"]
        stream = self._streams.get(wish["stream"])
        if stream is None:
            self._refuse(message.ident, "no such stream")
            return
        kind, _, track = name.partition("/")
        if kind == "fancam" and track.isdecimal():
            if stream.tracks.index_of(int(track)) is None:
                self._refuse(message.ident, "no such track")
                return
        elif name not in ORDER:
            self._refuse(message.ident, "no such feed")
            return
        self._close_feed(message)
        feed = LiveFeed(message.ident, name, wish["codec"], wish.get("bit_rate"), stream, self._outbox, self._gone)
        with self._lock:
            self._feeds[message.ident] = feed
        stream.add(feed)

    def _refuse(self, ident: int, reason: str) -> None:
        self._outbox.send_json(Kind.FEED_GONE, ident, {"reason": reason})

    def _gone(self, feed: LiveFeed, reason: str) -> None:
        with self._lock:
            known = self._feeds.get(feed.ident) is feed
            if known:
                del self._feeds[feed.ident]
        feed.stream.remove(feed)
        feed.close()
        if known:
            self._refuse(feed.ident, reason)

    def _close_feed(self, message: Message) -> None:
        with self._lock:
            feed = self._feeds.pop(message.ident, None)
        if feed is not None:
            feed.stream.remove(feed)
            feed.close()

    def _feed_key(self, message: Message) -> None:
        if (feed := self._feeds.get(message.ident)) is not None:
            feed.request_key()

    def _feed_rate(self, message: Message) -> None:
        if (feed := self._feeds.get(message.ident)) is not None:
            feed.set_bit_rate(message.json()["bit_rate"])

    def _ping(self, message: Message) -> None:
        self._outbox.send(Kind.PONG, 0, bytes(message.body))

    def _tick(self) -> None:
        """Watch the detector, and report once a second."""
        assert self._inference is not None
        last_ns = reported_ns = time.monotonic_ns()
        while not self._stopped.wait(TICK_S):
            now_ns = time.monotonic_ns()
            if now_ns - last_ns > STOOD_STILL_NS:  # stopped and continued, or starved: so were the others
                self._inference.allow(now_ns - last_ns)
            last_ns = now_ns
            self._inference.watch(now_ns)
            if self._renewed.is_set():
                self._renewed.clear()
                self._inference.renew()
            if now_ns - reported_ns >= STATS_INTERVAL_NS:
                self._outbox.send_json(Kind.STATS, 0, self._stats())
                reported_ns = now_ns

    def _stats(self) -> dict[str, Any]:
        with self._lock:
            streams, feeds = dict(self._streams), dict(self._feeds)
        stats = self._report(streams, feeds)
        told: dict[int, list[Any]] = {ident: [] for ident in streams}
        for feed in stats["feeds"].values():
            told.get(feed["stream"], []).append(feed)
        left = max(LEAST_CORES, min(cores() - self._door.read(), self._machine.read()))
        demands = {ident: demand(entry, told[ident], self._costs, left) for ident, entry in stats["streams"].items()}
        self._ladder.step(demands, time.monotonic())
        for ident, stream in streams.items():
            rung = self._ladder.rung(ident)
            stats["streams"][ident] |= {"rung": self._set_rung(stream, rung), "rung_number": RUNGS.index(rung)}
            for feed in told[ident]:
                feed["fps"] = round(shown_fps(feed["feed"], stream.fps, rung, analysed_only=feed["analysed_only"]))
        stats["load"] = round(self._ladder.load(demands), 4)
        stats["room"] = room(demands.values(), self._costs, left)
        return stats

    @staticmethod
    def _set_rung(stream: Stream, rung: Rung) -> str:
        if rung is not stream.rung:
            logger.info("%s: %s, was %s", stream.name, rung.name, stream.rung.name)
            stream.rung = rung
        return rung.name

    def _report(self, streams: dict[int, Stream], feeds: dict[int, LiveFeed]) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "rss_bytes": rss_bytes(),
            "buckets_ms": BUCKETS_MS,
            "detector": self._detector_tally.take(),
            "streams": {
                ident: {
                    "name": stream.name, "fps": stream.fps, "width": (stream.size or (0, 0))[0],
                    "height": (stream.size or (0, 0))[1], "swaps_s": stream.take_swaps(), **stream.tally.take(),
                }
                for ident, stream in streams.items()
            },
            "feeds": {
                ident: {
                    "stream": feed.stream.ident, "feed": feed.name, "codec": feed.codec, "width": feed.size[0],
                    "height": feed.size[1], "bit_rate": feed.bit_rate, "analysed_only": feed.analysed_only,
                    **feed.tally.take(),
                }
                for ident, feed in feeds.items()
            },
        }  # fmt: skip

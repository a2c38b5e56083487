"""A hub with everything around it: a studio that remembers what it was told, publishers and viewers, and a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.door.broadcast import AccessUnit
from server.door.hub import Hub
from server.door.streams import Source, Watcher
from server.link import NO_FLAGS, Flag, Kind, Message, Slate, json_body
from server.metrics import Metrics

MS = 1_000_000
S = 1_000 * MS


@dataclass
class Port:
    """A studio that remembers what it was told."""

    active: bool = True
    ever_ready: bool = True
    backlog_bytes: int = 0
    sent: list[Message] = field(default_factory=list)

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None:
        if self.active:
            self.sent.append(Message(kind, ident, body, flags, 0, rtp_time, arrival_ns))

    def kinds(self) -> list[Kind]:
        return [message.kind for message in self.sent]

    def last(self, kind: Kind) -> Message:
        return [message for message in self.sent if message.kind is kind][-1]


class Recorder:
    """In place of a Broadcast."""

    def __init__(self, codec: str) -> None:
        self.units: list[AccessUnit] = []
        self.rate: int | None = None
        self.dropped = 0
        self.on_key_needed: Any = None

    def drop_queued(self) -> None:
        self.dropped += 1

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    def bit_rate(self) -> int | None:
        return self.rate


@dataclass
class FakePublisher:
    codec: str = "h264"
    last_packet_ns: int = 0
    keys: int = 0

    def request_key(self) -> None:
        self.keys += 1


@dataclass
class FakeViewer:
    texts: list[dict[str, Any]] = field(default_factory=list)

    def send_metadata(self, text: str) -> None:
        self.texts.append(json.loads(text))


class House:
    """A hub with everything around it; `now_ns` is its clock."""

    def __init__(
        self,
        policies: dict[str, dict[str, Any]] | None = None,
        make_broadcast: Callable[[str], Any] = Recorder,
        members: Sequence[str] = (),
        finds: Sequence[str] = ("face",),
        policy: dict[str, Any] | None = None,
        **port: Any,
    ) -> None:
        self.now_ns = 1_000 * S
        self.port = Port(**port)
        self.evicted: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.hub = Hub(
            self.port, self.metrics, max_feeds=3, keep_audio=False, policies=policies or {}, members=members,
            finds=finds, policy=policy,
            changed=lambda: None,
            evict=lambda watcher, reason: self.evicted.append((watcher.feed.name, reason)),
            clock_ns=lambda: self.now_ns, make_broadcast=make_broadcast,
        )  # fmt: skip
        for flag, name in ((Flag.H264, b"h264"), (Flag.VP8, b"vp8")):
            for kind, body in ((Slate.RECONNECTING, b"slate "), (Slate.PANIC, b"panic ")):
                self.hub.on_message(Message(Kind.SLATE, kind, body + name, flag | Flag.KEY))

    def publish(self, name: str = "stage", codec: str = "h264") -> tuple[Source, FakePublisher]:
        source, peer = Source(self.now_ns), FakePublisher(codec)
        self.hub.start(name, source, peer)
        return source, peer

    def watch(self, feed: str = "redacted", offered: Sequence[str] = ("vp8", "h264"), name: str = "stage") -> Watcher:
        watcher = self.hub.watch(name, feed, offered)
        watcher.peer = FakeViewer()
        return watcher

    def unit(self, source: Source, rtp_time: int, key: bool = False, data: bytes = b"au", name: str = "stage") -> None:
        source.peer.last_packet_ns = self.now_ns
        self.hub.on_unit(name, source, AccessUnit(data, rtp_time, key, self.now_ns, self.now_ns - 3 * MS))

    def encoded(self, watcher: Watcher, rtp_time: int, flags: Flag = NO_FLAGS, data: bytes = b"picture") -> None:
        self.hub.on_message(Message(Kind.ENCODED, watcher.feed.ident, data, flags, 0, rtp_time, self.now_ns - 5 * MS))

    def see(self, *tracks: int, name: str = "stage") -> None:
        body = json_body({"width": 640, "height": 360, "tracks": [{"id": track, "seconds": 1} for track in tracks]})
        self.hub.on_message(Message(Kind.TRACKS, self.hub.streams[name].ident, body))

    def wait(self, ms: int) -> None:
        """Time passes, with the hub's ticks."""
        for _ in range(ms // 100):
            self.now_ns += 100 * MS
            self.hub.tick()


def shown(watcher: Watcher) -> list[bytes]:
    return [unit.data for unit in watcher.feed.broadcast.units]

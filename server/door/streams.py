"""A stream: its publisher, its feeds and viewers, and what is told of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from server.door.broadcast import AudioBroadcast
from server.door.delay import HeldBack
from server.door.feed import KEY_INTERVAL_NS, Feed, FeedClock
from server.door.latency import LatencyLog
from server.door.viewers import Viewer
from server.link import OPUS_CLOCK_HZ

STALLED_NS: Final = 2_000_000_000
REMEMBERED_UNITS: Final = 128
STANDING_FEEDS: Final = ("redacted", "overlay", "raw")
FULL: Final = "full"
"""The rung of a stream that nothing is saved on."""


class Refused(Exception):
    """What was asked for cannot be had now; carries the HTTP status that says so."""

    def __init__(self, status: int, text: str, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.retry_after_s = status, text, retry_after_s


class Incoming(Protocol):
    """Where a stream's video comes in: a publisher's connection or an input of our own."""

    codec: str
    last_packet_ns: int

    def request_key(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Source:
    """One publisher's session, or an input; of a stream only one is current, what others send is ignored."""

    since_ns: int
    peer: Incoming | None = None
    describe_input: Callable[[], dict[str, Any]] | None = None
    """Of an input, which unlike a session keeps its stream while nothing comes."""
    held: HeldBack | None = None
    """What has come and is shown later, where there is a delay."""
    has_ended: bool = False
    """Only what is held of it is still shown."""

    def silent_ns(self, now_ns: int) -> int:
        last_ns = self.peer.last_packet_ns if self.peer else 0
        return now_ns - max(self.since_ns, last_ns)


@dataclass(slots=True, eq=False)
class Watcher:
    """One viewer of one feed."""

    stream: Stream
    feed: Feed
    peer: Viewer | None = None


@dataclass(slots=True, eq=False)
class Stream:
    """A stream with a publisher, or one whose publisher has just gone."""

    name: str
    ident: int
    policy: dict[str, Any]
    rung: str = FULL
    """How it is worked on: see `server.studio.ladder`."""
    budget_ms: int = 100
    """From a frame's arrival until it is sent."""
    audio: AudioBroadcast = field(default_factory=AudioBroadcast)
    audio_clock: FeedClock = field(default_factory=lambda: FeedClock(OPUS_CLOCK_HZ))
    source: Source | None = None
    codec: str = ""
    size: tuple[int, int] | None = None
    tracks: list[dict[str, Any]] = field(default_factory=list)
    """Of those with a member's name, `member` is the member's number and `state` how sure that is."""
    member_states: list[str] = field(default_factory=list)
    """Of each member the model knows: confirmed, unsure, coasting or lost; empty while nothing is known."""
    feeds: dict[tuple[str, str, bool], Feed] = field(default_factory=dict)
    """By `Feed.key`."""
    watchers: set[Watcher] = field(default_factory=set)
    stale_until_ns: int = 0
    """What arrived by then came before the last change of policy; the studio's pictures of it are not shown any more."""
    skipping: bool = True
    """Units are not sent to the studio before the next key frame."""
    left_ns: int = 0
    key_asked_ns: int = 0
    recent: OrderedDict[int, tuple[int, int]] = field(default_factory=OrderedDict)
    """The latest units' RTP and capture times by their arrival."""
    latency: LatencyLog = field(default_factory=LatencyLog)

    @property
    def panic(self) -> bool:
        return bool(self.policy.get("panic"))

    @property
    def zones(self) -> list[Any]:
        """What is burnt into all its feeds; a stream with zones has no raw feed."""
        return list(self.policy.get("zones", ()))

    def covers(self, names: bool) -> Any:
        """Who is covered, as the policy says it; without `names`, only whether it is everyone."""
        cover = self.policy.get("cover", "everyone")
        return cover if names or cover == "everyone" else "not everyone"

    def state(self, now_ns: int, studio_active: bool) -> str:
        if self.source is None or (self.source.silent_ns(now_ns) > STALLED_NS and not self.source.has_ended):
            return "stalled"
        on_slate = any(feed.on_slate for feed in self.feeds.values() if feed.name == "redacted" and feed.viewers)
        return "slate" if self.panic or on_slate or not studio_active else "live"

    @property
    def fancams(self) -> list[str]:
        """The feeds there could be of the people seen at present."""
        return [f"fancam/{track['id']}" for track in self.tracks]

    def remember(self, rtp_time: int, arrival_ns: int, captured_ns: int) -> None:
        """Keep a unit's times, which its metadata will be told with."""
        self.recent[arrival_ns] = rtp_time, captured_ns
        if len(self.recent) > REMEMBERED_UNITS:
            self.recent.popitem(last=False)

    def ask_for_key(self, now_ns: int) -> None:
        """Ask the publisher for a key frame, once per 500 ms whoever needs it."""
        peer = self.source.peer if self.source else None
        held = self.source.held if self.source else None
        if held is not None and held.key_is_coming:
            return
        if peer is not None and now_ns - self.key_asked_ns >= KEY_INTERVAL_NS:
            self.key_asked_ns = now_ns
            peer.request_key()

    def describe(self, now_ns: int, studio_active: bool, *, names: bool, members: Sequence[str] = ()) -> dict[str, Any]:
        """One entry of GET /streams, with or without `names`, those of the `members` whom the model knows."""
        feeds = []
        standing = [name for name in STANDING_FEEDS if name != "raw" or not self.zones]
        watched = [feed.name for feed in self.feeds.values()]
        for name in dict.fromkeys([*standing, *self.fancams, *watched]):
            versions = [feed for feed in self.feeds.values() if feed.name == name]
            size = self.size if name == "raw" else next((feed.size for feed in versions if feed.size), None)
            fps = next((feed.fps for feed in versions if feed.fps is not None), None)
            feeds.append({"name": name, "viewers": sum(feed.viewers for feed in versions), "size": size, "fps": fps})
        width, height = self.size or (None, None)
        told = {"members": dict(zip(members, self.member_states, strict=False))} if names and self.member_states else {}
        return {
            **told,
            "name": self.name,
            "state": self.state(now_ns, studio_active),
            "width": width,
            "height": height,
            "codec": self.codec,
            "panic": self.panic,
            "budget_ms": self.budget_ms,
            "rung": self.rung,
            "zones": self.zones,
            "cover": self.covers(names),
            "classes": self.policy.get("classes", []),
            "heads": self.policy.get("heads", False),
            "fancams": self.policy.get("fancams", "show all"),
            "input": self.source.describe_input() if self.source and self.source.describe_input else None,
            "feeds": feeds,
            "tracks": [_told(track, members if names else ()) for track in self.tracks],
        }


def _told(track: dict[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """A track as GET /streams has it: with the name it has and how sure that is, if it is one of `members`. Whoever may not know
    names does not learn that a track has one either: a covered person who is a member is not just anybody."""
    told = {"label": f"person {track['id']}", **track}
    member, state = told.pop("member", None), told.pop("state", None)
    if member is not None and member < len(members):
        told |= {"member": members[member], "state": state}
    return told

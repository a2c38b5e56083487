"""What the studio's counts say once a second: how each stream is worked on, and whether there is room for another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from server.door.streams import Refused, Stream

NO_ROOM_RETRY_S: Final = 10


class Load:
    """Of the studio that serves."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._room: int | None = None
        """How many streams there was room for besides those of `_counted`, when the studio last told."""
        self._counted: set[int] = set()

    def check_room(self, name: str) -> None:
        """Raises Refused(503) when there is no room for another stream though all others were on the lowest rung."""
        present = {stream.ident for stream in self._streams.values() if stream.source is not None}
        known = self._streams.get(name)
        if self._room is None or (known is not None and known.ident in self._counted & present):
            return
        if self._room - len(present - self._counted) <= 0:
            raise Refused(503, "this machine has no room for another stream", NO_ROOM_RETRY_S)

    def studio_lost(self) -> None:
        """The next studio has yet to say what it has room for."""
        self._room = None

    def take_stats(self, stats: dict[str, Any], now_ns: int) -> bool:
        """Note the studio's counts; whether a stream is on another rung now."""
        self._room, self._counted = stats.get("room"), {int(ident) for ident in stats["streams"]}
        changed = False
        for stream in self._streams.values():
            entry = stats["streams"].get(str(stream.ident))
            if stream.source is not None and entry is not None:
                feeds = [feed for feed in stats["feeds"].values() if feed["stream"] == stream.ident]
                feeds.sort(key=lambda feed: feed["feed"] != "redacted")
                stream.latency.add_drops(entry["drops"], [feed["drops"] for feed in feeds], now_ns)
                changed |= stream.rung != entry["rung"]
                stream.rung = entry["rung"]
        return changed

"""What each stream is told of its redaction and its budget, over a publisher's life and the next one's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engines.models.networks import FACES
from server.door.feeds import Feeds
from server.door.orders import Orders
from server.door.streams import Refused, Stream
from server.redaction import check_names

logger = logging.getLogger(__name__)


class Policies:
    """`first` is what every stream begins with, before what `by_name` has for it; `finds` are the models' classes."""

    def __init__(
        self,
        streams: Mapping[str, Stream],
        feeds: Feeds,
        orders: Orders,
        *,
        first: Mapping[str, Any],
        by_name: Mapping[str, dict[str, Any]],
        members: Sequence[str],
        finds: Sequence[str],
        budget_ms: int,
        changed: Callable[[], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self.members = tuple(members)
        self.besides = tuple(name for name in finds if name not in (*FACES, *members))
        """What could be covered besides faces."""
        self._streams, self._feeds, self._orders = streams, feeds, orders
        self._first, self._by_name, self._finds = dict(first), dict(by_name), tuple(finds)
        self._budget_ms = budget_ms
        self._budgets_ms: dict[str, int] = {}
        self._changed, self._clock_ns = changed, clock_ns

    def new_stream(self, name: str) -> Stream:
        """A stream as it begins under this name."""
        policy = {**self._first, **self._by_name.get(name, {})}
        if (cover := policy.get("cover", "everyone")) != "everyone":
            logger.info("%s: redaction begins with cover %s", name, cover, extra={"stream": name})
        return Stream(name, 0, policy, budget_ms=self._budgets_ms.get(name, self._budget_ms))

    def change(self, name: str, change: dict[str, Any], by: str) -> dict[str, Any]:
        """Change a stream's redaction at once; it holds for later publishers of the name too. `by` is logged.

        Raises:
            Refused: 404 no such stream; 422 it names somebody whom the model does not know.
        """
        stream = self._find(name)
        try:
            check_names(change, self.members, self._finds)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        stream.policy.update(change)
        told = ", ".join(f"{key} {value}" for key, value in change.items())
        logger.info("%s: redaction is told %s, by %s", name, told, by, extra={"stream": name})
        self._by_name[name] = dict(stream.policy)
        if stream.zones:
            for feed in [feed for feed in stream.feeds.values() if feed.name == "raw"]:
                feed.broadcast.drop_queued()
                self._feeds.end(stream, feed, "the stream has privacy zones")
        if stream.source is not None:
            self._orders.change_policy(stream, change)
        self._take_back(stream, change)
        self._feeds.show_slates(stream, self._clock_ns())
        self._changed()
        return dict(stream.policy)

    def set_budget(self, name: str, budget_ms: int) -> None:
        """Give the stream's frames so long from arrival until sent; it holds for later publishers of the name too.

        Raises:
            Refused: 404 no such stream.
        """
        stream = self._find(name)
        stream.budget_ms = self._budgets_ms[name] = budget_ms
        if stream.source is not None:
            self._orders.change_policy(stream, {"budget_ms": budget_ms})
        self._changed()

    def _find(self, name: str) -> Stream:
        if name not in self._streams:
            raise Refused(404, f"no stream {name}")
        return self._streams[name]

    def _take_back(self, stream: Stream, change: dict[str, Any]) -> None:
        """What was covered by another policy and still waits is not shown; in panic nothing is."""
        if stream.panic and stream.source is not None and stream.source.held is not None:
            stream.source.held.clear()
        otherwise = not change.keys().isdisjoint({"cover", "classes", "heads", "fancams", "zones"})
        if otherwise or stream.panic:
            stream.stale_until_ns = next(reversed(stream.recent), 0)
        for feed in stream.feeds.values():
            if stream.panic or (otherwise and not feed.relay):
                feed.broadcast.drop_queued()
            if stream.panic and feed.relay:
                feed.cut()

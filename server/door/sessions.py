"""The WebRTC sessions that clients have opened: their addresses, how many there may be, and when they end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from server.door.access import Right
from server.door.limits import OfferRate
from server.door.publishers import Publisher
from server.door.streams import Refused
from server.door.viewers import Viewer

logger = logging.getLogger(__name__)

MAX_UNCONNECTED: Final = 16
MAX_UNCONNECTED_AN_ADDRESS: Final = 4
CONNECT_TIMEOUT_S: Final = 15
CLOSE_TIMEOUT_S: Final = 2
PLACES: Final = {"publisher": "streams", "viewer": "viewers"}
"""The settings that say how many there may be."""


@dataclass(slots=True, eq=False)
class Session:
    """One peer connection, or an offer of one that is being answered (`peer` is None)."""

    kind: str
    """"publisher" or "viewer"."""
    stream: str
    needs: Right
    """The scope that PATCH and DELETE need, which is the one that POST needed."""
    address: str
    since_s: float
    ident: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    etag: str = field(default_factory=lambda: f'"{secrets.token_hex(8)}"')
    peer: Publisher | Viewer | None = None

    @property
    def connected(self) -> bool:
        return self.peer is not None and self.peer.connected


class Sessions:
    """All sessions, by their secret idents."""

    def __init__(self, max_publishers: int, max_viewers: int) -> None:
        self._caps = {"publisher": max_publishers, "viewer": max_viewers}
        self._sessions: dict[str, Session] = {}
        self._rate = OfferRate()
        self._tasks: set[asyncio.Task[None]] = set()

    def count(self, kind: str) -> int:
        return sum(session.kind == kind for session in self._sessions.values())

    def find(self, ident: str, kind: str) -> Session | None:
        session = self._sessions.get(ident)
        return session if session is not None and session.kind == kind and session.peer is not None else None

    @contextmanager
    def opening(self, kind: str, stream: str, needs: Right, address: str) -> Iterator[Session]:
        """A session while its offer is answered; it stays when the block has given it a peer.

        Raises:
            Refused: 429 too many offers from this address, 503 as many sessions as there may be.
        """
        now_s = time.monotonic()
        if not self._rate.allow(address, now_s):
            raise Refused(429, f"at most {OfferRate.PER_SECOND} offers a second", 1)
        if self.count(kind) >= self._caps[kind]:
            raise Refused(503, f"as many {kind}s already as there may be (--max-{PLACES[kind]})", 5)
        waiting = [session for session in self._sessions.values() if not session.connected]
        if len(waiting) >= MAX_UNCONNECTED:
            raise Refused(503, f"{MAX_UNCONNECTED} sessions are connecting already", 2)
        if sum(session.address == address for session in waiting) >= MAX_UNCONNECTED_AN_ADDRESS:
            raise Refused(429, f"{MAX_UNCONNECTED_AN_ADDRESS} sessions of this address are connecting already", 2)
        session = Session(kind, stream, needs, address, now_s)
        self._sessions[session.ident] = session
        try:
            yield session
        finally:
            if session.peer is None:
                self.forget(session)

    def take_place(self) -> None:
        """An input of the server's own takes a publisher's place.

        Raises:
            Refused: 503 there is none.
        """
        if self.count("publisher") >= self._caps["publisher"]:
            raise Refused(503, "as many publishers already as there may be (--max-streams)", 5)
        self._caps["publisher"] -= 1

    def give_place(self) -> None:
        self._caps["publisher"] += 1

    def forget(self, session: Session) -> None:
        self._sessions.pop(session.ident, None)

    def end(self, session: Session) -> None:
        """Close a session's peer connection, in the background."""
        self.forget(session)
        if session.peer is not None:
            self.run(session.peer.close())

    def end_unconnected(self) -> None:
        """End the sessions whose media has not come through within 15 s."""
        now_s = time.monotonic()
        for session in list(self._sessions.values()):
            if session.peer is not None and not session.connected and now_s - session.since_s > CONNECT_TIMEOUT_S:
                name, kind = session.stream, session.kind
                logger.info("%s: a %s did not connect in %d s", name, kind, CONNECT_TIMEOUT_S, extra={"stream": name})
                self.end(session)

    async def close(self) -> None:
        """End everything, and wait for it for a while."""
        for session in list(self._sessions.values()):
            self.end(session)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end in the background; what it raises is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("closing a session failed", exc_info=task.exception())

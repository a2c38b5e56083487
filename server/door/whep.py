"""WHEP (draft-ietf-wish-whep): a feed goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request, Response

from server.door.access import client_address, right_to_view
from server.door.broadcast import Broadcast
from server.door.limits import MAX_SDP_BYTES, StreamName, check_feed, read_body
from server.door.problems import may_be
from server.door.streams import Refused, Watcher
from server.door.viewers import answer_viewer
from server.door.whip import (
    ANSWER,
    FRAGMENT_BODY,
    SDP,
    SDP_BODY,
    TRICKLED,
    counted,
    created,
    delete,
    find,
    patch,
    preflight,
)

router = APIRouter(tags=["WHEP"])
WATCHED: Final = {**ANSWER, **may_be(404)}


@router.post(
    "/whep/{stream}/{feed:path}", status_code=201, response_class=Response, responses=WATCHED, openapi_extra=SDP_BODY
)
async def watch_feed(stream: StreamName, feed: str, request: Request) -> Response:
    """Watch a feed: `redacted`, `overlay`, `raw` or `fancam/NUMBER`; the overlay shows faces, so it needs view-raw."""
    return await watch(stream, feed, request)


@router.post("/{stream}/whep", status_code=201, response_class=Response, responses=WATCHED, openapi_extra=SDP_BODY)
async def watch_default(stream: StreamName, request: Request, feed: str = "redacted") -> Response:
    """Watch a stream, redacted unless another feed is named."""
    return await watch(stream, feed, request)


@router.patch("/whep/session/{session}", status_code=204, responses=TRICKLED, openapi_extra=FRAGMENT_BODY)
async def trickle(session: str, request: Request) -> Response:
    """Add ICE candidates to a session."""
    return await patch(find(request, session, "viewer"), request)


@router.delete("/whep/session/{session}", response_class=Response, responses=may_be(404))
async def stop(session: str, request: Request) -> Response:
    """Stop watching."""
    return await delete(find(request, session, "viewer"), request)


@router.options("/whep/session/{session}", response_class=Response, responses=may_be())
async def session_options(session: str, request: Request) -> Response:
    """What may be posted, and by which origin."""
    return preflight(request)


@router.options("/whep/{stream}/{feed:path}", response_class=Response, responses=may_be(404, 422))
async def feed_options(stream: StreamName, feed: str, request: Request) -> Response:
    """What may be posted, and by which origin."""
    return preflight(request)


@router.options("/{stream}/whep", response_class=Response, responses=may_be(422))
async def options(stream: StreamName, request: Request) -> Response:
    """What may be posted, and by which origin."""
    return preflight(request)


async def watch(stream: str, feed: str, request: Request) -> Response:
    door = request.app.state.door
    check_feed(feed)
    needs = right_to_view(feed)
    door.access.authorize(request, frozenset({needs}))
    offer = await read_body(request, SDP, MAX_SDP_BYTES)
    with counted(door, "whep"):
        door.hub.check_watchable(stream, feed)
        with door.sessions.opening("viewer", stream, needs, client_address(request)) as session:
            watcher: Watcher | None = None

            def pick(offered: Sequence[str]) -> Broadcast:
                nonlocal watcher
                watcher = door.hub.watch(stream, feed, offered)
                return watcher.feed.broadcast

            def closed() -> None:
                if watcher is not None:
                    door.hub.leave(watcher)
                door.sessions.forget(session)

            try:
                peer = await answer_viewer(
                    offer,
                    pick=pick,
                    audio=door.hub.audio_of(stream, feed),
                    metadata=True,
                    on_closed=closed,
                    network=door.network,
                )
            except BaseException:
                closed()
                raise
            if watcher is None or watcher not in watcher.stream.watchers:
                await peer.close()
                raise Refused(409, f"{feed} of {stream} has ended meanwhile", 2)
            session.peer = watcher.peer = peer
    return created(door, session, f"/whep/session/{session.ident}")

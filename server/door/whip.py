"""WHIP (RFC 9725): video comes in. The answers that WHIP and WHEP have in common are here too.

Cross-origin use from web pages is not offered: OPTIONS allows the page's own origin only, and the guard refuses the rest.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response

from server.door.access import Right, client_address, is_origin
from server.door.limits import MAX_FRAGMENT_BYTES, MAX_SDP_BYTES, StreamName, read_body
from server.door.offer import OfferError
from server.door.problems import BODY, may_be
from server.door.publishers import answer_publisher
from server.door.sessions import Session
from server.door.streams import Refused, Source

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
SDP_BODY: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": {SDP: {"schema": {"type": "string"}}}}}
FRAGMENT_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {FRAGMENT: {"schema": {"type": "string"}}}}
}
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    201: {"description": "The answer.", "content": {SDP: {}}},
    **may_be(*BODY, 409, 429, 503),
}
TRICKLED: Final = may_be(*BODY, 404, 412, 428)

logger = logging.getLogger(__name__)
router = APIRouter(tags=["WHIP"])


@router.post("/whip/{stream}", status_code=201, response_class=Response, responses=ANSWER, openapi_extra=SDP_BODY)
@router.post("/{stream}/whip", status_code=201, response_class=Response, responses=ANSWER, openapi_extra=SDP_BODY)
async def publish(stream: StreamName, request: Request) -> Response:
    """Publish a stream: the body is an SDP offer, the answer comes with the session's address."""
    door = request.app.state.door
    door.access.authorize(request, frozenset({Right.PUBLISH}))
    offer = await read_body(request, SDP, MAX_SDP_BYTES)
    with counted(door, "whip"):
        door.hub.check_free(stream)
        door.hub.load.check_room(stream)
        with door.sessions.opening("publisher", stream, Right.PUBLISH, client_address(request)) as session:
            source = Source(time.monotonic_ns())

            def closed() -> None:
                door.delay.stop(stream, source)
                door.sessions.forget(session)

            peer = await answer_publisher(
                offer,
                on_unit=lambda unit: door.delay.on_unit(stream, source, unit),
                on_gap=lambda: door.delay.on_gap(stream, source),
                on_audio=lambda payload, rtp_time: door.delay.on_audio(stream, source, payload, rtp_time),
                on_closed=closed,
                network=door.network,
            )
            try:
                replaced = door.hub.start(stream, source, peer)
            except Refused:
                await peer.close()
                raise
            session.peer = peer
            if replaced is not None:
                door.sessions.run(replaced.close())
    return created(door, session, f"/whip/{stream}/{session.ident}")


@router.patch("/whip/{stream}/{session}", status_code=204, responses=TRICKLED, openapi_extra=FRAGMENT_BODY)
async def trickle(stream: StreamName, session: str, request: Request) -> Response:
    """Add ICE candidates to a session."""
    return await patch(find(request, session, "publisher", stream), request)


@router.delete("/whip/{stream}/{session}", response_class=Response, responses=may_be(404, 422))
async def stop(stream: StreamName, session: str, request: Request) -> Response:
    """Stop publishing."""
    return await delete(find(request, session, "publisher", stream), request)


@router.options("/whip/{stream}", response_class=Response, responses=may_be(422))
@router.options("/{stream}/whip", response_class=Response, responses=may_be(422))
async def options(stream: StreamName, request: Request) -> Response:
    """What may be posted, and by which origin."""
    return preflight(request)


@router.options("/whip/{stream}/{session}", response_class=Response, responses=may_be())
async def session_options(stream: str, session: str, request: Request) -> Response:
    """What may be posted, and by which origin."""
    return preflight(request)


class counted:
    """Counts an offer by its outcome, and turns the refusals of hub, sessions and peers into HTTP."""

    def __init__(self, door: Any, kind: str) -> None:
        self._door, self._kind = door, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        status = error.status if isinstance(error, Refused | OfferError) else 201 if error is None else 500
        self._door.metrics.offers.labels(self._kind, str(status)).inc()
        if isinstance(error, Refused | OfferError):  # what follows a colon may be a piece of the offer
            logger.warning("a %s offer is refused: %s %s", self._kind, status, error.text.partition(":")[0])
        if isinstance(error, OfferError):
            again = {"Retry-After": "5"} if error.status == 503 else None
            raise HTTPException(error.status, error.text, again) from error


def created(door: Any, session: Session, location: str) -> Response:
    assert session.peer is not None
    headers = {"Location": location, "ETag": session.etag, "Accept-Patch": FRAGMENT}
    return with_ice_servers(door, Response(session.peer.answer_sdp, 201, headers, SDP))


def with_ice_servers(door: Any, response: Response) -> Response:
    for server in door.settings.ice_servers:
        response.headers.append("Link", server.link())
    return response


def find(request: Request, ident: str, kind: str, stream: str | None = None) -> Session:
    """The session, for a caller that may have it; to all others there is none (404)."""
    door = request.app.state.door
    session: Session | None = door.sessions.find(ident, kind)
    needed = frozenset({session.needs}) if session else frozenset(Right)
    door.access.authorize(request, needed)
    if session is None or stream not in (None, session.stream):
        raise HTTPException(404, "no such session")
    return session


async def patch(session: Session, request: Request) -> Response:
    """Trickle ICE (RFC 8840); ICE restarts are refused, and the session goes on."""
    fragment = await read_body(request, FRAGMENT, MAX_FRAGMENT_BYTES)
    tag = request.headers.get("if-match")
    if tag is None:
        raise HTTPException(428, "If-Match with the session's ETag is needed")
    if tag == "*":
        raise HTTPException(422, "no ICE restarts: open a new session")
    if tag != session.etag:
        raise HTTPException(412, "the session's ETag is another")
    assert session.peer is not None
    try:
        await session.peer.add_candidate(fragment)
    except OfferError as error:
        raise HTTPException(error.status, error.text) from error
    return Response(status_code=204)


async def delete(session: Session, request: Request) -> Response:
    assert session.peer is not None
    request.app.state.door.sessions.forget(session)
    await session.peer.close()
    return Response(status_code=200)


def preflight(request: Request) -> Response:
    """What OPTIONS gets. Callers who may do something here are told of the ICE servers, which most clients must know before
    they offer (RFC 9725 §4.6); a browser's preflight, which carries no token, is not."""
    headers = {"Accept-Post": SDP}
    origin = request.headers.get("origin")
    if origin is not None and is_origin(origin, request.headers["host"]):
        headers |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
            "Access-Control-Expose-Headers": "Location, ETag, Link",
            "Vary": "Origin",
        }
    response = Response(status_code=200, headers=headers)
    door = request.app.state.door
    caller = door.access.caller(request.headers.get("authorization"), client_address(request))
    if caller is None or "access-control-request-method" in request.headers:
        return response
    return with_ice_servers(door, response)

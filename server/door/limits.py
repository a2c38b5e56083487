"""Caps on what a stranger sends: bodies, offers a second, names."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from typing import Annotated, Any, Final, TypeVar

from fastapi import HTTPException, Path, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from server.redaction import first_of
from server.settings import NAME_PATTERN

MAX_SDP_BYTES: Final = 64 << 10
MAX_FRAGMENT_BYTES: Final = 8 << 10
MAX_JSON_BYTES: Final = 64 << 10
BODY_TIMEOUT_S: Final = 10

FEED_PATTERN: Final = re.compile(r"redacted|overlay|raw|fancam/[0-9]{1,9}")

M = TypeVar("M", bound=BaseModel)
StreamName = Annotated[str, Path(pattern=NAME_PATTERN, description="lower-case letters, digits, - and _, at most 64")]


def check_feed(feed: str) -> str:
    """The feed's name, if there can be such a feed; HTTPException 422 if not."""
    if not FEED_PATTERN.fullmatch(feed):
        raise HTTPException(422, "a feed is redacted, overlay, raw or fancam/NUMBER")
    return feed


async def read_body(request: Request, media_type: str, limit_bytes: int) -> str:
    """A request's body as text.

    Raises:
        HTTPException: 415 another type, 413 too long, 408 slower than 10 s, 400 not UTF-8, or the caller has gone.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != media_type:
        raise HTTPException(415, f"the body must be {media_type}")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise HTTPException(413, f"the body is over {limit_bytes} bytes", {"Connection": "close"})
    except TimeoutError:
        raise HTTPException(408, f"the body took over {BODY_TIMEOUT_S} s", {"Connection": "close"}) from None
    except ClientDisconnect:  # nobody hears this answer
        raise HTTPException(400, "the body ended early") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8") from None


async def read_json(request: Request, kind: type[M]) -> M:
    """A request's JSON body as this kind; HTTPException as `read_body`, 422 with the first thing that is wrong."""
    body = await read_body(request, "application/json", MAX_JSON_BYTES)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, first_of(error)) from None


def takes_json(kind: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body by `read_json`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": kind.model_json_schema()}}}}


class OfferRate:
    """At most so many offers a second of an address, or at once: a bucket an address, the oldest forgotten first."""

    PER_SECOND: Final = 5
    MAX_ADDRESSES: Final = 4096

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, address: str, now_s: float) -> bool:
        level, since_s = self._buckets.pop(address, (0.0, now_s))
        level = max(0.0, level - (now_s - since_s) * self.PER_SECOND)
        allowed = level + 1 <= self.PER_SECOND
        self._buckets[address] = (level + allowed, now_s)
        if len(self._buckets) > self.MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed

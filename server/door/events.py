"""Server-sent events: what GET /streams says, whenever it changes, and a heartbeat."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from fastapi import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.door.access import Caller

logger = logging.getLogger(__name__)

MAX_LISTENERS: Final = 64
MAX_LISTENERS_A_CALLER: Final = 4
MAX_QUEUED: Final = 64
HEARTBEAT_S: Final = 5
MIN_INTERVAL_S: Final = 0.1
SEND_TIMEOUT_S: Final = 10


def encode(event: str, data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class Events:
    """Tells all listeners what `describe` returns, soon after `changed` was called and at most ten times a second."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._listeners: dict[asyncio.Queue[bytes | None], str] = {}
        self._is_due = asyncio.Event()
        self._told = b""

    def __len__(self) -> int:
        return len(self._listeners)

    def changed(self) -> None:
        self._is_due.set()

    def close(self) -> None:
        """End all connections."""
        for queue in list(self._listeners):
            self._end(queue)

    async def run(self) -> None:
        """Send events and heartbeats, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._is_due.wait()
            except TimeoutError:
                self._send(encode("heartbeat", {}))
                continue
            self._is_due.clear()
            text = encode("streams", self._describe())
            if text != self._told:
                self._told = text
                self._send(text)
            await asyncio.sleep(MIN_INTERVAL_S)

    def listen(self, caller: Caller) -> EventStream:
        """A response that goes on for as long as its reader keeps up.

        Raises:
            HTTPException: 429 this caller has 4 already, 503 there are 64.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            raise HTTPException(503, f"{MAX_LISTENERS} listeners already", {"Retry-After": "5"})
        if Counter(self._listeners.values())[caller.key] >= MAX_LISTENERS_A_CALLER:
            raise HTTPException(
                429, f"{MAX_LISTENERS_A_CALLER} listeners already for this caller", {"Retry-After": "5"}
            )
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners[queue] = caller.key
        queue.put_nowait(encode("streams", self._describe()))
        return EventStream(queue, self._end)

    def _send(self, text: bytes) -> None:
        for queue in list(self._listeners):
            queue.put_nowait(text)
            if queue.qsize() > MAX_QUEUED:
                self._end(queue)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        if self._listeners.pop(queue, None) is not None:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)


class EventStream(Response):
    """One listener's connection; its end, from either side, gives the place free."""

    media_type = "text/event-stream"

    def __init__(self, queue: asyncio.Queue[bytes | None], end: Callable[[asyncio.Queue[bytes | None]], None]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._queue, self._end = queue, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = asyncio.create_task(self._send_all(send))
        reader = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end(self._queue)
            sender.cancel()
            reader.cancel()
            await asyncio.gather(sender, reader, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while (text := await self._queue.get()) is not None:
            async with asyncio.timeout(SEND_TIMEOUT_S):  # a reader that does not read is let go
                await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

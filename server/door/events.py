"""Server-sent events: what GET /streams says, whenever it changes, and a heartbeat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from fastapi import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.door.access import Caller

MAX_LISTENERS: Final = 64
MAX_LISTENERS_A_CALLER: Final = 4
MAX_QUEUED: Final = 64
HEARTBEAT_S: Final = 5
MIN_INTERVAL_S: Final = 0.1
SEND_TIMEOUT_S: Final = 10
END_TIMEOUT_S: Final = 0.5
"""How long a listener has to take the last event; less than the server waits for its connections when it ends."""


def encode(event: str, data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class Events:
    """Tells all listeners what `describe(names)` returns, with members' names for those who may know them, soon after
    `changed` was called and at most ten times a second."""

    def __init__(self, describe: Callable[[bool], dict[str, Any]]) -> None:
        self._describe = describe
        self._listeners: dict[EventStream, Caller] = {}
        self._is_due = asyncio.Event()
        self._told = b""

    def __len__(self) -> int:
        return len(self._listeners)

    def changed(self) -> None:
        self._is_due.set()

    def close(self) -> None:
        """End all connections."""
        for listener in list(self._listeners):
            listener.end()

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
            named = encode("streams", self._describe(True))
            if named != self._told:
                self._told = named
                self._send(named, encode("streams", self._describe(False)))
            await asyncio.sleep(MIN_INTERVAL_S)

    def listen(self, caller: Caller) -> EventStream:
        """A response that goes on for as long as its reader keeps up.

        Raises:
            HTTPException: 429 this caller has 4 already, 503 there are 64.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            raise HTTPException(503, f"{MAX_LISTENERS} listeners already", {"Retry-After": "5"})
        if sum(other.key == caller.key for other in self._listeners.values()) >= MAX_LISTENERS_A_CALLER:
            raise HTTPException(
                429, f"{MAX_LISTENERS_A_CALLER} listeners already for this caller", {"Retry-After": "5"}
            )
        listener = EventStream(lambda listener: self._listeners.pop(listener, None))
        self._listeners[listener] = caller
        listener.tell(encode("streams", self._describe(caller.may_know_names)))
        return listener

    def _send(self, text: bytes, nameless: bytes | None = None) -> None:
        """Tell all; those who may not know members' names `nameless` in its place."""
        for listener, caller in list(self._listeners.items()):
            listener.tell(text if nameless is None or caller.may_know_names else nameless)


class EventStream(Response):
    """One listener's connection; `on_end` is called at its end, from either side."""

    media_type = "text/event-stream"

    def __init__(self, on_end: Callable[[EventStream], object]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._on_end = on_end
        self._sender: asyncio.Task[None] | None = None

    def tell(self, text: bytes) -> None:
        """Send an event; a listener that has too many of them waiting is let go."""
        self._queue.put_nowait(text)
        if self._queue.qsize() > MAX_QUEUED:
            self.end()

    def end(self) -> None:
        """End the response; of a listener that does not read, in half a second and in the middle of an event."""
        self._on_end(self)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
        if self._sender is not None:
            asyncio.get_running_loop().call_later(END_TIMEOUT_S, self._sender.cancel)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = self._sender = asyncio.create_task(self._send_all(send))
        reader = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_end(self)
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

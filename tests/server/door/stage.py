"""Publishers and viewers of the door connected to plain aiortc on loopback, and closed in the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from server.door.broadcast import AudioBroadcast, Broadcast
from server.door.publishers import Publisher
from server.door.viewers import Viewer
from tests.server.door.plain import Sender, Taker, encoded
from tests.server.door.rtc import until


class Stage:
    """Opens publishers and viewers that are connected, and closes them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def publisher(self, sender: Sender) -> Publisher:
        publisher = await sender.start()
        self._stack.push_async_callback(publisher.close)
        self._stack.push_async_callback(sender.pc.close)
        await until(lambda: publisher.connected and sender.pc.connectionState == "connected", "a publisher")
        return publisher

    async def viewer(self, taker: Taker, feed: Broadcast, audio: AudioBroadcast | None = None) -> Viewer:
        viewer = await taker.start(feed, audio)
        self._stack.push_async_callback(viewer.close)
        self._stack.push_async_callback(taker.pc.close)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a viewer")
        return viewer


def on_stage(work: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await work(Stage(stack))

    asyncio.run(run())


def frame_number(data: bytes, codec: str) -> int:
    """Which of `encoded` this is; start codes of three and four bytes are the same."""

    def plain(data: bytes) -> bytes:
        return data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01")

    return [plain(frame.data) for frame in encoded(codec)].index(plain(data))


def sockets() -> int:
    """How many this process has open."""

    def link(number: str) -> str:
        try:
            return os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one that listing them needs
            return ""

    return sum("socket" in link(number) for number in os.listdir("/proc/self/fd"))

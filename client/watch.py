"""Our WHEP client (draft-ietf-wish-whep): receives a feed undecoded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCSessionDescription

from client.session import delete, post_offer, turn_servers
from server.door import rtp
from server.door.broadcast import AccessUnit
from server.door.publishers import Publisher

CONNECT_S: Final = 10


class Lost(Exception):
    """The connection broke, or never came about."""


class Watcher:
    """Watches one feed: as an async context manager, connected inside.

    `on_unit` gets whole access units as they arrive, `on_metadata` the data channel's messages.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        on_unit: Callable[[AccessUnit], None] = lambda unit: None,
        on_audio: Callable[[bytes, int], None] = lambda payload, rtp_time: None,
        on_metadata: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._url, self._token = url, token
        self._session_url: str | None = None
        self._over = asyncio.Event()
        self._incoming: Publisher
        self._on_unit, self._on_audio, self._on_metadata = on_unit, on_audio, on_metadata

    @property
    def codec(self) -> str:
        return self._incoming.codec

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def stats(self) -> dict[str, int]:
        return self._incoming.stats()

    async def __aenter__(self) -> Watcher:
        """
        Raises:
            Refused, Unreachable, Lost.
        """
        rtp.prepare()
        servers = await turn_servers(self._url, self._token)
        self._incoming = Publisher(self._on_unit, lambda: None, self._on_audio, self._over.set, servers)
        peer = self._incoming.pc
        video = peer.addTransceiver("video", direction="recvonly")
        audio = peer.addTransceiver("audio", direction="recvonly")
        on_metadata = self._on_metadata
        if on_metadata is not None:
            channel = peer.createDataChannel("fancam", ordered=False, maxRetransmits=0)
            channel.on("message", lambda text: on_metadata(json.loads(text)))
        try:
            await peer.setLocalDescription(await peer.createOffer())
            answer, self._session_url = await post_offer(self._url, self._token, peer.localDescription.sdp)
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            self._incoming.listen(video, audio)
            deadline_s = time.monotonic() + CONNECT_S
            while not self._incoming.connected:
                if self.over or time.monotonic() > deadline_s:
                    raise Lost("no media connection came about")
                await asyncio.sleep(0.02)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ConnectionError):
            await self._incoming.close()
        if self._session_url is not None:
            await asyncio.shield(delete(self._session_url, self._token))

    async def wait(self, seconds: float | None) -> None:
        """Until the feed ends, or that long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

"""Our WHIP client (RFC 9725): publishes a source, and comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from client.session import Refused, Unreachable, delete, post_offer, turn_servers
from server.door import rtp, senders
from server.door.broadcast import AccessUnit, AudioBroadcast, Broadcast
from server.pull.source import Source

logger = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
CONNECT_S: Final = 10
SILENCE_S: Final = 6
"""A server that has not reported what it receives for this long is gone."""


class Lost(Exception):
    """The connection broke."""


async def publish(
    name: str, url: str, *, token: str | None = None, loop: bool = False, say: Callable[[str], None] = lambda text: None
) -> None:
    """Publish until the source ends; forever when it loops or is a camera. Cancel to stop; the session is deleted then.

    Raises:
        SourceError: the source cannot be read.
        Refused: the server's no is final.
    """
    rtp.prepare()
    wait_s = FIRST_WAIT_S
    while True:
        started_s = time.monotonic()
        try:
            servers = await turn_servers(url, token)
            source = await asyncio.to_thread(Source, name, loop)
            await Session(source, url, token, servers).run(lambda: say(f"publishing {name} to {url}"))
            return
        except (Refused, Unreachable, Lost) as error:
            if isinstance(error, Refused) and error.final:
                raise
            if time.monotonic() - started_s > CONNECT_S:
                wait_s = FIRST_WAIT_S
            say(f"{error}; again in {wait_s:g} s")
        await asyncio.sleep(wait_s)
        wait_s = min(LONGEST_WAIT_S, 2 * wait_s)


class Session:
    """One connection to a WHIP endpoint."""

    def __init__(self, source: Source, url: str, token: str | None, ice_servers: list[RTCIceServer]) -> None:
        self._source, self._url, self._token = source, url, token
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers))
        self._video, self._audio = Broadcast(source.codec), AudioBroadcast()
        self._heard_s = time.monotonic()

    async def run(self, on_connected: Callable[[], None]) -> None:
        """Until the source ends.

        Raises:
            Refused, Unreachable, Lost, SourceError.
        """
        session_url = None
        try:
            answer, session_url = await post_offer(self._url, self._token, await self._offer())
            await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await self._connected()
            on_connected()
            await self._send()
        finally:
            self._source.stopped.set()
            self._source.close()
            with contextlib.suppress(ConnectionError):
                await self._peer.close()
            if session_url is not None:
                await asyncio.shield(delete(session_url, self._token))

    async def _offer(self) -> str:
        track = self._video.attach()
        video = self._peer.addTransceiver(track, direction="sendonly")
        video.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities("video").codecs
                if codec.name.lower() in (self._source.codec, "rtx")
            ]
        )
        senders.pack_with(video.sender, senders.Packer(lambda bit_rate: None))
        senders.on_key_request(video.sender, self._source.want_key)
        senders.on_receiver_report(video.sender, self._heard)
        if self._source.has_audio:
            sound = self._peer.addTransceiver(self._audio.attach(), direction="sendonly")
            sound.setCodecPreferences(
                [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.name.lower() == "opus"]
            )
            senders.pack_with(sound.sender, senders.Packer(lambda bit_rate: None))
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    def _heard(self) -> None:
        self._heard_s = time.monotonic()

    async def _connected(self) -> None:
        deadline_s = time.monotonic() + CONNECT_S
        while self._peer.connectionState != "connected":
            if rtp.closed(self._peer) or time.monotonic() > deadline_s:
                raise Lost("no media connection came about")
            await asyncio.sleep(0.02)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()

        def on_video(data: bytes, rtp_time: int, key: bool, arrival_ns: int) -> None:
            unit = AccessUnit(data, rtp_time, key, arrival_ns, 0)
            loop.call_soon_threadsafe(self._video.push, unit)

        def on_audio(payload: bytes, rtp_time: int) -> None:
            loop.call_soon_threadsafe(self._audio.push, payload, rtp_time)

        self._heard()
        reading = asyncio.ensure_future(asyncio.to_thread(self._source.run, on_video, on_audio))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=0.2)
                if rtp.closed(self._peer) or time.monotonic() - self._heard_s > SILENCE_S:
                    raise Lost("the server is gone")
            await reading
        finally:
            self._source.stopped.set()
            await asyncio.wait([reading])

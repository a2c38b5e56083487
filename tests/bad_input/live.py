"""A connection over DTLS and SRTP on which good frames come all the time, and bad packets in between."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pylibsrtp
from aiortc.rtp import RtpPacket

from server.door import publishers
from tests.bad_input.serving import Server
from tests.server.door.plain import FRAME_TICKS, Sender, encoded
from tests.server.door.rtc import Viewer, until

FPS = 30
FRAMES_S = 5
ENOUGH = 2
"""Frames after which a connection is said to go on."""


class Threaded:
    """A connection on a loop in a thread of its own; `errors` is what has been logged of exceptions."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._handler = _Errors(self.errors)
        logging.getLogger().addHandler(self._handler)
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        raise NotImplementedError

    async def _close(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        logging.getLogger().removeHandler(self._handler)


class Live(Threaded):
    """A plain aiortc publisher with sound, and the door's end of it."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.last = RtpPacket()
        """The latest good video packet that was sent."""
        self._numbers = itertools.count(1)
        super().__init__()

    async def _open(self) -> None:
        self.sender = Sender(self.codec, sound=True)
        self.publisher: publishers.Publisher = await self.sender.start()
        self.sender.lose = self._note
        self._pumping = asyncio.ensure_future(self._pump())
        await until(lambda: self.sender.units, "a frame")

    def _note(self, packet: RtpPacket) -> bool:
        if packet.payload_type == self.payload_type("video"):
            self.last = packet
        return False

    async def _pump(self) -> None:
        frames = encoded(self.codec)
        began_s = time.monotonic()
        for number in itertools.count():
            self.sender.video.send(frames[number % len(frames)].data, FRAME_TICKS * number)
            await asyncio.sleep(max(0.0, began_s + (number + 1) / FPS - time.monotonic()))

    def payload_type(self, kind: str) -> int:
        return int(self.publisher.answer_sdp.split(f"m={kind} ")[1].split()[2])

    def throw(self, packets: list[bytes], rtcp: bool = False) -> None:
        """Packets that the door gets; then good frames must still come.

        They go through SRTP, except what it lets nobody send: what is no packet at all, and the stream's own numbers again.
        """
        self.run(self._throw(packets, rtcp))
        assert not self.errors, self.errors

    async def _throw(self, packets: list[bytes], rtcp: bool) -> None:
        transport = self.publisher.pc.getTransceivers()[0].receiver.transport
        handle = transport._handle_rtcp_data if rtcp else lambda data: transport._handle_rtp_data(data, 0)
        for data in packets:
            try:
                if not rtcp and data[8:12] == self.last.ssrc.to_bytes(4, "big"):
                    await handle(data)
                elif rtcp:
                    await self._protected(data, rtcp)
                else:
                    number = next(self._numbers) & 0xFFFF
                    await self._protected(data[:2] + number.to_bytes(2, "big") + data[4:], rtcp)
            except pylibsrtp.Error:
                await handle(data)
        before = len(self.sender.units)
        await until(lambda: len(self.sender.units) >= before + ENOUGH, "frames after a bad packet", FRAMES_S)

    async def _protected(self, data: bytes, rtcp: bool) -> None:
        transport = self.sender.transceiver.sender.transport
        session = transport._tx_srtp
        await transport.transport._send(session.protect_rtcp(data) if rtcp else session.protect(data))

    async def _close(self) -> None:
        self._pumping.cancel()
        await asyncio.gather(self._pumping, return_exceptions=True)
        await self.sender.pc.close()
        await self.publisher.close()


class LiveViewer(Threaded):
    """A plain aiortc viewer of a feed of a real server."""

    def __init__(self, server: Server, path: str) -> None:
        self._server, self._path = server, path
        super().__init__()

    async def _open(self) -> None:
        self.viewer = Viewer(self._server, self._path)  # type: ignore[arg-type]
        assert (await self.viewer.offer()).status == 201
        await until(lambda: self.viewer.lumas, "a picture")

    def throw(self, packets: list[bytes]) -> None:
        """RTCP through SRTCP; then pictures must still come."""
        self.run(self._throw(packets))
        assert not self.errors, self.errors

    async def _throw(self, packets: list[bytes]) -> None:
        transport = self.viewer.pc.getTransceivers()[0].receiver.transport
        for data in packets:
            await transport.transport._send(transport._tx_srtp.protect_rtcp(data))
        before = len(self.viewer.lumas)
        await until(lambda: len(self.viewer.lumas) > before, "pictures after a bad packet", FRAMES_S)

    def throw_data(self, packets: list[bytes]) -> None:
        """What is taken for SCTP, through DTLS; then pictures must still come."""
        self.run(self._throw_data(packets))
        assert not self.errors, self.errors

    async def _throw_data(self, packets: list[bytes]) -> None:
        for data in packets:
            await self.viewer.pc.sctp.transport._send_data(data)
        await self._throw([])

    def say(self, texts: list[str]) -> None:
        """On the data channel, in order."""
        self.run(self._say(texts))

    async def _say(self, texts: list[str]) -> None:
        channel = self.viewer.channel
        await until(lambda: channel.readyState == "open", "an open data channel")
        for text in texts:
            channel.send(text)
        await self._throw([])

    @property
    def tag(self) -> int:
        """The verification tag that the server takes packets with."""
        return int(self.viewer.pc.sctp._remote_verification_tag)

    async def _close(self) -> None:
        await self.viewer.ask("DELETE", self.viewer.session)
        await self.viewer.close()


class _Errors(logging.Handler):
    """Keeps what is logged of exceptions."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info or "Traceback" in text:
            self._kept.append(text + str(record.exc_info or ""))

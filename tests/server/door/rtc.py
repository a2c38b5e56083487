"""A publisher and a viewer made of plain aiortc, which know WHIP and WHEP and nothing of Fancam."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import av
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError

from tests.server.door.running import DEADLINE_S, Answer, Running

SIZE = (320, 240)


class Camera(VideoStreamTrack):
    """Grey pictures, a little brighter each time."""

    def __init__(self) -> None:
        super().__init__()
        self.running = asyncio.Event()
        self.running.set()
        self.period = 100
        """Of the brightness, in pictures."""
        self._number = 0

    @property
    def luma(self) -> int:
        """Of the last picture."""
        return 60 + self._number % self.period

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        await self.running.wait()
        self._number += 1
        picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        picture[: SIZE[1]] = self.luma
        frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Peer:
    """One peer connection and its session at the door."""

    def __init__(self, door: Running, path: str, **headers: str) -> None:
        self.door, self.path, self.headers = door, path, headers
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.answer: Answer | None = None

    @property
    def session(self) -> str:
        assert self.answer is not None
        return str(self.answer.headers["Location"])

    async def offer(self, path: str | None = None) -> Answer:
        """Offer, and take the answer if there is one."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await self.ask("POST", path or self.path, self.pc.localDescription.sdp, Content_Type="application/sdp")
        if answer.status == 201:
            self.answer = answer
            await self.pc.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        return answer

    async def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        return await asyncio.to_thread(self.door.ask, method, path, body, **self.headers, **headers)

    async def close(self) -> None:
        await self.pc.close()


class Publisher(Peer):
    def __init__(self, door: Running, path: str, *codecs: str, **headers: str) -> None:
        super().__init__(door, path, **headers)
        self.camera = Camera()
        transceiver = self.pc.addTransceiver(self.camera, "sendonly")
        transceiver.setCodecPreferences(preferred(codecs or ("H264",)))


class Viewer(Peer):
    """Counts what it is shown; `lumas` holds the brightness of each picture, `sounds` counts packets of sound."""

    def __init__(self, door: Running, path: str, *codecs: str, **headers: str) -> None:
        super().__init__(door, path, **headers)
        self.lumas: list[float] = []
        self.sounds = 0
        self.texts: list[dict[str, Any]] = []
        transceiver = self.pc.addTransceiver("video", "recvonly")
        transceiver.setCodecPreferences(preferred(codecs or ("H264", "VP8")))
        self.channel = self.pc.createDataChannel("fancam", ordered=False, maxRetransmits=0)
        self.channel.on("message", lambda text: self.texts.append(json.loads(text)))
        self._watching: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self._watching.append(asyncio.ensure_future(self._watch(track))))

    async def _watch(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                if track.kind == "audio":
                    self.sounds += 1
                    continue
                self.lumas.append(float(frame.to_ndarray()[: frame.height].mean()))
        except MediaStreamError:
            pass

    async def close(self) -> None:
        await super().close()
        for watching in self._watching:  # the track of a peer that never connected does not end by itself
            watching.cancel()
        for ended in await asyncio.gather(*self._watching, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


def preferred(names: tuple[str, ...]) -> list[Any]:
    known = RTCRtpSender.getCapabilities("video").codecs
    return [codec for name in names for codec in known if codec.mimeType == f"video/{name}"]


async def until(true: Any, what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait until `true()` is, and return what it returned."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (value := true()):  # noqa: ASYNC110 (what is waited for happens in the door)
                await asyncio.sleep(0.02)
            return value
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s} s: {what}") from None

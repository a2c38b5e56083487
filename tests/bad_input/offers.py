"""An offer as a plain aiortc peer makes it, to be spoilt."""

from __future__ import annotations

import asyncio
from functools import cache

from aiortc import RTCConfiguration, RTCPeerConnection

SDP = "application/sdp"


@cache
def offer(direction: str) -> str:
    """Audio and video, `sendonly` to publish and `recvonly` to watch."""

    async def make() -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            for kind in ("audio", "video"):
                pc.addTransceiver(kind, direction)
            await pc.setLocalDescription(await pc.createOffer())
            return str(pc.localDescription.sdp)
        finally:
            await pc.close()

    return asyncio.run(make())

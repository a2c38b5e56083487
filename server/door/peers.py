"""What publishers and viewers have in common: one peer connection that answers once and closes once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from server.door import rtp
from server.door.network import Network, NoPort
from server.door.offer import MAX_CANDIDATES, Offer, OfferError, read_fragment

ANY_NETWORK: Final = Network()


class Peer:
    """One peer connection; `on_closed` is called once, however it ends."""

    def __init__(self, on_closed: Callable[[], None], ice_servers: Sequence[RTCIceServer] = ()) -> None:
        # Without servers aiortc asks no public STUN server; our host candidates are all in the answer.
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self.answer_sdp = ""
        self._on_closed: Callable[[], None] | None = on_closed
        self._offer: Offer | None = None
        self._candidates = 0
        self._loops: list[asyncio.Task[None]] = []
        self._work: set[asyncio.Future[None]] = set()
        self.pc.on("connectionstatechange", self._state_changed)

    @property
    def connected(self) -> bool:
        return self.pc.connectionState == "connected"

    async def add_candidate(self, fragment: str) -> None:
        """Take a trickled fragment (RFC 8840). Candidates are counted and not used: see `server.door.offer.Offer`.

        Raises:
            OfferError: 400 no fragment; 422 a restart of ICE, or too many candidates in this session.
        """
        self._candidates += read_fragment(fragment, self._offer.ufrags if self._offer else frozenset())
        if self._candidates > MAX_CANDIDATES:
            raise OfferError(422, f"at most {MAX_CANDIDATES} candidates a session")

    async def close(self) -> None:
        """End it; `on_closed` has been called when this returns."""
        await rtp.close(self.pc)
        self._closed()

    async def describe(self, offer: Offer) -> None:
        """Take the offer. Who calls this closes what could not be taken or answered.

        Raises:
            OfferError: 400 it cannot be understood.
        """
        self._offer = offer
        try:
            await self.pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        except Exception as error:  # aiortc raises nearly anything at what it cannot parse
            raise OfferError(
                400, f"the offer cannot be understood: {str(error)[:200] or type(error).__name__}"
            ) from error

    async def answer(self, network: Network) -> None:
        """Answer what has been taken, with sockets of `network`.

        Raises:
            OfferError: 400, or 503 when no UDP port is free.
        """
        try:
            rtp.gather_from(self.pc, network)
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            answer = str(self.pc.localDescription.sdp)
            self.answer_sdp = self._offer.restore(answer) if self._offer else answer
        except NoPort as error:
            raise OfferError(503, str(error)) from error
        except Exception as error:  # aiortc raises nearly anything at a description that fits nowhere
            raise OfferError(
                400, f"the offer cannot be answered: {str(error)[:200] or type(error).__name__}"
            ) from error

    def _state_changed(self) -> None:
        if rtp.closed(self.pc):
            self._closed()
            if self.pc.connectionState == "failed":
                self._spawn(rtp.close(self.pc))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end in the background; closing does not cancel it, since it may be the closing."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _closed(self) -> None:
        for loop in self._loops:
            loop.cancel()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


def capabilities(kind: str, names: Sequence[str]) -> list[Any]:
    """aiortc's capabilities of these codecs, in this order, and resending for video."""
    known = RTCRtpSender.getCapabilities(kind).codecs
    wanted = [codec for name in names for codec in known if codec.mimeType.lower() == f"{kind}/{name}"]
    return wanted + [codec for codec in known if codec.mimeType.lower() == f"{kind}/rtx"]

"""Plain aiortc on the other side of `answer_publisher` and `answer_viewer`: sends frames encoded beforehand, and keeps packets."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import HeaderExtensions, RtpPacket, is_rtcp, pack_header_extensions, unpack_header_extensions

from engines.codecs.encode import Encoded, Encoder
from server.door import broadcast, publishers, receivers, rtp, tap, viewers
from tests.server.door.rtc import preferred, until
from tests.server.door.running import DEADLINE_S

SIZE = (320, 240)
FRAME_TICKS = 3000
KEY_EVERY = 15


@cache
def encoded(codec: str, count: int = 60) -> tuple[Encoded, ...]:
    """Noise, so that a frame needs a few packets; a key frame each half second."""
    noise = np.random.default_rng(1)
    encoder = Encoder(codec, *SIZE, bit_rate=1_500_000)  # type: ignore[arg-type]
    frames: list[Encoded] = []
    for number in range(count):
        picture = av.VideoFrame.from_ndarray(noise.integers(96, 160, (SIZE[1] * 3 // 2, SIZE[0]), np.uint8), "yuv420p")
        frames += encoder.encode(picture, FRAME_TICKS * number, number % KEY_EVERY == 0)
    encoder.close()
    return tuple(frames)


def wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give no frame up for want of a resend that this machine has not read yet."""
    for name in ("GIVE_UP_NS", "LONGEST_PATIENCE_NS"):
        monkeypatch.setattr(tap, name, 5_000_000_000)


def unit_of(frame: Encoded, number: int) -> broadcast.AccessUnit:
    """`frame` as the `number`th of a feed."""
    return broadcast.AccessUnit(frame.data, FRAME_TICKS * number, frame.key, time.monotonic_ns(), 0)


class Packets(MediaStreamTrack):
    """Sends what it is given, as it is."""

    def __init__(self, kind: str, clock_hz: int) -> None:
        self.kind = kind
        super().__init__()
        self._clock_hz = clock_hz
        self._queue: asyncio.Queue[av.Packet] = asyncio.Queue()

    def send(self, data: bytes, rtp_time: int) -> None:
        packet = av.Packet(data)
        packet.pts, packet.time_base = rtp_time, Fraction(1, self._clock_hz)
        self._queue.put_nowait(packet)

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        return await self._queue.get()


class Sender:
    """Publishes; `lose` is asked about each RTP packet, resends too; `keys_asked` counts the PLIs it was sent."""

    def __init__(self, codec: str = "h264", *, sound: bool = False) -> None:
        rtp.prepare()
        self.codec = codec
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.video = Packets("video", 90_000)
        self.transceiver = self.pc.addTransceiver(self.video, "sendonly")
        self.transceiver.setCodecPreferences(preferred((codec.upper(), "rtx")))
        self.sound = Packets("audio", 48_000)
        if sound:
            self.pc.addTransceiver(self.sound, "sendonly")
        self.units: list[broadcast.AccessUnit] = []
        self.sounds: list[tuple[bytes, int]] = []
        self.gaps = self.closed = self.keys_asked = 0
        self.lose: Callable[[RtpPacket], bool] = lambda packet: False
        self.rtcp: list[bytes] = []

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def start(self) -> publishers.Publisher:
        publisher = await publishers.answer_publisher(
            await self.offer(),
            on_unit=self.units.append,
            on_gap=self._gap,
            on_audio=lambda payload, rtp_time: self.sounds.append((payload, rtp_time)),
            on_closed=self._count_closed,
        )
        sender = self.transceiver.sender
        send, take = sender.transport._send_rtp, sender.transport._handle_rtcp_data

        async def send_rtp(data: bytes) -> None:
            if is_rtcp(data) or not self.lose(RtpPacket.parse(data)):
                await send(data)

        async def handle_rtcp(data: bytes) -> None:
            self.rtcp.append(data)
            await take(data)

        sender.transport._send_rtp, sender.transport._handle_rtcp_data = send_rtp, handle_rtcp
        sender._send_keyframe = self._key_asked
        await self.pc.setRemoteDescription(RTCSessionDescription(publisher.answer_sdp, "answer"))
        return publisher

    def number_packets(self) -> None:
        """Give packets transport-wide sequence numbers, as browsers do."""
        numbers = itertools.count()
        extensions = self.transceiver.sender._RTCRtpSender__rtp_header_extensions_map
        write = extensions.set

        def write_with_number(values: HeaderExtensions) -> tuple[int, bytes]:
            values.transport_sequence_number = next(numbers) & 0xFFFF
            return write(values)

        extensions.set = write_with_number

    def stamp_packets(self, age_ms: float) -> None:
        """Say in each packet's header that it was captured `age_ms` ago (abs-capture-time, id 6 in our own offers)."""
        extensions = self.transceiver.sender._RTCRtpSender__rtp_header_extensions_map
        write = extensions.set

        def write_with_time(values: HeaderExtensions) -> tuple[int, bytes]:
            ntp = int((receivers.ntp_now_ns() - age_ms * 1e6) / 1e9 * (1 << 32))
            return pack_header_extensions([*unpack_header_extensions(*write(values)), (6, ntp.to_bytes(8, "big"))])

        extensions.set = write_with_time

    async def send(self, frames: tuple[Encoded, ...], seconds_a_frame: float = 0.01) -> None:
        for frame in frames:
            self.video.send(frame.data, frame.pts_90k)
            await asyncio.sleep(seconds_a_frame)

    async def send_until(self, true: Callable[[], bool], what: str) -> None:
        """Thirty frames a second, in the time of the clock."""
        frames = encoded(self.codec)
        began_s = time.monotonic()
        for number in range(round(30 * DEADLINE_S)):
            if true():
                return
            self.video.send(frames[number % len(frames)].data, FRAME_TICKS * number)
            await asyncio.sleep(max(0.0, began_s + (number + 1) / 30 - time.monotonic()))
        raise AssertionError(f"not within {DEADLINE_S} s: {what}")

    def _gap(self) -> None:
        self.gaps += 1

    def _count_closed(self) -> None:
        self.closed += 1

    def _key_asked(self) -> None:
        self.keys_asked += 1


@dataclass(frozen=True)
class Wire:
    """An RTP packet as it came, and its header extensions by id."""

    packet: RtpPacket
    extensions: dict[int, bytes]


class Taker:
    """Watches; keeps every RTP packet."""

    def __init__(self, *codecs: str, sound: bool = False, channel: bool = False) -> None:
        rtp.prepare()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.transceiver = self.pc.addTransceiver("video", "recvonly")
        self.transceiver.setCodecPreferences(preferred(tuple(codec.upper() for codec in codecs or ("h264",))))
        if sound:
            self.pc.addTransceiver("audio", "recvonly")
        self.texts: list[str] = []
        if channel:
            opened = self.pc.createDataChannel("fancam", ordered=False, maxRetransmits=0)
            opened.on("message", self.texts.append)
        self.wires: list[Wire] = []
        self.closed = 0

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def start(self, feed: broadcast.Broadcast, audio: broadcast.AudioBroadcast | None = None) -> viewers.Viewer:
        viewer = await viewers.answer_viewer(
            await self.offer(), pick=lambda codecs: feed, audio=audio, metadata=True, on_closed=self._count_closed
        )
        transport = self.transceiver.receiver.transport
        handle = transport._handle_rtp_data

        async def handle_rtp(data: bytes, arrival_time_ms: int) -> None:
            packet = RtpPacket.parse(data)
            length = 12 + 4 * (data[0] & 15)
            extensions = {}
            if data[0] & 16:
                profile = int.from_bytes(data[length : length + 2], "big")
                end = length + 4 + 4 * int.from_bytes(data[length + 2 : length + 4], "big")
                extensions = dict(unpack_header_extensions(profile, data[length + 4 : end]))
            self.wires.append(Wire(packet, extensions))
            await handle(data, arrival_time_ms)

        transport._handle_rtp_data = handle_rtp
        await self.pc.setRemoteDescription(RTCSessionDescription(viewer.answer_sdp, "answer"))
        return viewer

    def _count_closed(self) -> None:
        self.closed += 1


def with_sender(
    work: Callable[[Sender, publishers.Publisher], Awaitable[None]], codec: str = "h264", sound: bool = False
) -> None:
    """Run `work` with a sender that is connected to a publisher of the door's."""

    async def run() -> None:
        sender = Sender(codec, sound=sound)
        publisher = await sender.start()
        try:
            await until(lambda: publisher.connected and sender.pc.connectionState == "connected", "a connection")
            await work(sender, publisher)
        finally:
            await sender.pc.close()
            await publisher.close()

    asyncio.run(run())


async def answered(sdp: str) -> str:
    """What the door answers a publisher who offers `sdp`, and closes again."""
    publisher = await publishers.answer_publisher(
        sdp,
        on_unit=lambda unit: None,
        on_gap=lambda: None,
        on_audio=lambda payload, rtp_time: None,
        on_closed=lambda: None,
    )
    await publisher.close()
    return publisher.answer_sdp

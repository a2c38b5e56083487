"""What a publisher may not do, and that nothing is left of one that has gone."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from fractions import Fraction

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from engines.bitstream import Refusable, picture_size
from server.door import broadcast, publishers, rtp
from server.door.feedback import Feedback
from server.door.rate import MAX_BYTES, MAX_PACKETS, SECOND_NS, Rate
from tests.server.door.rtc import Camera, preferred, until

MS = 1_000_000


class Session:
    """A plain aiortc peer that publishes 320×240 in H.264, and the publisher it is to the door."""

    def __init__(self) -> None:
        rtp.prepare()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.transceiver = self.pc.addTransceiver(Camera(), "sendonly")
        self.transceiver.setCodecPreferences(preferred(("H264",)))
        self.units: list[broadcast.AccessUnit] = []
        self.closed = 0

    def _count_closed(self) -> None:
        self.closed += 1

    async def start(self) -> publishers.Publisher:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        publisher = await publishers.answer_publisher(
            self.pc.localDescription.sdp,
            on_unit=self.units.append,
            on_gap=lambda: None,
            on_audio=lambda payload, rtp_time: None,
            on_closed=self._count_closed,
        )
        await self.pc.setRemoteDescription(RTCSessionDescription(publisher.answer_sdp, "answer"))
        return publisher


def with_session(work: Callable[[Session], Awaitable[None]]) -> None:
    async def run() -> None:
        session = Session()
        try:
            await work(session)
        finally:
            await session.pc.close()

    asyncio.run(run())


def test_a_publisher_that_goes_away_leaves_no_task() -> None:
    async def work(session: Session) -> None:
        before = asyncio.all_tasks()
        await session.start()
        await until(lambda: session.units, "a frame")
        await session.pc.close()
        await until(lambda: session.closed, "the door's notice of it")
        await until(lambda: asyncio.all_tasks() <= before, "an end of all tasks")
        assert session.closed == 1

    with_session(work)


def test_a_flood_of_ssrcs_ends_the_session_and_no_account_is_kept_of_them() -> None:
    async def work(session: Session) -> None:
        publisher = await session.start()
        await until(lambda: session.units, "a frame")
        sender = session.transceiver.sender
        chance = random.Random(1)
        payload_type = int(publisher.answer_sdp.split("m=video ")[1].split()[2])
        with contextlib.suppress(ConnectionError):
            for number in range(400):
                packet = RtpPacket(payload_type, 0, number, number, chance.getrandbits(32), b"abc")
                await sender.transport._send_rtp(packet.serialize())
        await until(lambda: session.closed, "the session's end")
        async with asyncio.timeout(10):
            await publisher.close()
        assert publisher.stats()["foreign_packets"] < 20

    with_session(work)


def test_too_large_a_picture_is_dropped_and_ends_the_session_the_third_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishers, "MAX_PIXELS", 320 * 240 - 1)

    async def work(session: Session) -> None:
        publisher = await session.start()
        await until(lambda: session.closed, "the session's end")
        await until(lambda: not publisher.connected, "the connection's end")
        assert not session.units
        assert publisher.stats()["refused_frames"] == 3

    with_session(work)


def key_frame(width: int, height: int, params: str = "") -> bytes:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 30)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params}
    return b"".join(map(bytes, [*encoder.encode(av.VideoFrame(width, height, "yuv420p")), *encoder.encode(None)]))


@pytest.mark.parametrize("size", [(1920, 1080), (320, 240), (322, 246)])
def test_the_size_that_is_read_is_the_one_encoded(size: tuple[int, int]) -> None:
    assert picture_size("h264", key_frame(*size)) == size


def test_a_large_picture_cropped_to_a_small_one_is_refused() -> None:
    with pytest.raises(Refusable, match="cut off"):
        picture_size("h264", key_frame(1024, 1024, "crop-rect=0,0,704,784"))


def test_a_loss_between_two_reports_is_reported() -> None:
    feedback = Feedback()
    for number in (1, 2, 5, 6):
        if number == 5:
            assert len(list(feedback.packets())) == 1
        feedback.note(number, number * MS, 7)
    (packet,) = feedback.packets()
    first, count = int.from_bytes(packet[12:14], "big"), int.from_bytes(packet[14:16], "big")
    chunk = int.from_bytes(packet[20:22], "big")
    assert (first, count) == (3, 4)
    assert [chunk >> shift & 3 for shift in (12, 10, 8, 6)] == [0, 0, 1, 1]


def test_what_is_over_a_seconds_share_is_dropped_and_counted_by_the_second() -> None:
    rate = Rate()
    now_ns = 5 * SECOND_NS
    assert all(rate.allows(100, now_ns) for _ in range(MAX_PACKETS))
    assert not rate.allows(100, now_ns)
    assert rate.allows(MAX_BYTES, now_ns + SECOND_NS)
    assert rate.over_s == 1
    assert not rate.allows(1, now_ns + SECOND_NS)
    assert rate.allows(1, now_ns + 2 * SECOND_NS)
    assert rate.over_s == 2
    assert rate.allows(1, now_ns + 3 * SECOND_NS)
    assert rate.over_s == 0

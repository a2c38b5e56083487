"""What is taken from aiortc's receivers, name by name, seen from the other end of a real connection.

Each test fails when the name it is about is gone from aiortc, or has come to mean something else.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from aiortc.rtp import (
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
)

from server.door import receivers
from server.door.publishers import Publisher
from tests.server.door.plain import Sender, encoded, wait_long, with_sender
from tests.server.door.rtc import until

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_unit_leaves_the_jitter_buffer_with_its_marker(codec: str) -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        (frame,) = encoded(codec)[:1]
        sender.video.send(frame.data, frame.pts_90k)
        await until(lambda: sender.units, "the unit, although nothing follows it")
        assert publisher.codec == codec
        assert sender.units[0].key
        if codec == "vp8":
            assert sender.units[0].data == frame.data
        else:
            assert without_zeros(sender.units[0].data) == without_zeros(frame.data)

    with_sender(work, codec)


def without_zeros(data: bytes) -> bytes:
    """Start codes of three and of four bytes are the same to a decoder."""
    return data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01")


def rtcp(sender: Sender) -> list[object]:
    return [packet for data in sender.rtcp for packet in RtcpPacket.parse(data)]


def estimates(sender: Sender) -> list[object]:
    """REMB (draft-alvestrand-rmcat-remb)."""
    return [packet for packet in rtcp(sender) if isinstance(packet, RtcpPsfbPacket) and packet.fmt == 15]


def feedback(sender: Sender) -> list[bytes]:
    """Transport-wide feedback, each a packet of its own."""
    return [data for data in sender.rtcp if data[:2] == bytes([0x80 | 15, 205])]


def test_a_pli_and_a_nack_come_to_the_sender() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        sender.video.send(encoded("h264")[0].data, 0)
        await until(lambda: sender.units, "a unit")
        receiver, ssrc = publisher._receiver, publisher._ssrc
        assert receiver is not None
        assert ssrc == sender.transceiver.sender._ssrc
        await receivers.send_pli(receiver, ssrc)
        await until(lambda: sender.keys_asked, "the PLI")
        await receivers.send_nack(receiver, ssrc, [7, 9])
        found = await until(lambda: [p for p in rtcp(sender) if isinstance(p, RtcpRtpfbPacket) and p.fmt == 1], "NACK")
        assert found[0].media_ssrc == ssrc
        assert sorted(found[0].lost) == [7, 9]

    with_sender(work)


def test_resends_come_unwrapped_and_only_the_ones_of_a_known_source(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_long(monkeypatch)

    async def work(sender: Sender, publisher: Publisher) -> None:
        lost: list[int] = []

        def lose(packet: object) -> bool:
            if len(lost) < 1 and sender.units:
                lost.append(packet.sequence_number)  # type: ignore[attr-defined]
                return True
            return False

        sender.lose = lose
        await sender.send(encoded("h264")[:4], 0.03)
        await until(lambda: len(sender.units) == 4, "all units")
        assert lost
        assert publisher.stats().get("nacks", 0) <= 2
        assert not sender.gaps
        assert publisher._receiver is not None
        assert not receivers.is_resend(publisher._receiver, sender.transceiver.sender._ssrc)
        assert receivers.is_resend(publisher._receiver, sender.transceiver.sender._rtx_ssrc)

    with_sender(work)


def test_sender_reports_say_when_a_frame_was_captured() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        await sender.send_until(lambda: bool(sender.units and sender.units[-1].captured_ns), "a report")
        unit = sender.units[-1]
        assert 0 < unit.captured_ns <= unit.arrival_ns
        assert unit.arrival_ns - unit.captured_ns < 2 * SECOND_NS

    with_sender(work)


def test_the_time_of_capture_is_read_from_headers() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        sender.stamp_packets(age_ms=400)
        await sender.send_until(lambda: len(sender.units) > 10, "ten units")
        ages_ms = [(unit.arrival_ns - unit.captured_ns) / 1e6 for unit in sender.units]
        assert all(399 < age_ms < 900 for age_ms in ages_ms)

    with_sender(work)


def test_feedback_comes_by_itself_every_50_ms_and_then_no_more_estimates() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        sender.number_packets()
        began_s = time.monotonic()
        await sender.send_until(lambda: time.monotonic() - began_s > 3, "three seconds")
        assert len(feedback(sender)) >= 15  # 60, were nothing else running here
        await until(
            lambda: (
                sum(int.from_bytes(data[14:16], "big") for data in feedback(sender)) == publisher.stats()["packets"]
            ),
            "a status of each packet",
        )
        assert not estimates(sender)

    with_sender(work)


def test_a_sender_without_numbers_gets_estimates() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        await sender.send_until(lambda: bool(estimates(sender)), "an estimate")
        assert not feedback(sender)

    with_sender(work)


def test_opus_comes_as_it_was_sent_and_is_not_collected() -> None:
    async def work(sender: Sender, publisher: Publisher) -> None:
        sent = [(b"\xf8" + bytes([number]) * (20 + number), 960 * number) for number in range(100)]
        for payload, at in sent:
            sender.sound.send(payload, at)
            await asyncio.sleep(0.002)
        await until(lambda: len(sender.sounds) == 100, "all sound")
        assert [payload for payload, _ in sender.sounds] == [payload for payload, _ in sent]
        assert [at - sender.sounds[0][1] for _, at in sender.sounds] == [at for _, at in sent]
        for receiver in publisher.pc.getReceivers():
            assert receiver.track._queue.empty()

    with_sender(work, sound=True)

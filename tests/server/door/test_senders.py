"""What is told to aiortc's senders, name by name, seen from the other end of a real connection.

Each test fails when the name it is about is gone from aiortc, or has come to mean something else.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from aiortc import rtcrtpsender
from aiortc.rtp import (
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)

from server.door import receivers, rtp, senders
from server.door.broadcast import AccessUnit, AudioBroadcast, Broadcast, FeedTrack
from tests.server.door.plain import Taker, encoded, unit_of
from tests.server.door.rtc import until
from tests.server.door.running import DEADLINE_S

SECOND_NS = 1_000_000_000


def test_packets_are_kept_to_be_sent_again_for_seconds() -> None:
    rtp.prepare()
    for method in (rtcrtpsender.RTCRtpSender._retransmit, rtcrtpsender.RTCRtpSender._run_rtp):
        assert "RTP_HISTORY_SIZE" in method.__code__.co_names
    assert rtcrtpsender.RTP_HISTORY_SIZE == senders.HISTORY_PACKETS


def test_a_viewers_estimate_and_its_requests_for_key_frames_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    estimates_heard = list[int]()
    monkeypatch.setattr(FeedTrack, "note_remb", lambda track, bit_s: estimates_heard.append(bit_s))

    async def run() -> None:
        feed, asked = Broadcast("h264"), list[float]()
        feed.on_key_needed = lambda: asked.append(time.monotonic())
        taker = Taker("h264")
        viewer = await taker.start(feed)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        for number in range(round(DEADLINE_S / 0.03)):
            feed.push(unit_of(encoded("h264")[number % 60], number))
            await asyncio.sleep(0.03)
            if estimates_heard:
                break
        assert estimates_heard
        before = len(asked)
        await asyncio.sleep(0.6)
        ssrc = taker.wires[0].packet.ssrc
        await receivers.send_pli(taker.transceiver.receiver, ssrc)
        await until(lambda: len(asked) == before + 1, "the PLI")
        await asyncio.sleep(0.6)
        fir = RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=ssrc)
        await taker.transceiver.receiver._send_rtcp(fir)
        await until(lambda: len(asked) == before + 2, "the FIR")
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


def test_what_a_viewer_reports_of_its_path_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[tuple[int, int, float]]()
    monkeypatch.setattr(FeedTrack, "note_report", lambda track, *report: told.append(report))

    async def run() -> None:
        taker, feed = Taker("h264"), Broadcast("h264")
        viewer = await taker.start(feed)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        for number in range(round(DEADLINE_S / 0.03)):
            feed.push(unit_of(encoded("h264")[number % 60], number))
            await asyncio.sleep(0.03)
            if any(rtt_s > 0 for _, _, rtt_s in told):
                break
        assert any(0 < rtt_s < 1 for _, _, rtt_s in told)
        info = RtcpReceiverInfo(taker.wires[0].packet.ssrc, 64, 777, 888, 0, 0, 0)
        await taker.transceiver.receiver._send_rtcp(RtcpRrPacket(ssrc=1, reports=[info]))
        await until(lambda: (777, 888, 0.0) in told, "the report")
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


def test_a_packet_is_sent_again_when_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, sent = list[tuple[int, int]](), list[bytes]()
    monkeypatch.setattr(FeedTrack, "may_resend", lambda track, *packet: asked.append(packet) or len(asked) > 1)

    async def run() -> None:
        taker, feed = Taker("h264"), Broadcast("h264")
        viewer = await taker.start(feed)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        (transceiver,) = viewer.pc.getTransceivers()
        transport = transceiver.sender.transport
        send = transport._send_rtp

        async def send_rtp(data: bytes) -> None:
            sent.append(data)
            await send(data)

        feed.push(unit_of(encoded("h264")[0], 0))
        await until(lambda: taker.wires and taker.wires[-1].packet.marker, "a frame")
        packet = taker.wires[0].packet
        monkeypatch.setattr(transport, "_send_rtp", send_rtp)
        for wanted in (1, 2):
            await receivers.send_nack(taker.transceiver.receiver, packet.ssrc, [packet.sequence_number])
            await until(lambda wanted=wanted: len(asked) == wanted, "the question")
        again = await until(lambda: [data for data in sent if data[:1] == b"\x90"], "the packet")
        assert len(again) == 1
        assert asked == [(packet.sequence_number, len(packet.payload))] * 2
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_packets_carry_the_playout_delay_and_the_origin_is_what_they_are_ahead(codec: str) -> None:
    async def run() -> None:
        feed = Broadcast(codec)
        taker = Taker(codec)
        viewer = await taker.start(feed)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        frames = encoded(codec)[:20]
        for number, frame in enumerate(frames):
            feed.push(unit_of(frame, number))
            await asyncio.sleep(0.01)
        await until(lambda: sum(wire.packet.marker for wire in taker.wires) == len(frames), "all frames")
        ident = int(re.findall(rf"a=extmap:(\d+) {senders.PLAYOUT_DELAY}", viewer.answer_sdp)[0])
        assert {wire.extensions[ident] for wire in taker.wires} == {(0 << 12 | 100 // 10).to_bytes(3, "big")}
        assert viewer._sender is not None
        assert viewer._packer is not None
        assert viewer._packer.last is not None
        origin = senders.rtp_origin(viewer._sender, viewer._packer.last)
        times = sorted({(wire.packet.timestamp - origin) & 0xFFFFFFFF for wire in taker.wires})
        assert times == [3000 * number for number in range(len(frames))]
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


@pytest.mark.parametrize("stall_s", [0.0, 0.15], ids=["swift", "stalled"])
def test_reports_place_picture_and_sound_by_their_arrival(stall_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that the studio took its time for goes with the sound that came with it, not with the one sent with it; so it is
    where the machine stands still before a packet leaves."""
    packetised = senders.Packer.pack

    def pack(packer: senders.Packer, item: senders.Payloads) -> tuple[list[bytes], int]:
        packed = packetised(packer, item)
        time.sleep(stall_s)
        return packed

    monkeypatch.setattr(senders.Packer, "pack", pack)

    async def run() -> None:
        feed, sound, taker, held_ns = Broadcast("h264"), AudioBroadcast(), Taker(sound=True), 300_000_000
        viewer = await taker.start(feed, sound)
        reports: dict[str, RtcpSenderInfo] = {}
        for transceiver in taker.pc.getTransceivers():
            note_reports(transceiver, reports)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        began_ns, began_ntp_ns = time.monotonic_ns(), receivers.ntp_now_ns()

        def push() -> None:
            now_ns = time.monotonic_ns() - began_ns
            arrived_ns = now_ns - held_ns
            data = encoded("h264")[0].data
            feed.push(AccessUnit(data, arrived_ns * 90_000 // SECOND_NS, True, began_ns + arrived_ns, 0))
            sound.push(b"\xf8\x01", now_ns * 48_000 // SECOND_NS)

        push()
        await until(lambda: len({wire.packet.ssrc for wire in taker.wires}) == 2, "both")
        for _ in range(round(DEADLINE_S / 0.03)):
            push()
            await asyncio.sleep(0.03)
            if len(reports) == 2:
                break
        first = {wire.packet.ssrc: wire.packet.timestamp for wire in reversed(taker.wires)}
        places = []
        for transceiver, rate_hz, begin_ns in zip(
            taker.pc.getTransceivers(), (90_000, 48_000), (-held_ns, 0), strict=True
        ):
            said = reports[transceiver.kind]
            ssrc = next(iter(transceiver.receiver._RTCRtpReceiver__remote_streams))
            ticks = (said.rtp_timestamp - first[ssrc] + 0x80000000) % (1 << 32) - 0x80000000
            arrival_ns = begin_ns + ticks * SECOND_NS // rate_hz
            places.append(receivers.ntp_ns(said.ntp_timestamp) - began_ntp_ns - arrival_ns)
        assert max(map(abs, places)) < 100_000_000, "by the clock of the wall, for each of them"
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


def note_reports(transceiver: Any, reports: dict[str, RtcpSenderInfo]) -> None:
    handle = transceiver.receiver._handle_rtcp_packet

    async def note(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
            reports[transceiver.kind] = packet.sender_info
        await handle(packet)

    transceiver.receiver._handle_rtcp_packet = note

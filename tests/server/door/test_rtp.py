"""What Fancam uses of aiortc's inside, name by name, seen from the other end of a real connection.

Each test fails when the name it is about is gone from aiortc, or has come to mean something else.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aioice import ice
from aiortc import RTCCertificate, clock, rtcrtpsender
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtp import (
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from server.door import rtp
from server.door.broadcast import FeedTrack
from server.door.peers import AccessUnit, AudioBroadcast, Broadcast, Publisher, answer_publisher
from tests.server.door.plain import Sender, Taker, encoded, unit_of
from tests.server.door.rtc import until
from tests.server.door.running import DEADLINE_S

SECOND_NS = 1_000_000_000


def with_sender(work: Callable[[Sender, Publisher], Awaitable[None]], codec: str = "h264", sound: bool = False) -> None:
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


def test_this_aiortc_has_all_that_is_used() -> None:
    rtp.check()


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in rtp.USED.items() for name in names], ids=str
)
def test_a_name_that_has_gone_is_told_at_the_start(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(rtp.Changed, match=name):
        rtp.check()


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in rtp.INSTANCE.items() for name in names], ids=str
)
def test_an_attribute_that_has_gone_is_told_at_the_start(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(self: object) -> None:
        pass

    init.__code__ = init.__code__.replace(co_names=tuple(other for other in rtp.INSTANCE[owner] if other != name))
    monkeypatch.setattr(owner, "__init__", init)
    with pytest.raises(rtp.Changed, match=re.escape(name)):
        rtp.check()


def test_packets_are_kept_to_be_sent_again_for_seconds() -> None:
    rtp.prepare()
    for method in (rtcrtpsender.RTCRtpSender._retransmit, rtcrtpsender.RTCRtpSender._run_rtp):
        assert "RTP_HISTORY_SIZE" in method.__code__.co_names
    assert rtcrtpsender.RTP_HISTORY_SIZE == rtp.HISTORY_PACKETS


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
        await rtp.send_pli(receiver, ssrc)
        await until(lambda: sender.keys_asked, "the PLI")
        await rtp.send_nack(receiver, ssrc, [7, 9])
        found = await until(lambda: [p for p in rtcp(sender) if isinstance(p, RtcpRtpfbPacket) and p.fmt == 1], "NACK")
        assert found[0].media_ssrc == ssrc
        assert sorted(found[0].lost) == [7, 9]

    with_sender(work)


def test_resends_come_unwrapped_and_only_the_ones_of_a_known_source() -> None:
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
        assert not rtp.is_resend(publisher._receiver, sender.transceiver.sender._ssrc)
        assert rtp.is_resend(publisher._receiver, sender.transceiver.sender._rtx_ssrc)

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


def test_the_answer_takes_the_extensions_and_the_feedback_at_the_offers_ids() -> None:
    async def run() -> None:
        sender = Sender()
        offer = await sender.offer()
        shifted = re.sub(r"a=extmap:5 ", "a=extmap:9 ", offer)
        assert rtp.PLAYOUT_DELAY in offer
        publisher = await answer_publisher(shifted, on_unit=print, on_gap=print, on_audio=print, on_closed=lambda: None)
        assert f"a=extmap:9 {rtp.PLAYOUT_DELAY}" in publisher.answer_sdp
        assert f"a=extmap:4 {rtp.TRANSPORT_CC}" in publisher.answer_sdp
        assert f"a=extmap:6 {rtp.ABS_CAPTURE_TIME}" in publisher.answer_sdp
        assert "transport-cc\r\n" in publisher.answer_sdp
        await publisher.close()
        await sender.pc.close()

    asyncio.run(run())


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
        await rtp.send_pli(taker.transceiver.receiver, ssrc)
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
            await rtp.send_nack(taker.transceiver.receiver, packet.ssrc, [packet.sequence_number])
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
        ident = int(re.findall(rf"a=extmap:(\d+) {rtp.PLAYOUT_DELAY}", viewer.answer_sdp)[0])
        assert {wire.extensions[ident] for wire in taker.wires} == {(0 << 12 | 100 // 10).to_bytes(3, "big")}
        assert viewer._sender is not None
        assert viewer._packer is not None
        assert viewer._packer.last is not None
        origin = rtp.rtp_origin(viewer._sender, viewer._packer.last)
        times = sorted({(wire.packet.timestamp - origin) & 0xFFFFFFFF for wire in taker.wires})
        assert times == [3000 * number for number in range(len(frames))]
        await taker.pc.close()
        await viewer.close()

    asyncio.run(run())


def test_reports_place_picture_and_sound_by_their_arrival() -> None:
    """A picture that the studio took its time for goes with the sound that came with it, not with the one sent with it."""

    async def run() -> None:
        feed, sound, taker, held_ns = Broadcast("h264"), AudioBroadcast(), Taker(sound=True), 300_000_000
        viewer = await taker.start(feed, sound)
        reports: dict[str, RtcpSenderInfo] = {}
        for transceiver in taker.pc.getTransceivers():
            note_reports(transceiver, reports)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a connection")
        began_ns, began_ntp_ns = time.monotonic_ns(), rtp.ntp_now_ns()

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
            places.append(rtp._ns(said.ntp_timestamp) - began_ntp_ns - arrival_ns)
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


def test_a_peer_with_an_rsa_certificate_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RTCCertificate] = []

    def generate(cls: type[RTCCertificate]) -> RTCCertificate:
        certificate = rsa_certificate() if not made else ecdsa()
        made.append(certificate)
        return certificate

    ecdsa = RTCCertificate.generateCertificate
    monkeypatch.setattr(RTCCertificate, "generateCertificate", classmethod(generate))

    async def work(sender: Sender, publisher: Publisher) -> None:
        assert len(made) == 2
        await sender.send(encoded("h264")[:3])
        await until(lambda: len(sender.units) == 3, "frames")

    with_sender(work)


def test_a_peer_whose_checks_have_no_priority_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of FFmpeg 8.0."""
    build = ice.Connection.build_request

    def build_request(self: ice.Connection, *args: Any, **kwargs: Any) -> Any:
        request = build(self, *args, **kwargs)
        if self.ice_controlling:  # the one that offered, not the door
            del request.attributes["PRIORITY"]
        return request

    monkeypatch.setattr(ice.Connection, "build_request", build_request)

    async def work(sender: Sender, publisher: Publisher) -> None:
        await sender.send(encoded("h264")[:3])
        await until(lambda: len(sender.units) == 3, "frames")

    with_sender(work)


def rsa_certificate() -> RTCCertificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a peer")])
    now = datetime.datetime.now(datetime.UTC)
    unsigned = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    unsigned = unsigned.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return RTCCertificate(key=key, cert=unsigned.sign(key, hashes.SHA256()))


def test_loopback_is_a_candidate_once() -> None:
    rtp.prepare()
    rtp.prepare()
    assert ice.get_host_addresses(True, True).count("127.0.0.1") == 1
    assert ice.get_host_addresses(True, True).count("::1") == 1
    assert "::1" not in ice.get_host_addresses(True, False)
    assert "127.0.0.1" not in ice.get_host_addresses(False, True)


def test_the_time_that_packets_are_stamped_with_is_that_of_the_wall() -> None:
    rtp.prepare()
    now = datetime.datetime.now(datetime.UTC)
    off = clock.datetime_from_ntp(clock.current_ntp_time()) - now
    assert abs(off) < datetime.timedelta(seconds=1)


def test_a_publisher_whose_packets_come_ever_later_is_told_five_times_a_second_and_not_with_each_packet() -> None:
    rtp.prepare()
    estimator = RemoteBitrateEstimator()
    told = []
    for number in range(2000):
        sent_ms, late_ms = 5 * number, 2 * number if number < 1000 else 2000
        arrived_ms = sent_ms + late_ms
        stamp = (sent_ms << 18) // 1000 & 0xFFFFFF
        if estimator.add(arrived_ms, stamp, 1200, 1) is not None:
            told.append(arrived_ms)
    assert told
    seconds = (told[-1] - told[0]) / 1000
    assert len(told) <= 5 * seconds + 2

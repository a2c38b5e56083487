"""The names that Fancam uses of aiortc's and aioice's inside, what is prepared once, and what is mended, on real connections."""

from __future__ import annotations

import asyncio
import datetime
import re
from typing import Any

import pytest
from aioice import ice
from aiortc import RTCCertificate, clock
from aiortc.rate import RemoteBitrateEstimator
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from server.door import receivers, rtp, senders
from server.door.publishers import Publisher, answer_publisher
from tests.server.door.plain import Sender, encoded, with_sender
from tests.server.door.rtc import until


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
    ("owner", "method", "name"),
    [(owner, method, name) for (owner, method), names in rtp.SET.items() for name in names],
    ids=str,
)
def test_an_attribute_that_has_gone_is_told_at_the_start(
    owner: type, method: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sets(self: object) -> None:
        pass

    sets.__code__ = sets.__code__.replace(co_names=tuple(other for other in rtp.SET[owner, method] if other != name))
    monkeypatch.setattr(owner, method, sets)
    with pytest.raises(rtp.Changed, match=re.escape(name)):
        rtp.check()


def test_the_answer_takes_the_extensions_and_the_feedback_at_the_offers_ids() -> None:
    async def run() -> None:
        sender = Sender()
        offer = await sender.offer()
        shifted = re.sub(r"a=extmap:5 ", "a=extmap:9 ", offer)
        assert senders.PLAYOUT_DELAY in offer
        publisher = await answer_publisher(shifted, on_unit=print, on_gap=print, on_audio=print, on_closed=lambda: None)
        assert f"a=extmap:9 {senders.PLAYOUT_DELAY}" in publisher.answer_sdp
        assert f"a=extmap:4 {rtp.TRANSPORT_CC}" in publisher.answer_sdp
        assert f"a=extmap:6 {receivers.ABS_CAPTURE_TIME}" in publisher.answer_sdp
        assert "transport-cc\r\n" in publisher.answer_sdp
        await publisher.close()
        await sender.pc.close()

    asyncio.run(run())


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

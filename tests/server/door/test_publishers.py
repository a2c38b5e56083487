"""Publishers against plain aiortc on loopback: what arrives, and what is asked for."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import time

import pytest
from aiortc.rtp import RtpPacket

from tests.server.door.plain import KEY_EVERY, Sender, encoded, wait_long
from tests.server.door.rtc import until
from tests.server.door.stage import Stage, frame_number, on_stage


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_packets_that_are_lost_and_resent_cost_no_frame(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_long(monkeypatch)

    async def work(stage: Stage) -> None:
        sender, chance, lost = Sender(codec), random.Random(5), list[int]()
        publisher = await stage.publisher(sender)

        def lose(packet: RtpPacket) -> bool:
            resent = packet.ssrc == sender.transceiver.sender._rtx_ssrc  # lost too, a busy machine may have to give up
            if sender.units and not resent and chance.random() < 0.05:
                lost.append(packet.sequence_number)
                return True
            return False

        sender.lose = lose
        await sender.send(encoded(codec), 0.03)
        sender.lose = lambda packet: False
        await until(lambda: len(sender.units) + publisher.stats()["lost_frames"] >= len(encoded(codec)), "the frames")
        numbers = [frame_number(unit.data, codec) for unit in sender.units]
        assert numbers == list(range(len(encoded(codec))))
        assert sender.gaps == 0
        assert len(lost) > 5

    on_stage(work)


def test_what_is_lost_for_good_is_a_gap_a_pli_and_then_a_key_frame() -> None:
    async def work(stage: Stage) -> None:
        sender = Sender()
        publisher = await stage.publisher(sender)
        times: set[int] = set()
        gone: list[int] = []

        def lose(packet: RtpPacket) -> bool:
            if packet.ssrc != sender.transceiver.sender._ssrc:
                return True  # a resend
            times.add(packet.timestamp)
            if len(times) == 21 and not gone:
                gone.append(packet.sequence_number)
            return packet.sequence_number in gone

        sender.lose = lose
        began_s = time.monotonic()
        await sender.send(encoded("h264"), 0.03)
        await until(lambda: sender.units and frame_number(sender.units[-1].data, "h264") == 59, "the last frame")
        numbers = [frame_number(unit.data, "h264") for unit in sender.units]
        back = numbers[20]
        assert numbers == [*range(20), *range(back, 60)]
        assert back % KEY_EVERY == 0
        assert sender.gaps == 1
        assert sender.keys_asked >= 1
        assert publisher.stats()["lost_frames"] >= 1
        assert publisher.last_packet_ns > began_s * 1e9

    on_stage(work)


def test_a_key_frame_that_is_asked_for_is_asked_of_the_sender() -> None:
    async def work(stage: Stage) -> None:
        sender = Sender()
        publisher = await stage.publisher(sender)
        publisher.request_key()  # nothing has come yet: there is nobody to ask
        await sender.send(encoded("h264")[:2], 0.02)
        await until(lambda: sender.units, "a unit")
        for _ in range(20):
            publisher.request_key()
        await until(lambda: sender.keys_asked, "the PLI")
        await asyncio.sleep(0.1)
        assert sender.keys_asked == publisher.stats()["plis"] == 1

    on_stage(work)


def test_nothing_is_sent_to_an_address_that_only_the_offer_names() -> None:
    async def work(stage: Stage) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
            victim.bind(("127.0.0.1", 0))
            victim.setblocking(False)
            port = victim.getsockname()[1]
            line = f"a=candidate:7 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
            sender = Sender()
            make = sender.offer

            async def offer_with_victim() -> str:
                return re.sub("(a=candidate:)", line + r"\1", await make(), count=1)

            sender.offer = offer_with_victim  # type: ignore[method-assign]
            publisher = await stage.publisher(sender)
            await publisher.add_candidate(line)
            await sender.send(encoded("h264")[:10], 0.03)
            await until(lambda: sender.units, "a unit")
            with pytest.raises(BlockingIOError):
                victim.recv(2000)

    on_stage(work)

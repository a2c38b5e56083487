"""Publishers and viewers against plain aiortc on loopback: what arrives, what is asked for, what is refused, what is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from server.door import peers
from server.door.peers import AudioBroadcast, Broadcast, OfferError, Publisher, Viewer
from tests.server.door.plain import KEY_EVERY, Sender, Taker, encoded, unit_of
from tests.server.door.rtc import until


class Stage:
    """Opens publishers and viewers that are connected, and closes them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def publisher(self, sender: Sender) -> Publisher:
        publisher = await sender.start()
        self._stack.push_async_callback(publisher.close)
        self._stack.push_async_callback(sender.pc.close)
        await until(lambda: publisher.connected and sender.pc.connectionState == "connected", "a publisher")
        return publisher

    async def viewer(self, taker: Taker, feed: Broadcast, audio: AudioBroadcast | None = None) -> Viewer:
        viewer = await taker.start(feed, audio)
        self._stack.push_async_callback(viewer.close)
        self._stack.push_async_callback(taker.pc.close)
        await until(lambda: viewer.connected and taker.pc.connectionState == "connected", "a viewer")
        return viewer


def on_stage(work: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await work(Stage(stack))

    asyncio.run(run())


def frame_number(data: bytes, codec: str) -> int:
    """Which of `encoded` this is; start codes of three and four bytes are the same."""

    def plain(data: bytes) -> bytes:
        return data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01")

    return [plain(frame.data) for frame in encoded(codec)].index(plain(data))


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_relayed_stream_is_shown_to_two_viewers(codec: str) -> None:
    async def work(stage: Stage) -> None:
        feed, sender = Broadcast(codec), Sender(codec)
        sender.units = relay = Relay(feed)  # type: ignore[assignment]
        takers = [Taker(codec), Taker(codec)]
        shown = [0, 0]

        async def count(place: int) -> None:
            track = takers[place].transceiver.receiver.track
            while True:
                picture = await track.recv()
                assert (picture.width, picture.height) == (320, 240)
                shown[place] += 1

        publisher = await stage.publisher(sender)
        for taker in takers:
            await stage.viewer(taker, feed)
        counting = [asyncio.ensure_future(count(place)) for place in (0, 1)]
        await sender.send(encoded(codec), 0.015)
        await until(lambda: min(shown) >= len(encoded(codec)) - 2, "the pictures in both viewers")
        for task in counting:
            task.cancel()
        assert [frame_number(unit.data, codec) for unit in relay] == list(range(len(encoded(codec))))
        assert publisher.codec == codec
        assert publisher.stats()["lost_frames"] == 0
        times = [unit.rtp_time for unit in relay]
        assert [at - times[0] for at in times] == [frame.pts_90k for frame in encoded(codec)]

    on_stage(work)


def sockets() -> int:
    """How many this process has open."""

    def link(number: str) -> str:
        try:
            return os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one that listing them needs
            return ""

    return sum("socket" in link(number) for number in os.listdir("/proc/self/fd"))


class Relay(list[peers.AccessUnit]):
    """Keeps the units of a publisher and hands them on."""

    def __init__(self, feed: Broadcast) -> None:
        super().__init__()
        self._feed = feed

    def append(self, unit: peers.AccessUnit) -> None:
        super().append(unit)
        self._feed.push(unit)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_packets_that_are_lost_and_resent_cost_no_frame(codec: str) -> None:
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
        gone: list[int] = []

        def lose(packet: RtpPacket) -> bool:
            resend = packet.ssrc != sender.transceiver.sender._ssrc
            if len(sender.units) == 20 and not gone and not resend:
                gone.append(packet.sequence_number)
            return resend or packet.sequence_number in gone

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


def test_sound_passes_through_untouched() -> None:
    async def work(stage: Stage) -> None:
        sound, sender, taker = AudioBroadcast(), Sender(sound=True), Taker(sound=True)
        await stage.publisher(sender)
        await stage.viewer(taker, Broadcast("h264"), sound)
        sent = [b"\xf8" + bytes([number % 256]) * (number % 50 + 1) for number in range(120)]
        passed = 0
        for number, payload in enumerate(sent):
            sender.sound.send(payload, 960 * number)
            await asyncio.sleep(0.003)
            for data, at in sender.sounds[passed:]:
                sound.push(data, at)
            passed = len(sender.sounds)
        await until(lambda: len(sender.sounds) == len(sent), "the sound at the door")
        for data, at in sender.sounds[passed:]:
            sound.push(data, at)
        await until(lambda: len(taker.wires) == len(sent), "the sound at the viewer")
        assert [wire.packet.payload for wire in taker.wires] == sent
        first = taker.wires[0].packet.timestamp
        assert [(wire.packet.timestamp - first) & 0xFFFFFFFF for wire in taker.wires] == [
            960 * number for number in range(len(sent))
        ]

    on_stage(work)


def test_metadata_begins_with_the_origin_and_is_skipped_while_the_channel_is_full() -> None:
    async def work(stage: Stage) -> None:
        feed, taker = Broadcast("h264"), Taker(channel=True)
        viewer = await stage.viewer(taker, feed)
        await until(lambda: viewer._channel is not None and viewer._channel.readyState == "open", "the channel")
        viewer.send_metadata('{"t": 0}')  # no frame has been sent: there is no origin to tell
        feed.push(unit_of(encoded("h264")[0], 0))
        await until(lambda: taker.wires, "a packet")
        viewer.send_metadata('{"t": 1}')
        await until(lambda: len(taker.texts) == 2, "two messages")
        first, second = map(json.loads, taker.texts)
        assert first == {"type": "origin", "rtp": taker.wires[0].packet.timestamp}
        assert second == {"t": 1}
        for number in range(200):
            viewer.send_metadata(json.dumps({"t": number, "l": "x" * 1000}))
        assert viewer.metadata_skipped >= 200 - (peers.MAX_BUFFERED_BYTES // 1000 + 2)
        await until(lambda: len(taker.texts) >= 12, "what was not skipped")

    on_stage(work)


def test_ten_of_each_opened_and_closed_leave_no_task_no_viewer_and_no_socket() -> None:
    async def once() -> None:
        async with AsyncExitStack() as stack:
            stage, feed, sound = Stage(stack), Broadcast("h264"), AudioBroadcast()
            sender, taker = Sender(sound=True), Taker(sound=True, channel=True)
            await stage.publisher(sender)
            await stage.viewer(taker, feed, sound)
            assert feed.viewers == 1
            await sender.send(encoded("h264")[:3], 0)
            await until(lambda: sender.units, "a frame")
        assert (sender.closed, taker.closed) == (1, 1)
        assert feed.viewers == 0
        assert not sound._viewers

    async def run() -> None:
        await once()
        await asyncio.sleep(0.1)
        before, opened = asyncio.all_tasks(), sockets()
        for _ in range(10):
            await once()
        await until(lambda: asyncio.all_tasks() <= before, "an end of all tasks")
        assert sockets() <= opened

    asyncio.run(run())


def test_a_viewer_that_goes_away_is_no_viewer_any_more() -> None:
    async def work(stage: Stage) -> None:
        feed, taker = Broadcast("h264"), Taker()
        await stage.viewer(taker, feed)
        await taker.pc.close()
        await until(lambda: taker.closed, "the door's notice of it")
        assert feed.viewers == 0

    on_stage(work)


# Offers


@cache
def video_offer() -> str:
    async def run() -> str:
        sender = Sender(sound=True)
        try:
            return await sender.offer()
        finally:
            await sender.pc.close()

    return asyncio.run(run())


async def answered(sdp: str) -> str:
    publisher = await peers.answer_publisher(
        sdp,
        on_unit=lambda unit: None,
        on_gap=lambda: None,
        on_audio=lambda payload, rtp_time: None,
        on_closed=lambda: None,
    )
    await publisher.close()
    return publisher.answer_sdp


@pytest.mark.parametrize(
    ("pattern", "instead"), [("a=ice-ufrag:.*\r\n", ""), ("a=ice-pwd:.*\r\n", ""), ("m=audio 9?", "m=audio x")]
)
def test_an_offer_that_aiortc_cannot_take_is_400_and_leaves_no_socket(pattern: str, instead: str) -> None:
    spoilt = re.sub(pattern, instead, video_offer())
    assert spoilt != video_offer()
    before = sockets()
    with pytest.raises(OfferError) as caught:
        asyncio.run(answered(spoilt))
    assert caught.value.status == 400
    assert "\n" not in caught.value.text
    assert sockets() <= before


def test_the_answer_has_our_codecs_an_offered_profile_and_host_candidates_only() -> None:
    sdp = asyncio.run(answered(video_offer()))
    assert set(re.findall(r"a=rtpmap:\d+ (\w+)", sdp)) == {"H264", "rtx", "opus"}
    profiles = set(re.findall(r"profile-level-id=(\w+)", sdp))
    assert profiles
    assert profiles <= set(re.findall(r"profile-level-id=(\w+)", video_offer()))
    assert "packetization-mode=1" in sdp
    found = re.findall(r"a=candidate:.* typ (\w+)", sdp)
    assert set(found) == {"host"}
    assert " 127.0.0.1 " in sdp
    assert sdp.count("a=recvonly") == 2


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


def test_a_viewer_that_cannot_be_answered_leaves_nothing() -> None:
    async def run() -> None:
        feed, sound, taker = Broadcast("h264"), AudioBroadcast(), Taker("h264", sound=True)
        sdp = re.sub("a=ice-pwd:.*\r\n", "", await taker.offer())
        with pytest.raises(OfferError) as caught:
            await peers.answer_viewer(sdp, pick=lambda codecs: feed, audio=sound, metadata=True, on_closed=lambda: None)
        assert caught.value.status == 400
        assert feed.viewers == 0
        assert not sound._viewers
        await taker.pc.close()

    asyncio.run(run())


def test_a_viewer_picks_among_the_codecs_it_offers() -> None:
    async def run() -> None:
        offered: list[Any] = []

        def pick(codecs: Any) -> Broadcast:
            offered.append(codecs)
            raise LookupError

        taker = Taker("vp8", "h264")
        with pytest.raises(LookupError):
            await peers.answer_viewer(
                await taker.offer(), pick=pick, audio=None, metadata=False, on_closed=lambda: None
            )
        assert offered == [("vp8", "h264")]
        await taker.pc.close()

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_spoilt_offer_is_answered_or_refused_with_a_status(data: st.DataObject) -> None:
    lines = video_offer().split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "cut", "twice", "spoil", "swap"]))
        if how == "drop":
            del lines[at]
        elif how == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif how == "twice":
            lines.insert(at, lines[at])
        elif how == "spoil":
            lines[at] = re.sub(r"\d+", data.draw(st.sampled_from(["", "-1", "99999999999", "x"])), lines[at])
        else:
            other = data.draw(st.integers(1, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    before = sockets()
    with contextlib.suppress(OfferError):
        assert asyncio.run(answered("\r\n".join(lines))).startswith("v=0")
    assert sockets() <= before

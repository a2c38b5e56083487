"""Viewers against plain aiortc on loopback: what they get, and what is left of those who go."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from server.door import broadcast, viewers
from server.door.broadcast import AudioBroadcast, Broadcast
from server.door.offer import OfferError
from tests.server.door.plain import Sender, Taker, encoded, unit_of
from tests.server.door.rtc import until
from tests.server.door.stage import Stage, frame_number, on_stage


class Relay(list[broadcast.AccessUnit]):
    """Keeps the units of a publisher and hands them on."""

    def __init__(self, feed: Broadcast) -> None:
        super().__init__()
        self._feed = feed

    def append(self, unit: broadcast.AccessUnit) -> None:
        super().append(unit)
        self._feed.push(unit)


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
        await until(lambda: viewer._channel is not None and not viewer._channel.bufferedAmount, "an empty channel")
        viewer.send_metadata('{"t": 200}')
        await until(lambda: taker.texts[-1] == '{"t": 200}', "the last message")
        assert 10 <= len(taker.texts) - 3 <= viewers.MAX_BUFFERED_BYTES // 1000 + 2

    on_stage(work)


def test_a_viewer_that_goes_away_is_no_viewer_any_more() -> None:
    async def work(stage: Stage) -> None:
        feed, taker = Broadcast("h264"), Taker()
        await stage.viewer(taker, feed)
        await taker.pc.close()
        await until(lambda: taker.closed, "the door's notice of it")
        assert feed.viewers == 0

    on_stage(work)


def test_a_viewer_that_cannot_be_answered_leaves_nothing() -> None:
    async def run() -> None:
        feed, sound, taker = Broadcast("h264"), AudioBroadcast(), Taker("h264", sound=True)
        sdp = re.sub("a=ice-pwd:.*\r\n", "", await taker.offer())
        with pytest.raises(OfferError) as caught:
            await viewers.answer_viewer(
                sdp, pick=lambda codecs: feed, audio=sound, metadata=True, on_closed=lambda: None
            )
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
            await viewers.answer_viewer(
                await taker.offer(), pick=pick, audio=None, metadata=False, on_closed=lambda: None
            )
        assert offered == [("vp8", "h264")]
        await taker.pc.close()

    asyncio.run(run())

"""RTP times and sequence numbers that wrap around two seconds after the start, on the way in and on the way out."""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from typing import Any

import aiortc.rtcrtpsender
import pytest
from aiortc import AudioStreamTrack
from aiortc.rtp import RtpPacket

from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running

RATES = {"video": 90_000, "audio": 48_000}
SOUND_TICKS = 960
FRAMES = 160
"""Five seconds: what goes out is two seconds further from its wrap than what comes in."""
FIRST_SEQUENCE = 0x10000 - 60  # a packet a frame: two seconds


@pytest.fixture
def near_the_end(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every sender of this process, the door's too, begins two seconds before its numbers wrap; holds which did."""
    begun: list[str] = []
    random32 = aiortc.rtcrtpsender.random32

    def first_time() -> int:
        caller = sys._getframe(1)
        if caller.f_code.co_name != "_run_rtp":
            return random32()  # an SSRC
        kind = caller.f_locals["self"].kind
        begun.append(kind)
        return 0x1_0000_0000 - 2 * RATES[kind]

    monkeypatch.setattr(aiortc.rtcrtpsender, "random32", first_time)
    monkeypatch.setattr(aiortc.rtcrtpsender, "random_sequence_number", lambda: FIRST_SEQUENCE)
    return begun


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_picture_and_sound_go_on_without_a_hole(door: Running, near_the_end: list[str], codec: str) -> None:
    name = f"wraps-{codec.lower()}"

    async def run() -> None:
        publisher = Publisher(door, f"/whip/{name}", codec)
        publisher.pc.addTrack(AudioStreamTrack())
        assert (await publisher.offer()).status == 201
        raw, redacted = Viewer(door, f"/whep/{name}/raw", codec), Viewer(door, f"/whep/{name}/redacted")
        raw.pc.addTransceiver("audio", "recvonly")
        for viewer in (raw, redacted):
            assert (await viewer.offer()).status == 201
        heard, seen = wire_times(raw), wire_times(redacted)
        await until(
            lambda: len(raw.lumas) > FRAMES and raw.sounds > FRAMES * 5 // 3, "five seconds of the publisher's", 60
        )
        steps = [b - a for a, b in pairwise(raw.lumas[-100:])]  # the camera's: one brighter each time, up to a hundred
        assert abs(sum(step % 100 if step < -50 else step for step in steps) - len(steps)) <= 4
        assert set(steps_of(heard["audio"])) == {SOUND_TICKS}
        assert all(0 < step < 90_000 for step in steps_of(heard["video"]))
        picture_s, sound_s = (sum(steps_of(heard[kind])) / rate_hz for kind, rate_hz in RATES.items())
        assert abs(picture_s - sound_s) < 1
        await until(lambda: len(redacted.lumas) > FRAMES, "five seconds of the studio's pictures", 60)
        origin, *texts = redacted.texts
        times = [text["t"] for text in texts]
        assert times == sorted(set(times)), "unwrapped, in order, once"
        shown = seen["video"][10:-10]  # the first come before the channel is open, the last before their texts
        placed = {(time + origin["rtp"]) & 0xFFFFFFFF for time in times}
        assert len(placed & set(shown)) > 0.9 * len(shown), "a text has the time of its picture"
        for numbers in (heard["video"], heard["audio"], seen["video"]):
            assert numbers[0] > numbers[-1], "they did wrap"
        assert sorted(near_the_end) == ["audio"] * 2 + ["video"] * 3, "the publisher's senders and the door's"
        await publisher.ask("DELETE", publisher.session)
        for peer in (publisher, raw, redacted):
            await peer.close()

    asyncio.run(run())


def wire_times(viewer: Viewer) -> dict[str, list[int]]:
    """Gathers from now on the RTP times (32 bit) of a viewer's frames and packets of sound."""
    times: dict[str, list[int]] = {"video": [], "audio": []}

    def note(receiver: Any, kind: str) -> None:
        handle = receiver._handle_rtp_packet

        async def handle_and_note(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.marker or kind == "audio":
                times[kind].append(packet.timestamp)
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = handle_and_note

    for transceiver in viewer.pc.getTransceivers():
        note(transceiver.receiver, transceiver.kind)
    return times


def steps_of(times: list[int]) -> list[int]:
    return [(b - a) & 0xFFFFFFFF for a, b in pairwise(times)]

"""RTP times and sequence numbers that wrap around two seconds after the start, on the way in and on the way out."""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise

import aiortc.rtcrtpsender
import pytest
from aiortc import AudioStreamTrack

from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running

TWO_SECONDS = {"video": 2 * 90_000, "audio": 2 * 48_000}
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
        kind = caller.f_locals["self"]._kind if hasattr(caller.f_locals["self"], "_kind") else "video"
        begun.append(kind)
        return 0x1_0000_0000 - TWO_SECONDS[kind]

    monkeypatch.setattr(aiortc.rtcrtpsender, "random32", first_time)
    monkeypatch.setattr(aiortc.rtcrtpsender, "random_sequence_number", lambda: FIRST_SEQUENCE)
    return begun


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_the_video_goes_on_without_a_hole(door: Running, near_the_end: list[str], codec: str) -> None:
    name = f"wraps-{codec.lower()}"

    async def run() -> None:
        publisher = Publisher(door, f"/whip/{name}", codec)
        publisher.pc.addTrack(AudioStreamTrack())
        assert (await publisher.offer()).status == 201
        raw, redacted = Viewer(door, f"/whep/{name}/raw", codec), Viewer(door, f"/whep/{name}/redacted")
        raw.pc.addTransceiver("audio", "recvonly")
        for viewer in (raw, redacted):
            assert (await viewer.offer()).status == 201
        await until(lambda: len(raw.lumas) > 130, "four seconds of pictures")
        steps = [b - a for a, b in pairwise(raw.lumas[-100:])]  # the camera's: one brighter each time, up to a hundred
        assert abs(sum(step % 100 if step < -50 else step for step in steps) - len(steps)) <= 4
        assert raw.sounds > 100
        await until(lambda: len(redacted.lumas) > 100, "pictures of the studio's")
        origin, *frames = redacted.texts
        assert origin["rtp"] > 0xFFFF_0000 - 10 * TWO_SECONDS["video"]
        times = [frame["t"] for frame in frames]
        assert times == sorted(set(times)), "unwrapped, in order, once"
        assert max(b - a for a, b in pairwise(times)) < 90_000
        assert near_the_end.count("video") >= 3
        await publisher.ask("DELETE", publisher.session)
        for peer in (publisher, raw, redacted):
            await peer.close()

    asyncio.run(run())

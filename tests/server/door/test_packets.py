"""Broadcasts: one packetising for all viewers, whole frames only, and nobody waits for the slowest. The clock is the test's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import VpxPayloadDescriptor, vp8_depayload
from aiortc.mediastreams import MediaStreamError
from hypothesis import given
from hypothesis import strategies as st

from server.door import broadcast, senders
from server.door.broadcast import FLOOR_BIT_S, MAX_QUEUED, AccessUnit, AudioBroadcast, Broadcast, FeedTrack

MS = 1_000_000
PAYLOAD_BYTES = 1300


class Clock:
    now_ns = 10_000 * MS

    def wait(self, ms: float) -> None:
        self.now_ns += round(ms * MS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(broadcast, "time", SimpleNamespace(monotonic_ns=lambda: clock.now_ns))
    return clock


def unit(number: int, key: bool = False, size: int = 3000) -> AccessUnit:
    data = b"\x00\x00\x00\x01" + (b"\x65" if key else b"\x41") + bytes([number % 200 + 1]) * size
    return AccessUnit(data, 3000 * number, key, 0, 0)


def taken(viewer: FeedTrack) -> list[senders.Payloads]:
    """What waits for this viewer, which takes it."""

    async def drain() -> list[senders.Payloads]:
        return [await viewer.recv() for _ in range(len(viewer._queue))]

    return asyncio.run(drain())


def numbers(viewer: FeedTrack) -> list[int]:
    return [item.rtp_time // 3000 for item in taken(viewer)]


@given(
    st.lists(st.binary(min_size=1, max_size=4000).map(lambda body: body.replace(b"\0", b"\1")), min_size=1, max_size=6)
)
def test_h264_payloads_hold_every_unit_and_fit_into_a_packet(bodies: list[bytes]) -> None:
    data = b"".join(b"\x00\x00\x00\x01\x41" + body for body in bodies)
    payloads = senders.packetise("h264", data, 0)
    assert max(map(len, payloads)) <= PAYLOAD_BYTES
    assert b"".join(map(h264_depayload, payloads)) == data


@given(st.binary(min_size=1, max_size=5000))
def test_vp8_payloads_hold_the_frame_and_only_the_first_starts_it(data: bytes) -> None:
    payloads = senders.packetise("vp8", data, 77)
    assert max(map(len, payloads)) <= PAYLOAD_BYTES
    assert b"".join(map(vp8_depayload, payloads)) == data
    starts = [VpxPayloadDescriptor.parse(payload)[0].partition_start for payload in payloads]
    assert starts == [1] + [0] * (len(payloads) - 1)


def test_the_picture_id_of_vp8_rises_by_one_a_frame_and_wraps_at_15_bits() -> None:
    feed = Broadcast("vp8")
    feed._picture_id = 0x7FFF - 2
    viewer = feed.attach()
    for number in range(4):
        feed.push(unit(7 * number, key=True, size=2000))
    ids = [[VpxPayloadDescriptor.parse(payload)[0].picture_id for payload in item.payloads] for item in taken(viewer)]
    assert ids == [[0x7FFE] * 2, [0x7FFF] * 2, [0] * 2, [1] * 2]


def test_a_frame_is_packetised_once_for_all_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def counting(codec: str, data: bytes, picture_id: int) -> list[bytes]:
        calls.append(data)
        return senders.packetise(codec, data, picture_id)

    monkeypatch.setattr(broadcast, "packetise", counting)
    feed = Broadcast("h264")
    feed.push(unit(0, key=True))
    assert not calls  # nobody watches
    viewers = [feed.attach() for _ in range(3)]
    for number in range(1, 4):
        feed.push(unit(number, key=number == 1))
    assert len(calls) == 3
    first, *others = [taken(viewer) for viewer in viewers]
    assert len(first) == 3
    assert all(a is b for other in others for a, b in zip(first, other, strict=True))


def test_a_new_viewer_starts_at_a_key_frame_and_takes_nothing_from_the_others(clock: Clock) -> None:
    feed = Broadcast("h264")
    early = feed.attach()
    feed.push(unit(0, key=True))
    late = feed.attach()
    for number in range(1, 5):
        feed.push(unit(number, key=number == 3))
    assert numbers(early) == [0, 1, 2, 3, 4]
    assert numbers(late) == [3, 4]


def test_requests_for_key_frames_are_one_every_half_second(clock: Clock) -> None:
    feed, asked = Broadcast("h264"), list[int]()
    feed.on_key_needed = lambda: asked.append(clock.now_ns)
    for _ in range(100):
        feed.need_key(clock.now_ns)
        clock.wait(17)
    assert len(asked) == 4
    assert all(b - a >= 500 * MS for a, b in pairwise(asked))


def test_a_key_frame_is_asked_for_until_it_is_there(clock: Clock) -> None:
    feed, asked = Broadcast("h264"), list[int]()
    feed.on_key_needed = lambda: asked.append(clock.now_ns)
    feed.attach()
    assert len(asked) == 1
    for number in range(60):
        clock.wait(33)
        feed.push(unit(number))
    assert len(asked) == 4
    feed.push(unit(60, key=True))
    for number in range(61, 120):
        clock.wait(33)
        feed.push(unit(number))
    assert len(asked) == 4


def test_times_rise_although_the_source_begins_again() -> None:
    feed = Broadcast("h264")
    viewer = feed.attach()
    for at in (10, 11, 3, 4, 12):
        feed.push(unit(at, key=True))
    times = [item.rtp_time for item in taken(viewer)]
    assert times == sorted(set(times))
    assert times[0] == 30_000
    assert times[-1] == 36_000


def test_a_viewer_that_stands_still_loses_whole_frames_and_the_others_none(clock: Clock) -> None:
    feed, asked, dropped = Broadcast("h264"), list[int](), Counter[str]()
    feed.on_dropped = lambda reason, count: dropped.update({reason: count})
    quick, stuck = feed.attach(), feed.attach()
    seen: list[int] = []
    for number in range(MAX_QUEUED + 20):
        feed.push(unit(number, key=number == 0))
        seen += numbers(quick)
    assert seen == list(range(MAX_QUEUED + 20))
    assert numbers(stuck) == []
    feed.on_key_needed = lambda: asked.append(clock.now_ns)
    clock.wait(2100)
    feed.push(unit(98))
    assert asked
    feed.push(unit(99, key=True))
    feed.push(unit(100))
    assert numbers(stuck) == [99, 100]
    assert numbers(quick) == [98, 99, 100]
    assert dropped == {"slow_viewer": MAX_QUEUED + 1, "viewer_before_key": 19 + 1}


def troubled(feed: Broadcast, viewer: FeedTrack, clock: Clock, bit_rate: int) -> None:
    """Its line is full for ten seconds, and its own estimate says how much it takes."""
    viewer.note_remb(bit_rate)
    for number in range(300):
        feed.push(unit(number, key=True, size=6000))
        taken(viewer)
        clock.wait(100 / 3)
        if number % 30 == 29:
            viewer.note_report(18 * number, 30 * number, 0.5)


def test_the_bit_rate_is_what_the_slowest_viewers_path_takes(clock: Clock) -> None:
    feed = Broadcast("h264")
    assert feed.bit_rate() is None
    one, two = feed.attach(), feed.attach()
    one.note_remb(3_000_000)
    two.note_remb(900_000)
    assert feed.bit_rate() is None  # nobody has lost anything
    troubled(feed, two, clock, 900_000)
    assert feed.bit_rate() == pytest.approx(900_000, rel=0.1)
    two.stop()
    assert feed.bit_rate() is None


def test_a_viewer_in_trouble_asks_for_key_frames_once_a_second(clock: Clock) -> None:
    feed, asked = Broadcast("h264"), list[int]()
    viewer = feed.attach()
    feed.on_key_needed = lambda: asked.append(clock.now_ns)

    def ask_for_seconds(seconds: int) -> int:
        asked.clear()
        for _ in range(seconds * 20):
            viewer.ask_for_key()
            clock.wait(50)
        return len(asked)

    clock.wait(1000)
    assert ask_for_seconds(5) == 10
    troubled(feed, viewer, clock, 300_000)
    assert ask_for_seconds(5) == 5


def test_a_viewer_below_the_floor_gets_fewer_frames_and_holds_nobody_down(clock: Clock) -> None:
    feed = Broadcast("h264")
    fast, slow = feed.attach(), feed.attach()
    troubled(feed, slow, clock, 100_000)
    assert feed.bit_rate() is None
    fast.stop()
    assert feed.bit_rate() == FLOOR_BIT_S

    fast = feed.attach()
    seen, got, sent_bytes = 0, list[int](), 0
    for number in range(300, 600):  # ten seconds at 800 kbit/s, a key frame each second
        feed.push(unit(number, key=number % 30 == 0, size=3300))
        seen += len(taken(fast))
        items = taken(slow)
        got += [item.rtp_time // 3000 for item in items]
        sent_bytes += sum(item.size for item in items)
        clock.wait(100 / 3)
    assert seen == 300
    assert 30 <= len(got) <= 60
    assert 8 * sent_bytes / 10 < 1.7 * 100_000
    for before, number in zip([299, *got], got, strict=False):
        assert number == before + 1 or number % 30 == 0


def test_what_a_viewer_waits_for_ends_with_it() -> None:
    feed, sound = Broadcast("h264"), AudioBroadcast()

    async def run(track: FeedTrack | broadcast.AudioTrack) -> None:
        waiting = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        track.stop()
        with pytest.raises(MediaStreamError):
            await asyncio.wait_for(waiting, 5)

    attach: list[Callable[[], FeedTrack | broadcast.AudioTrack]] = [feed.attach, sound.attach]
    for one in attach:
        asyncio.run(run(one()))
    assert feed.viewers == 0


def test_sound_is_untouched_and_the_oldest_goes_first() -> None:
    sound = AudioBroadcast()

    async def run() -> None:
        quick, stuck = sound.attach(), sound.attach()
        for number in range(MAX_QUEUED + 5):
            sound.push(b"opus %d" % number, 960 * number)
            item = await quick.recv()
            assert (item.payloads, item.rtp_time) == ([b"opus %d" % number], 960 * number)
        assert (await stuck.recv()).rtp_time == 960 * 5
        stuck.stop()
        quick.stop()

    asyncio.run(run())


def test_what_still_waits_for_a_viewer_can_be_taken_back(clock: Clock) -> None:
    feed = Broadcast("h264")
    viewer = feed.attach()
    for number in range(5):
        feed.push(unit(number, key=number == 0))
    feed.drop_queued()
    feed.push(unit(5))
    feed.push(unit(6, key=True))
    assert numbers(viewer) == [6]

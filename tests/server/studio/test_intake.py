"""What comes in: broken, late, odd and changing streams."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.frame import Frame
from server.link import NO_FLAGS, Flag, Kind
from server.studio.costs import Costs
from server.studio.intake import MAX_UNITS, AccessUnit, Intake, Timeline, crop_to_even
from server.studio.ledger import Tally


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def test_garbage_asks_for_a_key_frame_and_the_next_one_mends_it(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    publisher.stop()
    mark = door.mark()
    rubbish = b"\0\0\0\1\x65" + bytes(range(256)) * 8
    for flags in (NO_FLAGS, Flag.KEY):
        now = time.monotonic_ns()
        door.send(Kind.ACCESS_UNIT, 1, body=rubbish, flags=flags, rtp_time=publisher.sent * 3000, arrival_ns=now)
        publisher.sent += 1
    door.wait(Kind.NEED_KEY, 1, start=mark)
    door.wait(Kind.STATS, start=mark, where=lambda m: m.json()["streams"]["1"]["drops"].get("decode_error"))
    mark = door.mark()
    bench.publish(door, first=-(-publisher.sent // 60) * 60)
    door.wait(Kind.ENCODED, 10, start=mark, count=10, where=is_picture)
    bench.decoded(door.seen(Kind.ENCODED, 10))


def test_after_a_gap_nothing_is_decoded_before_a_key_frame(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    publisher.stop()
    while publisher.sent % 15 == 0:  # the next one is a key frame
        publisher.send_one()
    gap_ns = time.monotonic_ns()
    door.send(Kind.GAP, 1)
    mark = door.mark()
    publisher.send_one()
    door.wait(Kind.NEED_KEY, 1, start=mark)
    door.wait(Kind.ENCODED, 10, start=mark, count=2, where=lambda m: not is_picture(m))
    assert not [m for m in door.seen(Kind.ENCODED, 10, mark) if is_picture(m) and m.arrival_ns >= gap_ns]
    bench.publish(door, first=-(-publisher.sent // 60) * 60)
    door.wait(Kind.ENCODED, 10, start=mark, where=is_picture)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_the_feed_follows_changes_of_size_each_from_a_key_frame_on_and_covers_all_faces(bench, make_clip, codec):
    """As browsers change it: in the midst of the stream, with a key frame and no gap."""
    sizes = [(640, 480), (320, 240), (480, 360), (640, 480)]
    clips = {size: make_clip(codec, *size) for size in set(sizes)}
    bench.clip = clips[sizes[0]]
    door = bench.start()
    door.open_stream(1, codec)
    for feed in ("redacted", "overlay"):
        door.open_feed(10 + (feed == "overlay"), feed, codec=codec)
    sent = mark = 0
    for size in sizes:
        bench.detectors[0].clip = clips[size]
        publisher = bench.publish(door, clips[size], first=sent)
        tracks = door.wait(Kind.TRACKS, 1, start=mark, where=lambda m, size=size: m.json()["width"] == size[0])
        assert tracks[0].json()["height"] == size[1]
        for feed in (10, 11):
            door.wait(Kind.ENCODED, feed, start=mark, count=15, where=is_picture)
        publisher.stop()
        mark = door.mark()
        sent = -(-publisher.sent // 60) * 60
    for feed in (10, 11):
        units = door.seen(Kind.ENCODED, feed)
        shown = [(f, m) for f, m in zip(bench.decoded(units, codec), units, strict=True) if is_picture(m)]
        changes = [size for size, _ in itertools.groupby(shown, lambda pair: (pair[0].width, pair[0].height))]
        assert changes == sizes
        before = None
        for frame, unit in shown:
            size = frame.width, frame.height
            assert size == before or unit.flags & Flag.KEY
            before = size
        if feed == 10:
            assert max(bench.likeness(clips[f.width, f.height], f) for f, _ in shown) < 0.4


def test_odd_sizes_lose_a_line_and_nothing_else(bench, make_clip):
    odd = make_clip("vp8", 321, 241)
    bench.clip = odd
    door = bench.start()
    door.open_stream(1, "vp8")
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    units = [m for m in door.seen(Kind.ENCODED, 10) if is_picture(m)]
    assert {(f.width, f.height) for f in bench.decoded(units)} == {(320, 240)}


@given(st.integers(1, 30), st.integers(1, 30))
def test_cropping_to_even_keeps_the_pixels(half_w, half_h):
    width, height = 2 * half_w + 1, 2 * half_h + 1
    y = np.arange(width * height, dtype=np.uint32).astype(np.uint8).reshape(height, width)
    u = np.arange((half_w + 1) * (half_h + 1), dtype=np.uint32).astype(np.uint8).reshape(half_h + 1, half_w + 1)
    even = crop_to_even(Frame(y, u, u, 1, 2))
    assert (even.width, even.height) == (2 * half_w, 2 * half_h)
    assert np.array_equal(even.y, y[:-1, :-1])
    assert np.array_equal(even.u, u[:-1, :-1])
    assert (even.rtp_time, even.arrival_ns) == (1, 2)


def test_a_slow_reader_never_builds_up_delay(clip):
    go, got, keys = threading.Event(), [], []

    def slow(frame):
        go.wait(20)
        got.append(frame.rtp_time)

    tally = Tally()
    intake = Intake("h264", slow, lambda: keys.append(1), tally, Costs())
    try:
        for n, (data, key) in enumerate(clip.units[:40]):
            intake.push(AccessUnit(data, n, 0, key))
            assert len(intake) <= MAX_UNITS
        assert keys, "a key frame is asked for"
        intake.push(AccessUnit(clip.units[0][0], 1000, 0, True))
        go.set()
        until = time.monotonic() + 10
        while 1000 not in got and time.monotonic() < until:
            time.sleep(0.01)
        assert got[-1] == 1000
        assert len(got) <= MAX_UNITS + 2
        assert sum(tally.take()["drops"].values()) + len(got) == 41
    finally:
        go.set()
        intake.close()


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 400_000_000), st.booleans()), min_size=1, max_size=30
    )
)
def test_the_viewers_time_goes_with_the_clock_whatever_the_publisher_sends(events):
    timeline, now_ns, rtp = Timeline(), 10**12, 0
    last = timeline.at(now_ns)
    for wild, wait_ns, jump in events:
        now_ns += wait_ns
        rtp = wild if jump else rtp + wait_ns * 9 // 100_000
        placed = timeline.place(rtp, now_ns)
        assert abs(placed - last - wait_ns * 9 // 100_000) <= 2 * 90_000 + 1
        last = placed


@given(st.integers(-(2**31), 2**40), st.lists(st.integers(0, 10_000_000), max_size=30))
def test_a_steady_publisher_keeps_its_own_time(start, jitters):
    timeline = Timeline()
    for n, jitter_ns in enumerate(jitters):
        assert timeline.place(start + n * 3000, n * 33_333_333 + jitter_ns) == start + n * 3000

"""What comes in: broken, late, odd and changing streams."""

from __future__ import annotations

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.frame import Frame
from server.link import NO_FLAGS, Flag, Kind
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
    stats = door.wait(Kind.STATS, start=mark)
    assert any(m.json()["streams"]["1"]["drops"].get("decode_error") for m in stats)
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
    door.send(Kind.GAP, 1)
    while publisher.sent % 60 == 0:
        publisher.send_one()
    mark = door.mark()
    publisher.send_one()
    door.wait(Kind.NEED_KEY, 1, start=mark)
    door.mark()
    assert not [m for m in door.seen(Kind.ENCODED, 10, mark) if is_picture(m)]
    bench.publish(door, first=-(-publisher.sent // 60) * 60)
    door.wait(Kind.ENCODED, 10, start=mark, where=is_picture)


def test_a_change_of_size_changes_the_feed_and_starts_with_a_key_frame(bench, make_clip):
    small = make_clip("h264", 320, 480)
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=20, where=is_picture)
    publisher.stop()
    mark = door.mark()
    bench.clip = small
    bench.detectors[0].clip = small
    bench.publish(door, small, first=-(-publisher.sent // 60) * 60)
    door.wait(Kind.ENCODED, 10, start=mark, count=20, where=is_picture)
    units = door.seen(Kind.ENCODED, 10, mark)
    first = next(i for i, m in enumerate(units) if is_picture(m))
    frames = bench.decoded(units[first:])
    assert {(f.width, f.height) for f in frames} == {(320, 480)}
    assert max(bench.likeness(small, f) for f in frames) < 0.4
    assert door.wait(Kind.TRACKS, 1, start=mark, where=lambda m: m.json()["width"] == 320)


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
    intake = Intake("h264", slow, lambda: keys.append(1), tally)
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

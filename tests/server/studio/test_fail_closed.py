"""What viewers see when something is wrong: the last safe picture, then a slate that says why; never the source."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from engines.scene.marker import read_marker
from server.link import Flag, Kind


def is_slate(message):
    return bool(message.flags & Flag.IS_SLATE)


def is_picture(message):
    return not is_slate(message)


def never_the_source(bench, door, feed):
    """Decode all that ever was sent to a viewer of the feed and compare its faces with the source's."""
    units = door.seen(Kind.ENCODED, feed)
    worst = 0.0
    for unit, frame in zip(units, bench.decoded(units), strict=True):
        if (frame.width, frame.height) == (bench.clip.width, bench.clip.height):
            worst = max(worst, bench.likeness(bench.clip, frame))
        else:
            assert is_slate(unit)
    assert worst < 0.4


def test_a_detector_that_raises_leads_to_the_slate_and_back(bench):
    broken = threading.Event()

    def fault():
        if broken.is_set():
            raise RuntimeError("out of luck")

    door = bench.start(lambda: bench.detector(fault=fault))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=15, where=is_picture)
    broken.set()
    broken_ns = time.monotonic_ns()
    door.wait(Kind.ENCODED, 10, start=len(door.messages), count=5, where=is_slate)
    units = door.seen(Kind.ENCODED, 10)
    at = max(i for i, m in enumerate(units) if is_picture(m))
    last, slates = units[at], units[at + 1 :]
    assert last.arrival_ns < broken_ns, "frames that were not analysed were shown"
    assert 300e6 < slates[0].arrival_ns - last.arrival_ns < 1500e6, "the last safe picture stays for half a second"
    assert slates[0].flags & Flag.KEY
    pace = [b.rtp_time - a.rtp_time for a, b in itertools.pairwise(slates)]
    assert all(9_000 < ticks < 54_000 for ticks in pace), "about five a second, by the clock"
    mark = door.mark()
    broken.clear()
    back = door.wait(Kind.ENCODED, 10, start=mark, count=5, where=is_picture)
    assert back[0].flags & Flag.KEY, "nothing of the time before may be referred to"
    times = [m.rtp_time for m in door.seen(Kind.ENCODED, 10)]
    assert times == sorted(set(times))
    never_the_source(bench, door, 10)
    stats = [m.json()["detector"]["counts"].get("failed", 0) for m in door.wait(Kind.STATS)]
    assert sum(stats) > 5


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, complete=False),
        lambda d: replace(d, rtp_time=d.rtp_time - 3000),
        lambda d: replace(d, width=d.width * 2, height=d.height * 2),
        lambda d: replace(d, boxes=d.boxes + np.float32(np.nan)),
        lambda d: replace(d, scores=d.scores[:-1]),
    ],
    ids=["not complete", "of another frame", "of another size", "not finite", "of no shape"],
)
def test_what_a_detector_gets_wrong_shows_nobody(bench, change):
    spoilt = threading.Event()
    door = bench.start(lambda: bench.detector(spoil=lambda found: change(found) if spoilt.is_set() else found))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    spoilt.set()
    door.wait(Kind.ENCODED, 10, start=len(door.messages), count=2, where=is_slate)
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=2)
    assert all(is_slate(m) for m in door.seen(Kind.ENCODED, 10, mark))
    never_the_source(bench, door, 10)


def test_a_detector_that_hangs_is_replaced(bench):
    hangs = threading.Event()
    release = threading.Event()

    def fault():
        if hangs.is_set():
            release.wait(60)

    door = bench.start(lambda: bench.detector(fault=fault))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    try:
        door.wait(Kind.ENCODED, 10, count=15, where=is_picture)
        mark = len(door.messages)
        hangs.set()
        door.wait(Kind.ENCODED, 10, start=mark, where=is_slate)
        start = len(door.messages)
        door.wait(Kind.STATS, start=start, where=lambda m: m.json()["detector"]["counts"].get("hung"))
        hangs.clear()
        door.wait(Kind.ENCODED, 10, start=len(door.messages), count=10, where=is_picture)
        assert len(bench.detectors) >= 2
        shown = len(door.seen(Kind.ENCODED, 10))
        release.set()  # what the abandoned thread now returns must go nowhere
        door.wait(Kind.ENCODED, 10, count=shown + 20)
        times = [m.rtp_time for m in door.seen(Kind.ENCODED, 10)]
        assert times == sorted(set(times))
        never_the_source(bench, door, 10)
        assert not bench.fatal
    finally:
        release.set()


def test_a_detector_that_hangs_time_and_again_ends_the_studio(bench):
    release = threading.Event()
    door = bench.start(lambda: bench.detector(fault=lambda: release.wait(60)))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    try:
        until = time.monotonic() + 20
        while not bench.fatal and time.monotonic() < until:
            door.wait(Kind.STATS, start=len(door.messages))
        assert bench.fatal
        assert all(is_slate(m) for m in door.wait(Kind.ENCODED, 10))
    finally:
        release.set()


def test_before_the_detector_is_warm_there_is_the_slate_and_no_ready(bench):
    cold = bench.detector()
    cold.warm.clear()
    door = bench.start(lambda: cold, ready=False)
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    units = door.wait(Kind.ENCODED, 10, count=5)
    assert all(is_slate(m) for m in units)
    assert not door.seen(Kind.READY)
    assert cold.calls == 0
    cold.warm.set()
    door.wait(Kind.READY)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)
    never_the_source(bench, door, 10)


def test_a_detector_that_does_not_find_the_known_face_is_not_trusted(bench):
    good = threading.Event()
    door = bench.start(canary=lambda detector: good.is_set(), ready=False)
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    assert all(is_slate(m) for m in door.wait(Kind.ENCODED, 10, count=5))
    assert not door.seen(Kind.READY)
    good.set()
    door.wait(Kind.READY)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)


def test_a_detector_that_grows_blind_later_is_found_out(bench, monkeypatch):
    monkeypatch.setattr("server.studio.inference.CANARY_INTERVAL_NS", 200_000_000)
    monkeypatch.setattr("server.studio.inference.CANARY_RETRY_NS", 200_000_000)
    sees = threading.Event()
    sees.set()
    door = bench.start(canary=lambda detector: sees.is_set())
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    sees.clear()
    door.wait(Kind.ENCODED, 10, start=len(door.messages), count=3, where=is_slate)
    mark = door.mark()
    sees.set()
    door.wait(Kind.ENCODED, 10, start=mark, count=3, where=is_picture)


def test_a_detector_that_only_raises_is_replaced(bench, monkeypatch):
    monkeypatch.setattr("server.studio.inference.CANARY_INTERVAL_NS", 100_000_000)
    monkeypatch.setattr("server.studio.inference.CANARY_RETRY_NS", 100_000_000)
    broken = threading.Event()

    def use(detector):
        if broken.is_set() and detector is bench.detectors[0]:
            raise RuntimeError("an illegal memory access was encountered")
        return True

    door = bench.start(canary=use)
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    broken.set()
    door.wait(Kind.STATS, start=door.mark(), where=lambda m: len(bench.detectors) == 2 and m.json()["detector"])
    door.wait(Kind.ENCODED, 10, start=door.mark(), count=10, where=is_picture)
    assert not bench.fatal


@pytest.mark.parametrize("name", ["redacted", "overlay", "raw", "fancam/1"])
def test_panic_covers_the_whole_picture_within_one_frame(bench, name):
    door = bench.start()
    door.open_stream(1)
    bench.publish(door)
    door.wait(Kind.TRACKS, 1, where=lambda m: m.json()["tracks"])
    door.open_feed(10, name)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    start = len(door.messages)
    door.send(Kind.POLICY, 1, {"panic": True})
    mark = door.mark()
    covered = door.wait(Kind.ENCODED, 10, start=mark, count=6)
    assert sum(is_picture(m) for m in covered) <= 1, "only what was on its way already"
    first = next(m for m in door.seen(Kind.ENCODED, 10, start) if is_slate(m))
    assert first.flags & Flag.KEY
    assert not door.seen(Kind.META, 1, mark + 20)
    mark = door.mark()
    door.send(Kind.POLICY, 1, {"panic": False})
    (back, *_) = door.wait(Kind.ENCODED, 10, start=mark, where=is_picture)
    assert back.flags & Flag.KEY
    frames = bench.decoded(door.seen(Kind.ENCODED, 10))
    shown = [f for f, m in zip(frames, door.seen(Kind.ENCODED, 10), strict=False) if m in covered and is_slate(m)]
    assert shown
    assert all(f.y.std() < 30 for f in shown), "a plain card with a line of text"


def test_a_publisher_that_falls_silent_leads_to_the_slate(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    publisher.stop()
    mark = len(door.messages)
    door.wait(Kind.ENCODED, 10, start=mark, count=3, where=is_slate)
    bench.publish(door, first=300)  # somebody else, with other times, from a key frame on
    door.wait(Kind.ENCODED, 10, start=mark, count=10, where=is_picture)
    units = door.seen(Kind.ENCODED, 10)
    steps = [b.rtp_time - a.rtp_time for a, b in itertools.pairwise(units)]
    assert all(0 < step < 90_000 for step in steps), "time goes on for the viewer"
    assert len(bench.decoded(units)) == len(units)


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_after_a_cut_the_first_picture_is_of_frames_analysed_in_a_row_and_refers_to_none_before(
    bench, make_clip, monkeypatch, look_ahead
):
    monkeypatch.setattr("server.studio.feeds.HOLD_NS", 1_500_000_000)
    other = make_clip("h264", bench.clip.width, bench.clip.height, 20, negative=True)
    door = bench.start(look_ahead=look_ahead)
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=20, where=is_picture)
    publisher.stop()
    cut_ns = time.monotonic_ns()
    publisher = bench.publish(door, other, first=-(-publisher.sent // 60) * 60)
    after = door.wait(Kind.ENCODED, 10, count=5, where=lambda m: is_picture(m) and m.arrival_ns > cut_ns)
    units = door.seen(Kind.ENCODED, 10)
    publisher.stop()
    assert after[0].flags & Flag.KEY
    before = [m for m in units if m.arrival_ns <= cut_ns]
    assert not any(is_slate(m) for m in units[len(before) :]), "the last picture stays for longer than that"
    numbers = [read_marker(frame.y) for frame in bench.decoded(after)]
    assert 0 not in numbers, "the frame of the cut itself is not shown"
    never_the_source(bench, door, 10)


def test_a_slow_detector_does_not_leave_a_feed_on_its_slate_for_ever(bench):
    door = bench.start(lambda: bench.detector(fault=lambda: time.sleep(0.35)))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    slate = door.wait(Kind.ENCODED, 10, where=is_slate)[0]
    pictures = door.wait(Kind.ENCODED, 10, count=8, where=is_picture, timeout_s=30)
    assert pictures[-1].arrival_ns > slate.arrival_ns
    times = [unit.rtp_time for unit in door.seen(Kind.ENCODED, 10)]
    assert all(before < after for before, after in itertools.pairwise(times)), "a viewer's time never runs back"

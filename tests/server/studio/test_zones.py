"""Privacy zones are black in every feed, from the first frame on or from the moment they are asked for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from server.link import NO_FLAGS, Flag, Kind

LOWER_HALF = [[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def lower_halves(bench, door, feed):
    units = door.seen(Kind.ENCODED, feed)
    for unit, frame in zip(units, bench.decoded(units), strict=True):
        if is_picture(unit):
            yield frame.y[frame.height // 2 + 8 :]


@pytest.mark.parametrize("feed", ["redacted", "overlay", "raw"])
def test_from_the_first_frame_on(bench, feed):
    door = bench.start(bench.detector)
    door.open_stream(1, zones=LOWER_HALF)
    door.open_feed(10, feed)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    pictures = list(lower_halves(bench, door, 10))
    assert len(pictures) >= 10
    assert all(np.percentile(picture, 90) < 24 for picture in pictures)  # but for covers and frames that reach in


def test_while_it_runs(bench):
    door = bench.start(bench.detector)
    door.open_stream(1)
    door.open_feed(10, "overlay")
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)
    assert np.percentile(next(lower_halves(bench, door, 10)), 90) > 60
    door.send(Kind.POLICY, 1, {"zones": LOWER_HALF})
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=15, where=is_picture)
    assert np.percentile(list(lower_halves(bench, door, 10))[-1], 90) < 24


def test_a_frame_that_came_before_others_of_earlier_times_is_not_shown_by_the_zones_of_before(bench):
    """As from a publisher that sends B-frames."""
    drawn = threading.Event()
    drawn.set()
    door = bench.start(lambda: bench.detector(fault=lambda: drawn.wait(15)))
    door.open_stream(1, budget_ms=5000)
    door.open_feed(10, "overlay")
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)
    publisher.stop()
    time.sleep(0.1)
    drawn.clear()
    number, begun_ns = publisher.sent, time.monotonic_ns()
    for publisher.sent, place in ((number, 3), (number + 1, 1), (number + 2, 2)):
        data, key = bench.clip.units[publisher.sent % len(bench.clip.units)]
        door.send(
            Kind.ACCESS_UNIT, 1, body=data, flags=Flag.KEY if key else NO_FLAGS,
            rtp_time=(number + place) * 3000, arrival_ns=time.monotonic_ns(),
        )  # fmt: skip
        time.sleep(0.02)
    door.send(Kind.POLICY, 1, {"zones": LOWER_HALF})
    door.mark()
    drawn.set()
    time.sleep(1)
    units = door.seen(Kind.ENCODED, 10)
    shown = zip(units, bench.decoded(units), strict=True)
    after = [frame for unit, frame in shown if is_picture(unit) and unit.arrival_ns > begun_ns]
    assert all(np.percentile(frame.y[frame.height // 2 + 8 :], 90) < 24 for frame in after)


def test_zones_that_nobody_understands_are_the_whole_picture(bench):
    door = bench.start(bench.detector)
    door.open_stream(1)
    door.open_feed(10, "overlay")
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)
    door.send(Kind.POLICY, 1, {"zones": "the window"})
    # the detector of this bench reads the frame's number, and so fails where all is black
    door.wait(Kind.ENCODED, 10, start=door.mark(), count=5, where=lambda message: not is_picture(message))
    assert not is_picture(door.seen(Kind.ENCODED, 10)[-1])

"""Look-ahead: frames wait for those after them, and a face is covered from before it was first found."""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from benchmarks.rig import TICKS, KnowingDetector, likenesses
from engines.scene.marker import read_marker
from server.link import Flag, Kind
from server.studio.streams import LAG_MARGIN

WAKES_AT = 40
LOWER_HALF = [[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


class LateDetector(KnowingDetector):
    """Finds nobody before frame WAKES_AT of the clip; `analysed` are the numbers of all frames it has looked at."""

    def __init__(self, clip):
        super().__init__(clip, blind=True)
        self.warm.set()
        self.analysed = []

    def _one(self, frame):
        self.analysed.append(read_marker(frame.y))
        self.blind = self.blind and self.analysed[-1] < WAKES_AT
        return super()._one(frame)


def first_round(numbers):
    """The clip's frames by their numbers, up to where it begins anew."""
    return numbers[: next((i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1]), len(numbers))]


@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_face_first_found_at_n_is_covered_from_n_minus_k(bench, k):
    door = bench.start(lambda: LateDetector(bench.clip), look_ahead=k)
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=WAKES_AT + 10, where=is_picture)
    analysed = first_round(bench.detectors[0].analysed)
    found_at = next(i for i, number in enumerate(analysed) if number >= WAKES_AT)
    units = door.seen(Kind.ENCODED, 10)
    frames = [f for f, unit in zip(bench.decoded(units), units, strict=True) if is_picture(unit)]
    frames = frames[: len(first_round([read_marker(frame.y) for frame in frames]))]
    seen = {read_marker(frame.y): min(likenesses(bench.clip, read_marker(frame.y), frame)) for frame in frames}
    covered = {read_marker(frame.y): max(likenesses(bench.clip, read_marker(frame.y), frame)) for frame in frames}
    before, after = set(analysed[: found_at - k]) & seen.keys(), set(analysed[found_at - k :]) & seen.keys()
    assert min(seen[n] for n in before) > 0.8, "the judge is blind, or faces that nobody has found are covered"
    assert max(covered[n] for n in after) < 0.4
    assert k == 0 or set(analysed[found_at - k : found_at]) & after, "none of the frames in question was shown"
    times = [unit.rtp_time for unit in units]
    assert times == sorted(set(times))
    assert len(frames) == len(seen)
    stages = [meta.json()["l"] for meta in door.seen(Kind.META, 1)]
    waits_ms = [stage["waited"] for stage in stages if "waited" in stage]
    assert bool(waits_ms) == bool(k)
    assert not k or 0.6 * k * 33.3 < statistics.median(waits_ms) < 1.5 * k * 33.3


def numbers(bench, units):
    """The source frames that the pictures among the units show."""
    frames = zip(bench.decoded(units), units, strict=True)
    return [read_marker(frame.y) for frame, unit in frames if is_picture(unit)]


def test_frames_that_waited_when_panic_ended_are_not_shown(bench):
    door = bench.start(look_ahead=3)
    door.open_stream(1)
    door.open_feed(10, "overlay")
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    door.send(Kind.POLICY, 1, {"panic": True})
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=2, where=lambda m: not is_picture(m))
    pressed = len(door.messages)
    door.wait(Kind.STATS, start=pressed)
    ended_at = publisher.sent
    door.send(Kind.POLICY, 1, {"panic": False})
    door.wait(Kind.ENCODED, 10, start=pressed, count=10, where=is_picture)
    units = door.seen(Kind.ENCODED, 10)
    shown = numbers(bench, units)[-10:]
    assert (shown[0] - ended_at) % 60 < 30, f"{shown[0]} came before panic ended, at {ended_at % 60}"


def test_frames_that_waited_when_zones_were_drawn_are_not_shown_without_them(bench):
    door = bench.start(bench.detector, look_ahead=3)
    door.open_stream(1)
    door.open_feed(10, "overlay")
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    door.send(Kind.POLICY, 1, {"zones": LOWER_HALF})
    mark = door.mark()
    before = sum(map(is_picture, door.seen(Kind.ENCODED, 10)))
    door.wait(Kind.ENCODED, 10, start=mark, count=10, where=is_picture)
    units = door.seen(Kind.ENCODED, 10)
    frames = [f for f, unit in zip(bench.decoded(units), units, strict=True) if is_picture(unit)]
    bright = [float(np.percentile(frame.y[frame.height // 2 + 8 :], 90)) for frame in frames]
    assert max(bright[:before]) > 60, "the judge is blind"
    assert max(bright[before + 1 :]) < 24  # one may have been on its way


def test_slates_do_not_run_ahead_of_the_frames_that_wait(bench):
    door = bench.start(look_ahead=3)
    door.open_stream(1)
    publisher = bench.publish(door)
    door.wait(Kind.META, 1)  # a slate before the first frame would begin another time
    door.open_feed(10)
    door.wait(Kind.ENCODED, 10, count=20, where=is_picture)
    publisher.stop()
    last_ns, last = time.monotonic_ns(), publisher.sent
    publisher.send_one()
    slate = door.wait(Kind.ENCODED, 10, start=len(door.messages), count=2, where=lambda m: not is_picture(m))[-1]
    since_s = (slate.arrival_ns - last_ns) / 1e9
    ahead_s = (slate.rtp_time - last * TICKS) / 90_000 - (since_s - 3 / 30)
    lag_s = LAG_MARGIN * max(sum(meta.json()["l"].values()) for meta in door.seen(Kind.META, 1)) / 1000
    assert -0.2 - lag_s < ahead_s < 0.05, "the slate runs ahead, or far behind"

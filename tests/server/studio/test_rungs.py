"""What viewers get on the lower rungs: the redacted feed shows analysed frames alone, others go on between them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from benchmarks.rig import KnowingDetector
from engines.scene.marker import read_marker
from server.link import Flag, Kind
from server.studio.ladder import RUNGS, Ladder

TICKS_AT_10_FPS = 9000


@dataclass
class RememberingDetector(KnowingDetector):
    """Knows which frames it was given."""

    analysed: set[int] = field(default_factory=set)

    def detect(self, frames):
        self.analysed |= {frame.rtp_time for frame in frames}
        return super().detect(frames)


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def stay_on(monkeypatch, number):
    class Standing(Ladder):
        def step(self, demands, now_s):
            self._at = dict.fromkeys(demands, number)

    monkeypatch.setattr("server.studio.studio.Ladder", Standing)


def remembering(bench):
    detector = RememberingDetector(bench.clip)
    detector.warm.set()
    return detector


def start(bench, *feeds, settings=()):
    """Publish, open these feeds, and return when the rung is in force; the door, and messages from then on."""
    door = bench.start(lambda: remembering(bench), **dict(settings))
    door.open_stream(1)
    for ident, feed in enumerate(feeds, 10):
        door.open_feed(ident, feed)
    bench.publish(door)
    door.wait(
        Kind.STATS, count=2, where=lambda m: m.json()["streams"].get("1", {}).get("rung", RUNGS[0].name) != "full"
    )
    return door, door.mark()


def pace(messages):
    times = [m.rtp_time for m in messages if is_picture(m)]
    return float(np.median(np.diff(times)))


def test_where_every_3rd_frame_is_detected_the_redacted_feed_shows_those_and_says_so(bench, monkeypatch):
    stay_on(monkeypatch, 2)
    door, mark = start(bench, "redacted", "raw")
    door.wait(Kind.ENCODED, 10, start=mark, count=25, where=is_picture)
    units = door.seen(Kind.ENCODED, 10)
    assert {m.rtp_time for m in units if is_picture(m)} <= bench.detectors[0].analysed
    assert max(bench.likeness(bench.clip, frame) for frame in bench.decoded(units)[5:]) < 0.4
    assert pace(door.seen(Kind.ENCODED, 10, mark)) == TICKS_AT_10_FPS
    raw = door.seen(Kind.ENCODED, 11, mark)
    assert pace(raw) == TICKS_AT_10_FPS / 3
    assert {m.rtp_time for m in raw} - bench.detectors[0].analysed
    stats = door.seen(Kind.STATS, start=mark)[-1].json()
    assert stats["streams"]["1"]["rung"] == "every 3rd frame detected"
    assert (stats["feeds"]["10"]["fps"], stats["feeds"]["11"]["fps"]) == (10, 30)


def test_a_fancam_goes_on_with_predicted_boxes_unless_it_covers_the_others(bench, monkeypatch):
    stay_on(monkeypatch, 2)
    door, _ = start(bench)
    (listed, *_) = door.wait(Kind.TRACKS, 1, where=lambda m: m.json()["tracks"])
    door.open_feed(10, f"fancam/{listed.json()['tracks'][0]['id']}")
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=40, where=is_picture)
    assert pace(door.seen(Kind.ENCODED, 10, mark)[5:]) == TICKS_AT_10_FPS / 3
    door.send(Kind.POLICY, 1, {"fancams": "cover others"})
    mark = door.mark()
    shown = [m for m in door.wait(Kind.ENCODED, 10, start=mark, count=20, where=is_picture) if is_picture(m)][3:]
    assert {m.rtp_time for m in shown} <= bench.detectors[0].analysed
    assert pace(shown) == TICKS_AT_10_FPS


def test_on_the_lowest_rung_all_feeds_run_at_a_third_and_stay_decodable_through_the_change(bench, monkeypatch):
    stay_on(monkeypatch, len(RUNGS) - 1)
    door, mark = start(bench, "redacted", "raw")
    for feed in (10, 11):
        door.wait(Kind.ENCODED, feed, start=mark, count=15, where=is_picture)
        assert pace(door.seen(Kind.ENCODED, feed, mark)) == TICKS_AT_10_FPS
        assert len(bench.decoded(door.seen(Kind.ENCODED, feed))) >= 15


def test_a_fancam_on_the_lowest_rung_goes_on_after_a_slate_though_it_is_half_a_second_late(bench, monkeypatch):
    """The slate's time once ran ahead of the frames under way, which then came too late for ever."""
    stay_on(monkeypatch, len(RUNGS) - 1)
    door, mark = start(bench, settings={"fancam_delay": 5})
    (listed, *_) = door.wait(Kind.TRACKS, 1, where=lambda m: m.json()["tracks"])
    door.open_feed(10, f"fancam/{listed.json()['tracks'][0]['id']}")
    door.wait(Kind.ENCODED, 10, start=mark, where=is_picture)
    door.send(Kind.POLICY, 1, {"panic": True})
    door.wait(Kind.ENCODED, 10, start=mark, where=lambda m: m.flags & Flag.IS_SLATE)
    door.send(Kind.POLICY, 1, {"panic": False})
    mark = door.mark()
    shown = [m for m in door.wait(Kind.ENCODED, 10, start=mark, count=16) if is_picture(m)]
    assert len(shown) > 8, "slates, and hardly a picture between them"
    assert pace(shown) == TICKS_AT_10_FPS


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_a_detector_too_slow_for_every_frame_a_stream_goes_down_and_comes_back_when_it_is_fast_again(bench):
    slow_s = [0.045]
    door = bench.start(lambda: bench.detector(fault=lambda: time.sleep(slow_s[0])))
    door.open_stream(1, budget_ms=150)
    door.open_feed(10)
    bench.publish(door)

    def rung_is(test):
        return lambda m: test(m.json()["streams"].get("1", {}).get("rung"))

    door.wait(Kind.STATS, where=rung_is(lambda rung: rung not in (None, "full")), timeout_s=30)
    mark = door.mark()
    slow_s[0] = 0.0
    door.wait(Kind.STATS, start=mark, where=rung_is(lambda rung: rung == "full"), timeout_s=240)
    shown = [m for m in door.seen(Kind.ENCODED, 10) if is_picture(m)]
    assert read_marker(bench.decoded(door.seen(Kind.ENCODED, 10))[-1].y) is not None
    assert len(shown) > 30

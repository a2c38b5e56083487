"""Feeds as a viewer gets them: covered, decodable, encoded once and only for someone, with keys when asked."""

from __future__ import annotations

import itertools
import json
import statistics
import time

import pytest

from engines.scene.marker import read_marker
from server.link import Flag, Kind


def pictures(messages):
    return [m for m in messages if not m.flags & Flag.IS_SLATE]


def test_a_viewer_gets_every_frame_covered_within_its_budget(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    door.open_feed(11, "raw")
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=60, where=lambda m: not m.flags & Flag.IS_SLATE)
    units = door.wait(Kind.ENCODED, 10)
    frames = bench.decoded(units)
    shown = [f for f, unit in zip(frames, units, strict=True) if not unit.flags & Flag.IS_SLATE]
    assert {(f.width, f.height) for f in shown} == {(bench.clip.width, bench.clip.height)}
    assert max(bench.likeness(bench.clip, frame) for frame in shown) < 0.4
    raw = pictures(door.seen(Kind.ENCODED, 11))
    assert min(bench.likeness(bench.clip, frame) for frame in bench.decoded(raw)[:20]) > 0.9, "the judge is blind"
    times = [unit.rtp_time for unit in units]
    assert times == sorted(set(times))
    metas = {m.rtp_time: json.loads(m.body) for m in door.wait(Kind.META, 1, count=50)}
    assert all(len(m.body) < 1100 for m in door.seen(Kind.META))
    waits = [sum(meta["l"].values()) for meta in metas.values()]
    assert statistics.median(waits) < 100
    meta = metas[pictures(units)[30].rtp_time]
    assert {"decoded", "batched", "detected", "tracked", "rendered", "encoded", "sent"} <= meta["l"].keys()
    assert (meta["t"], meta["w"], meta["h"]) == (pictures(units)[30].rtp_time, bench.clip.width, bench.clip.height)
    truth = bench.clip.faces[read_marker(shown[30].y)]
    for _, *box, score, measured in meta["b"]:
        if measured:
            assert min(abs(box - face).max() for face in truth) < 12
            assert score == 90
    assert sum(row[-1] for row in meta["b"]) == len(truth)


def test_without_a_viewer_nothing_is_encoded_yet_the_tracks_are_known(bench, monkeypatch):
    monkeypatch.setattr("server.studio.feeds.FIRST_PICTURE_NS", 450_000_000)
    door = bench.start()
    door.open_stream(1)
    bench.publish(door)
    (tracks, *_) = door.wait(Kind.TRACKS, 1, where=lambda m: json.loads(m.body)["tracks"])
    assert len(json.loads(tracks.body)["tracks"]) == len(bench.clip.faces[0])
    stats = [m.json() for m in door.wait(Kind.STATS, count=2)]
    assert sum(s["streams"].get("1", {}).get("counts", {}).get("detected", 0) for s in stats) > 10
    assert all(s["feeds"] == {} for s in stats)
    door.wait(Kind.STATS, where=lambda m: 27 <= m.json()["streams"].get("1", {"fps": 0})["fps"] <= 33)
    assert door.wait(Kind.META, 1, count=10)
    assert not door.seen(Kind.ENCODED)
    mark = door.mark()
    door.open_feed(10)
    (first, *_) = door.wait(Kind.ENCODED, 10, start=mark)
    assert first.flags == Flag.KEY, "a picture at once, no slate before it"
    door.send(Kind.FEED_CLOSE, 10)
    quiet = door.mark()
    door.wait(Kind.STATS, start=quiet, count=2)
    assert len(door.seen(Kind.ENCODED, 10, quiet)) <= 1, "one may have been on its way"


def test_each_codec_is_encoded_once_and_counted(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    door.open_feed(11, codec="vp8")
    bench.publish(door)
    for feed, codec in ((10, "h264"), (11, "vp8")):
        door.wait(Kind.ENCODED, feed, count=30, where=lambda m: not m.flags & Flag.IS_SLATE)
        units = door.seen(Kind.ENCODED, feed)
        assert max(bench.likeness(bench.clip, f) for f in bench.decoded(units, codec)) < 0.4
        assert len({unit.rtp_time for unit in units}) == len(units)
    door.mark()
    stats = [m.json() for m in door.wait(Kind.STATS, count=len(door.seen(Kind.STATS)) + 1)]
    detected = sum(s["streams"].get("1", {}).get("counts", {}).get("detected", 0) for s in stats)
    for feed in ("10", "11"):
        encoded = sum(s["feeds"].get(feed, {}).get("counts", {}).get("encoded", 0) for s in stats)
        assert 10 < encoded <= detected
    total = [s["feeds"]["10"]["stages"].get("total") for s in stats if "10" in s["feeds"]]
    assert sum(sum(t["counts"]) for t in total if t) > 10


def test_requests_for_a_key_frame_are_answered_once_in_half_a_second(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=20, where=lambda m: not m.flags & Flag.IS_SLATE)
    start = len(door.messages)

    def answers():
        """Key frames that come of no slate."""
        units = itertools.pairwise(door.seen(Kind.ENCODED, 10, start))
        return [b for a, b in units if b.flags & Flag.KEY and not (a.flags | b.flags) & Flag.IS_SLATE]

    began_s = time.monotonic()
    while (took_s := time.monotonic() - began_s) < 1.2 or (not answers() and took_s < 15):
        door.send(Kind.FEED_KEY, 10)
        time.sleep(0.02)
    assert 1 <= len(answers()) <= 2 + took_s / 0.5
    assert all(b.arrival_ns - a.arrival_ns > 400e6 for a, b in itertools.pairwise(answers()))


def mean_bytes(door, begin, end, start=0):
    """Of feed 10's pictures from the `begin`th after message `start` to the `end`th."""
    found = door.wait(Kind.ENCODED, 10, start=start, count=end, where=lambda m: not m.flags & Flag.IS_SLATE)
    return sum(len(m.body) for m in found[begin:end]) / (end - begin)


def test_the_bit_rate_follows_what_the_door_asks_for(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10, "raw")
    bench.publish(door)
    before = mean_bytes(door, 10, 50)
    door.send(Kind.FEED_RATE, 10, {"bit_rate": 150_000})
    after = mean_bytes(door, 20, 60, door.mark())
    assert after < before / 2
    stats = door.wait(Kind.STATS, start=len(door.messages))[0].json()
    assert stats["feeds"]["10"]["bit_rate"] == 150_000
    door.send(Kind.FEED_RATE, 10, {"bit_rate": None})
    assert mean_bytes(door, 50, 90, door.mark()) > 2 * after


def test_a_feed_opened_for_a_slow_viewer_gives_full_quality_when_that_one_is_slow_no_more(bench):
    door = bench.start()
    door.open_stream(1)
    door.send(Kind.FEED_OPEN, 10, {"stream": 1, "feed": "raw", "codec": "h264", "bit_rate": 150_000})
    bench.publish(door)
    before = mean_bytes(door, 20, 60)
    door.send(Kind.FEED_RATE, 10, {"bit_rate": None})
    assert mean_bytes(door, 50, 90, door.mark()) > 2 * before


def test_a_fancam_keeps_its_size_and_ends_with_its_person(bench):
    door = bench.start()
    door.open_stream(1)
    bench.publish(door)
    tracks = door.wait(Kind.TRACKS, 1, where=lambda m: json.loads(m.body)["tracks"])[0].json()["tracks"]
    door.open_feed(20, "fancam/99")
    assert door.wait(Kind.FEED_GONE, 20, timeout_s=3)
    door.open_feed(21, f"fancam/{tracks[0]['id']}")
    units = door.wait(Kind.ENCODED, 21, count=20)
    sizes = {(f.width, f.height) for f in bench.decoded(units)}
    assert len(sizes) == 1
    ((width, height),) = sizes
    assert height > width
    bench.detectors[0].blind = True
    gone = door.wait(Kind.FEED_GONE, 21)[0]
    assert gone.json()["reason"]
    sizes = {(f.width, f.height) for f in bench.decoded(door.seen(Kind.ENCODED, 21))}
    assert sizes == {(width, height)}
    door.wait(Kind.TRACKS, 1, where=lambda m: json.loads(m.body)["tracks"] == [])


def test_feeds_that_cannot_be_are_refused(bench):
    door = bench.start()
    door.open_stream(1)
    for ident, (name, stream) in enumerate([("nonsense", 1), ("fancam/x", 1), ("fancam/-1", 1), ("redacted", 2)], 30):
        door.open_feed(ident, name, stream)
        assert door.wait(Kind.FEED_GONE, ident, timeout_s=3)
    door.open_feed(40)
    door.wait(Kind.ENCODED, 40)
    door.send(Kind.STREAM_CLOSE, 1)
    assert door.wait(Kind.FEED_GONE, 40, timeout_s=3)


def test_the_style_of_the_covers_changes_while_it_runs(bench):
    def busy(start):
        """How much goes on in the middle of the covers: a mosaic's cells are drawn by chance, so one of them may be plain."""
        shown = door.wait(Kind.ENCODED, 10, start=start, count=30, where=lambda m: not m.flags & Flag.IS_SLATE)
        first = next(i for i, m in enumerate(shown) if m.flags & Flag.KEY)
        frame = bench.decoded(shown[first:])[-1]
        faces = bench.clip.faces[read_marker(frame.y)].astype(int)
        sides = [((x1 - x0) // 4, (y1 - y0) // 4) for x0, y0, x1, y1 in faces]
        return max(
            frame.y[y0 + h : y1 - h, x0 + w : x1 - w].std()
            for (x0, y0, x1, y1), (w, h) in zip(faces, sides, strict=True)
        )

    door = bench.start()
    door.open_stream(1, style="solid")
    bench.publish(door)
    door.wait(Kind.META, 1, count=3)
    door.open_feed(10)
    assert busy(0) < 3
    door.send(Kind.POLICY, 1, {"style": "mosaic"})
    door.send(Kind.POLICY, 1, {"style": "none at all"})
    mark = door.mark()
    door.send(Kind.FEED_KEY, 10)
    assert busy(mark) > 5


@pytest.mark.parametrize("delay", [0, 6])
def test_a_fancam_comes_as_late_as_asked_and_the_redacted_feed_does_not_wait_for_it(bench, delay):
    door = bench.start(fancam_delay=delay)
    door.open_stream(1)
    bench.publish(door)
    door.wait(Kind.TRACKS, 1, where=lambda message: message.json()["tracks"])
    door.open_feed(10)
    door.open_feed(11, "fancam/1")
    door.wait(Kind.ENCODED, 11, count=40, where=lambda m: not m.flags & Flag.IS_SLATE)
    fancam = [message.rtp_time for message in door.seen(Kind.ENCODED, 11)]
    assert fancam == sorted(set(fancam))
    newest, behind = 0, []
    for message in pictures(door.seen(Kind.ENCODED)):
        if message.ident == 10:
            newest = message.rtp_time
        elif newest:
            behind.append((newest - message.rtp_time) / 3000)
    assert delay - 1.5 <= statistics.median(behind) <= delay + 1.5

"""A frame that cannot be sent within its budget is let go early, and the reason is counted."""

from __future__ import annotations

import json
import time
from collections import Counter

from engines.codecs.encode import Encoder
from server.link import Flag, Kind


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def drops(door, start=0):
    """By reason, of streams and feeds together, as the studio has told since message number `start`."""
    found = Counter()
    for message in door.seen(Kind.STATS, start=start):
        stats = message.json()
        for entry in (*stats["streams"].values(), *stats["feeds"].values()):
            found.update(entry["drops"])
    return found


def test_without_time_to_detect_frames_are_let_go_but_some_are_shown_late(bench):
    door = bench.start(lambda: bench.detector(fault=lambda: time.sleep(0.08)))
    door.open_stream(1, budget_ms=60)
    door.open_feed(10)
    bench.publish(door)
    mark = len(door.messages)
    door.wait(Kind.ENCODED, 10, count=8, where=is_picture)
    door.wait(Kind.STATS, count=3)
    assert drops(door)["detect_no_time"] >= 10
    assert len([m for m in door.seen(Kind.ENCODED, 10, mark) if is_picture(m)]) < 30
    door.send(Kind.POLICY, 1, {"budget_ms": 5000})
    mark = door.mark()
    door.wait(Kind.STATS, start=mark, count=3)
    later = [m.json() for m in door.seen(Kind.STATS, start=mark)][1:]
    assert not any("detect_no_time" in entry["drops"] for stats in later for entry in stats["streams"].values())
    assert len([m for m in door.seen(Kind.ENCODED, 10, mark) if is_picture(m)]) > 15


def test_without_time_to_encode_the_feed_lets_frames_go(bench, monkeypatch):
    encode = Encoder.encode

    def slow(*args):
        time.sleep(0.07)
        return encode(*args)

    door = bench.start()
    monkeypatch.setattr(Encoder, "encode", slow)
    door.open_stream(1, budget_ms=60)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=8, where=is_picture)
    door.wait(Kind.STATS, count=3)
    found = drops(door)
    assert found["detect_no_time"] + found["encode_no_time"] >= 10, "what comes after the detector counts too"
    late = sum(m.json()["feeds"].get("10", {}).get("counts", {}).get("late", 0) for m in door.seen(Kind.STATS))
    assert late >= 5, "those that were shown all the same are misses"


def test_with_time_enough_none_is_let_go(bench):
    door = bench.start()
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=60, where=is_picture)
    assert not {"detect_no_time", "encode_no_time"} & drops(door).keys()
    assert json.loads(door.seen(Kind.META, 1)[-1].body)["l"]

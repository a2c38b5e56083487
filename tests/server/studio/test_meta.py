"""What is told of a frame fits a data-channel message, whatever is in the frame."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engines.frame import STAGES, Ledger, Tracks
from engines.track.naming import Names
from server.studio.ledger import BUCKETS_MS, Tally
from server.studio.meta import TrackList, frame_meta


def tracks(ids, boxes=None, confirmed=None):
    n = len(ids)
    boxes = np.zeros((n, 4)) if boxes is None else np.array(boxes).reshape(n, 4)
    confirmed = np.ones(n, bool) if confirmed is None else np.array(confirmed)
    zeros = np.zeros(n, np.float32)
    return Tracks(
        np.array(ids, np.int64), boxes.astype(np.float32), zeros + 0.876, zeros == 0, np.arange(n, dtype=np.int32),
        zeros, np.zeros((n, 2), np.float32), zeros, confirmed,
    )  # fmt: skip


coordinate = st.floats(-3000, 3000)


@given(
    st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate, st.booleans()), max_size=150),
    st.integers(1, 10**9),
)
def test_a_message_is_never_longer_than_one_chunk_and_says_what_it_left_out(rows, first):
    boxes, confirmed = [row[:4] for row in rows], [row[4] for row in rows]
    ids = [first + i for i in range(len(rows))]
    ledger = Ledger(*(10**15 + i * 1_234_567 for i in range(len(STAGES))))
    body = frame_meta(2**40, 1920, 1080, tracks(ids, boxes, confirmed), ledger)
    assert len(body) < 1100
    meta = json.loads(body)
    assert len(meta["b"]) + meta.get("more", 0) == sum(confirmed)
    assert len(body) > 800 or "more" not in meta
    by_id = dict(zip(ids, boxes, strict=True))
    for track, *box, score, measured in meta["b"]:
        assert np.abs(np.array(box) - by_id[track]).max() <= 0.51
        assert (score, measured) == (88, 1)
    assert meta["l"]["sent"] == 1.2


def test_tracks_are_told_when_they_change_at_most_four_times_a_second():
    told, seconds = TrackList(), 10
    count = 0
    for tick in range(seconds * 100):
        ids = [1, 2 + tick % 2]
        count += told.update(640, 480, tracks(ids), tick * 10_000_000) is not None
    assert seconds * 3 <= count <= seconds * 4 + 1


def test_tracks_that_stay_are_told_anew_for_their_seconds_and_nothing_is_told_of_nobody():
    told = TrackList()
    assert told.update(640, 480, tracks([]), 10**12) == {"width": 640, "height": 480, "tracks": []}
    second = 1_000_000_000
    assert told.update(640, 480, tracks([]), 10**12 + 9 * second) is None
    assert told.update(640, 480, tracks([5]), 10**12 + 10 * second)["tracks"] == [{"id": 5, "seconds": 0.0}]
    assert told.update(640, 480, tracks([5]), 10**12 + 11 * second) is None
    assert told.update(640, 480, tracks([5]), 10**12 + 12 * second)["tracks"] == [{"id": 5, "seconds": 2.0}]


@given(st.lists(st.floats(0, 5000), max_size=50))
def test_every_time_lands_in_the_bucket_that_holds_it(times):
    tally = Tally()
    for ms in times:
        tally.time({"decoded": ms})
    stages = tally.take()["stages"]
    if times:
        counts = stages["decoded"]["counts"]
        for i, bound in enumerate(BUCKETS_MS):
            assert sum(counts[: i + 1]) == sum(ms <= bound for ms in times)
        assert sum(counts) == len(times)
        assert abs(stages["decoded"]["sum_ms"] - sum(times)) < 0.01 * len(times)
    assert tally.take() == {"counts": {}, "drops": {}, "stages": {}}


def test_members_are_told_by_number_and_state_and_only_where_they_are_looked_for():
    names = Names(np.array([1, -1, 0], np.int32), ("unsure", "confirmed", "lost"))
    here = tracks([4, 5, 6])
    told = TrackList()
    body = told.update(640, 480, here, 10**12, names)
    assert body["members"] == ("unsure", "confirmed", "lost")
    assert [(track.get("member"), track.get("state")) for track in body["tracks"]] == [
        (1, "confirmed"),
        (None, None),
        (0, "unsure"),
    ]
    surer = Names(names.members, ("confirmed", "confirmed", "lost"))
    assert told.update(640, 480, here, 10**12 + TrackList.MIN_INTERVAL_NS, names) is None
    assert told.update(640, 480, here, 10**12 + TrackList.MIN_INTERVAL_NS, surer)["tracks"][2]["state"] == "confirmed"

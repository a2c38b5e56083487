"""Two who cross are told apart once more when their boxes part, and get their ids back if they had been exchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.mot_jobs import every, of_set
from benchmarks.mot_score import sums, total
from engines.frame import Detections, Tracks
from engines.track.follow import follow
from engines.track.kinds import FACES, PERSONS
from engines.track.odds import Learnt, shipped
from engines.track.partings import Crossing
from engines.track.tracker import Exchange, Tracker
from tests.engines.made import found, saying

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/tracking"
FPS = 20
MET_S, PARTED_S = 1.7, 3.3


def two(t: float) -> list[list[float]]:
    """They walk up to each other, dance together for a moment and go back to where they came from."""
    away = max(abs(t - 2.5) - 0.5, 0.0) * 110
    places = ((300 - away, 400, 220), (318 + away, 432, 256))
    return [[x - height * 0.18, bottom - height, x + height * 0.18, bottom] for x, bottom, height in places]


def test_ids_change_places_once_when_boxes_part_and_are_told() -> None:
    tracker, ids, told = Tracker(PERSONS, saying(1.0)), {}, []
    for n in range(5 * FPS):
        tracks = tracker.step(found(two(n / FPS)), n / FPS)
        assert sorted(tracks.ids[tracks.confirmed].tolist()) == [1, 2]
        ids[n / FPS] = tracks.ids[np.argsort(tracks.detection)].tolist()
        told += [(n / FPS, exchange) for exchange in tracker.exchanges]
    ((parted_s, exchange),) = told
    assert MET_S < exchange.since_s < PARTED_S
    assert 2.5 < parted_s < PARTED_S + 0.2
    assert sorted(exchange.ids) == [1, 2]
    assert all(at == (ids[0.0] if t < parted_s else ids[0.0][::-1]) for t, at in ids.items())


def test_nobody_who_only_passed_is_exchanged_where_the_network_says_no() -> None:
    tracker = Tracker(PERSONS, saying(-1.0))
    for n in range(5 * FPS):
        tracks = tracker.step(found(two(n / FPS)), n / FPS)
        assert not tracker.exchanges
    assert tracks.ids[np.argsort(tracks.detection)].tolist() == [1, 2]


def test_a_crossing_outlasts_the_end_of_another_track_and_a_clock_set_back() -> None:
    tracker, told, back_s = Tracker(PERSONS, saying(1.0)), [], 0.0
    for n in range(5 * FPS):
        back_s += 60.0 * (n == 2 * FPS)
        far = [[900, 100, 980, 320]] if n < 2 else []  # its row comes first, and goes while the two are together
        tracks = tracker.step(found(far + two(n / FPS) if n else far), n / FPS - back_s)
        told += tracker.exchanges
    assert set(tracks.ids[tracks.measured].tolist()) == {2, 3}
    ((exchange),) = told
    assert set(exchange.ids) == {2, 3}
    assert MET_S < exchange.since_s + 60 < PARTED_S


def test_a_table_is_rewritten_no_further_back_than_ids_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A and C are there from frame 1, B from frame 5; in frame 8 A and B are exchanged since frame 7, in frame 10 A, who has B's
    id by then, and C since frame 3: that can be told from frame 7 on alone."""

    class Scripted:
        def __init__(self, *_: object) -> None:
            self.ids, self.exchanges = [1, 3, 2], []

        def step(self, detections: Detections, frame: float) -> Tracks:
            a, c, b = self.ids
            self.exchanges = {8: [Exchange((b, a), 7)], 10: [Exchange((c, a), 3)]}.get(round(frame), [])
            self.ids = {8: [b, c, a], 10: [c, a, b]}.get(round(frame), self.ids)
            n = len(detections)
            boxes, none = detections.boxes, np.zeros(n, np.float32)
            index, sure = np.arange(n, dtype=np.int32), np.ones(n, np.bool_)
            return Tracks(np.array(self.ids[:n]), boxes, none, sure, index, none, boxes[:, :2], none, sure)

    monkeypatch.setattr("engines.track.follow.Tracker", Scripted)
    table = [(frame, -1, 100 * who, 0, 50, 50, 0.9) for frame in range(1, 12) for who in (0, 1, 2)[: 2 + (frame >= 5)]]
    rows = follow(np.array(table), 1, PERSONS)
    by_frame = [rows[rows[:, 0] == frame, 1].tolist() for frame in range(1, 12)]
    assert by_frame == [[1, 3]] * 4 + [[1, 3, 2]] * 2 + [[3, 2, 1]] * 5


def test_faces_are_never_exchanged() -> None:
    tracker = Tracker(FACES, saying(1.0))
    for n in range(5 * FPS):
        tracker.step(found(two(n / FPS)), n / FPS)
        assert not tracker.exchanges


def test_a_table_is_exchanged_from_the_middle_of_the_time_together() -> None:
    table = np.array(
        [
            (n + 1, -1, x0, y0, x1 - x0, y1 - y0, 0.9)
            for n in range(5 * FPS)
            for x0, y0, x1, y1 in two((n + 1) / FPS)
        ]
    )  # fmt: skip
    plain, exchanged = (follow(table, FPS, PERSONS, saying(odds)) for odds in (-1.0, 1.0))
    differ = plain[:, 1] != exchanged[:, 1]
    first = plain[differ, 0].min() / FPS
    assert MET_S + 0.2 < first < PARTED_S - 0.2
    assert differ[plain[:, 0] / FPS >= first].all()
    np.testing.assert_array_equal(np.delete(plain, 1, axis=1), np.delete(exchanged, 1, axis=1))


states = arrays(np.float64, (7, 2), elements=st.floats(-500, 500))


@given(states, states, st.floats(20, 500), st.floats(0.1, 10))
def test_neither_who_is_named_first_nor_the_scale_matters(
    before: np.ndarray, after: np.ndarray, height: float, scale: float
) -> None:
    def told(before: np.ndarray, after: np.ndarray, height: float) -> np.ndarray:
        return Crossing(0.0, before, height, overlap=0.5, margin=1.0, looks=5, single=2).features(after, 1.0)

    says = told(before, after, height)
    np.testing.assert_array_equal(says, told(before[:, ::-1], after[:, ::-1], height))
    unit = np.ones((7, 1))
    unit[:4] = scale
    np.testing.assert_allclose(told(before * unit, after * unit, height * scale), says, rtol=1e-4, atol=1e-4)
    crosswise = told(before, after[:, ::-1], height)
    np.testing.assert_allclose(crosswise[:12], -says[:12], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(crosswise[12:], says[12:])


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/tracking")
def test_dancers_keep_their_ids_longer_than_without() -> None:
    jobs = [job for job in of_set(DATA, "dancetrack", "all") if job.sequence in ("dancetrack0004", "dancetrack0063")]
    jobs = every(jobs, 3, 0, "every third")
    right = [
        total([sums(job.judged(), follow(job.table, job.fps, PERSONS, learnt, frames=job.frames)) for job in jobs])[
            "IDF1"
        ]
        for learnt in (Learnt(shipped("persons").same), shipped("persons"))
    ]
    assert right[1] > right[0] + 2

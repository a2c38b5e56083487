"""The tracker keeps people apart and together: crossings, occlusions, dropped frames, cuts and nonsense."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from benchmarks.track_scene import idf1, scene_idf1
from engines.frame import Detections, Tracks
from engines.track.associate import match
from engines.track.cuts import Change, CutDetector
from engines.track.hidden import completed
from engines.track.kinds import FACES, KINDS, Kind
from engines.track.memory import ROWS, SIZE, Found
from engines.track.tracker import Tracker
from tests.engines.made import found, noise_frame

FPS = 30


def face(x: float, y: float = 120, height: float = 60) -> list[float]:
    return [x - height * 0.4, y - height / 2, x + height * 0.4, y + height / 2]


def reported(tracks: Tracks) -> tuple[list[int], np.ndarray]:
    shown = tracks.measured & tracks.confirmed
    return tracks.ids[shown].tolist(), tracks.boxes[shown]


def follow(
    people: list[Callable[[float], list[float] | None]],
    seconds: float,
    *,
    every: int = 1,
    seed: int = 0,
    miss: float = 0.0,
) -> float:
    """IDF1 over `seconds` of people who walk as given, each box with 4 % of noise, some missed."""
    random, tracker = np.random.default_rng(seed), Tracker()
    truth, output = [], []
    for n in range(0, round(seconds * FPS), every):
        boxes = {i: box for i, walk in enumerate(people) if (box := walk(n / FPS)) is not None}
        seen = [box for box in boxes.values() if random.random() >= miss]
        noisy = np.array(seen, float).reshape(-1, 4)
        noisy += random.normal(0, 0.04, noisy.shape) * (noisy[:, 3:] - noisy[:, 1:2])
        tracks = tracker.step(found(noisy, random.uniform(0.6, 0.95, len(seen))), n / FPS)
        truth.append((list(boxes), np.array(list(boxes.values())).reshape(-1, 4)))
        output.append(reported(tracks))
    return idf1(truth, output)


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_three_crossings_and_half_a_second_of_occlusion(every: int, seed: int) -> None:
    def walker(t: float) -> list[float]:  # over and back and over again, behind everybody
        return face(160 + 120 * np.sin(t * 0.9), 122, 50)

    def hidden(walk: Callable[[float], list[float]], by: list[Callable[[float], list[float]]]) -> Callable:
        def seen(t: float) -> list[float] | None:
            x = walk(t)[0]
            return None if any(abs(x - other(t)[0]) < 22 for other in by) else walk(t)

        return seen

    standing = [
        lambda t: face(60 + 8 * np.sin(t)),
        lambda t: face(160, 110, 64),
        lambda t: face(265 + 5 * np.sin(2 * t)),
    ]
    assert follow([*standing, hidden(walker, standing)], 10, every=every, seed=seed) >= 0.95


@pytest.mark.parametrize("seed", range(3))
def test_half_a_second_behind_someone_keeps_the_id(seed: int) -> None:
    def walk(t: float) -> list[float] | None:
        return None if 2.0 <= t < 2.5 else face(40 + 60 * t)

    assert follow([walk, lambda t: face(178, 118, 70)], 4, seed=seed) >= 0.95


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("passing", [1, -1])
def test_what_is_left_of_a_face_behind_somebody_does_not_lead_its_track_astray(passing: int, seed: int) -> None:
    """The box shrinks towards the side that is seen last, where the face does not go: hidden, it is expected where it went."""

    def walk(t: float) -> list[float]:
        return face(160 - passing * (35 * t - 70), 120, 60)

    def nearer(t: float) -> list[float]:
        return face(160 + passing * (60 * t - 140), 124, 95)

    def left_over(t: float) -> list[float] | None:
        (x0, y0, x1, y1), (hides_from, _, hides_to, _) = walk(t), nearer(t)
        if hides_from < x0 < hides_to:
            x0 = hides_to
        if hides_from < x1 < hides_to:
            x1 = hides_from
        return [x0, y0, x1, y1] if x1 - x0 > 15 else None

    random, tracker = np.random.default_rng(seed), Tracker()
    hidden = 0
    for n in range(135):
        t = n / FPS
        boxes = np.array([box for box in (left_over(t), nearer(t)) if box is not None])
        tracks = tracker.step(found(boxes + random.normal(0, 1.2, boxes.shape), 0.7), t)
        assert len(tracks.ids) == 2
        if left_over(t) is None:
            (box,) = tracks.boxes[~tracks.measured]
            hidden += 1
            assert abs((box[0] + box[2]) / 2 - sum(walk(t)[::2]) / 2) < 0.4 * 60
    assert hidden > 15


@given(
    arrays(np.float64, (4, 6), elements=st.floats(1, 300)),
    arrays(np.float64, 6, elements=st.floats(1, 200)),
)
def test_a_box_that_goes_on_behind_somebody_only_grows_and_keeps_its_other_side(
    boxes: np.ndarray, wide: np.ndarray
) -> None:
    centred = boxes.copy()
    edges = np.concatenate((centred[:2] - centred[2:] / 2, centred[:2] + centred[2:] / 2))
    known = np.zeros((ROWS, 6))
    known[SIZE] = np.log(wide)
    some = Found(np.arange(6, dtype=np.int32), centred, edges, np.log(centred[2:]), np.ones(6), np.zeros((4, 6)), None)
    measured = completed(some, np.arange(6), known)
    left, right = measured[0] - measured[2] / 2, measured[0] + measured[2] / 2
    assert (measured[2] <= np.maximum(boxes[2], wide) + 1e-9).all()
    assert (measured[2] >= boxes[2]).all()
    assert (np.minimum(np.abs(left - edges[0]), np.abs(right - edges[2])) < 1e-6).all()
    np.testing.assert_array_equal(measured[[1, 3]], boxes[[1, 3]])
    tallest = boxes[3].argmax()
    np.testing.assert_array_equal(measured[:, tallest], boxes[:, tallest])


def test_missed_frames_cost_no_id() -> None:
    best = 2 * 0.8 / 1.8  # a fifth of the boxes cannot be reported
    assert follow([lambda t: face(60 + 40 * t), lambda t: face(250 - 30 * t, 180)], 4, miss=0.2) > best - 0.05


@pytest.mark.parametrize("every", [1, 3])
def test_the_drawn_scene_keeps_its_people(every: int) -> None:
    assert scene_idf1(fps=15, every=every) >= 0.95


def test_a_stranger_to_the_stream_is_confirmed_by_the_third_look_and_at_once_at_the_start() -> None:
    tracker = Tracker()
    assert tracker.step(found([face(60)]), 0.0).confirmed.tolist() == [True]
    confirmed = []
    for n in range(30, 34):
        tracks = tracker.step(found([face(60), face(200)]), n / FPS)
        confirmed.append(bool(tracks.confirmed[1]))
    assert confirmed == [False, False, True, True]
    assert tracks.ids.tolist() == [1, 2]


def test_faint_faces_are_followed_for_a_second_but_never_confirmed() -> None:
    tracker = Tracker()
    for n in range(30):
        tracks = tracker.step(found([face(100 + n)], FACES.birth_score), n / FPS)
    assert tracks.measured.tolist() == [True]
    assert tracks.confirmed.tolist() == [False]
    assert len(tracker.step(found([]), 29 / FPS + 0.95)) == 1
    assert len(tracker.step(found([]), 29 / FPS + 1.05)) == 0
    tracker.step(found([face(100)]), 3.0)
    assert [tracker.step(found([face(100)]), 3 + n / FPS).ids.tolist() for n in (1, 2, 3)][-1] == [1]


def test_a_lost_person_comes_back_before_a_newcomer_is_believed() -> None:
    tracker = Tracker()
    for n in range(30):
        tracker.step(found([face(100)]), n / FPS)
    tracker.step(found([]), 1.3)
    for n in range(5):  # comes out from behind somebody: weak at first
        tracks = tracker.step(found([face(104)], 0.42 + 0.1 * n), 1.4 + n / FPS)
    assert tracks.ids[tracks.measured].tolist() == [1]


def test_low_scores_continue_a_track_but_never_start_one() -> None:
    tracker = Tracker()
    for n in range(10):
        assert len(tracker.step(found([face(100)], FACES.birth_score - 0.1), n / FPS)) == 0
    for n in range(10, 13):
        tracker.step(found([face(102)], 0.9), n / FPS)
    for n in range(13, 27):
        tracks = tracker.step(found([face(100 + n / 4)], 0.15), n / FPS)
        assert tracks.measured.tolist() == [True]
    assert tracks.ids.tolist() == [1]


def test_low_scores_near_a_lost_face_do_not_lead_its_track_astray() -> None:
    tracker = Tracker()
    for n in range(20):
        tracker.step(found([face(100), face(180, 110, 80)]), n / FPS)
    for n in range(
        20, 40
    ):  # the first is gone; something faint is seen beside the place, and a weak double of the other
        junk = [face(180, 110, 80), face(115 + n % 3 * 6, 100, 40), face(172, 112, 75)]
        tracks = tracker.step(found(junk, [0.9, 0.12, 0.2]), n / FPS)
    assert not tracks.measured[tracks.ids == 1][0]
    again = tracker.step(found([face(100), face(180, 110, 80)]), 40 / FPS)
    assert again.measured[again.ids == 1][0]


def test_a_lost_face_is_predicted_for_seconds_and_then_forgotten_and_its_id_with_it() -> None:
    tracker = Tracker()
    for n in range(30):
        tracker.step(found([face(100 + 2 * n)]), n / FPS)
    lost = tracker.step(found([]), 30 / FPS + 1)
    assert lost.ids.tolist() == [1]
    assert not lost.measured[0]
    assert lost.unseen_s[0] == pytest.approx(1 + 1 / FPS, abs=1e-3)
    assert lost.boxes[0, 0] > face(100 + 58)[0]
    assert len(tracker.step(found([]), 10.0)) == 0
    assert [tracker.step(found([face(160)]), 10.1 + n / FPS).ids.tolist() for n in range(4)][-1] == [2]


def test_a_face_seen_once_is_kept_for_a_second_so_that_it_can_be_covered() -> None:
    tracker = Tracker()
    tracker.step(found([face(60)]), 0.0)
    tracker.step(found([face(60), face(200)]), 1.0)
    assert len(tracker.step(found([face(60)]), 1.9)) == 2
    assert len(tracker.step(found([face(60)]), 2.1)) == 1


def test_looking_ahead_does_not_move_the_tracker() -> None:
    tracker = Tracker()
    for n in range(30):
        now = tracker.step(found([face(60 + 3 * n)]), n / FPS)
    ahead = tracker.predict(30 / FPS + 0.1)
    assert ahead.boxes[0, 0] > now.boxes[0, 0] + 3
    assert not ahead.measured.any()
    again = tracker.predict(29 / FPS)
    np.testing.assert_array_equal(again.boxes, now.boxes)


def test_a_clock_that_begins_anew_goes_on_from_there() -> None:
    tracker = Tracker()
    for n in range(30):
        tracker.step(found([face(100)]), 1000 + n / FPS)
    assert tracker.step(found([face(100)]), 5.0).ids.tolist() == [1]
    assert tracker.step(found([]), 6.0).unseen_s[0] == pytest.approx(1.0, abs=1e-3)
    assert len(tracker.step(found([]), 10.0)) == 0


def test_after_a_cut_nobody_is_taken_for_who_stood_there() -> None:
    tracker = Tracker()
    for n in range(10):
        tracker.step(found([face(60), face(200)]), n / FPS)
    tracks = tracker.step(found([face(60), face(130)]), 10 / FPS, cut=True)
    assert tracks.ids.tolist() == [3, 4]
    assert tracks.confirmed.all()
    tracker.forget()
    assert tracker.step(found([face(60)]), 11 / FPS).ids.tolist() == [5]


def test_every_track_tells_the_detection_it_took() -> None:
    tracker = Tracker()
    boxes = [face(60), [np.nan] * 4, face(200), face(120, 200)]
    tracks = tracker.step(found(boxes), 0.0)
    assert sorted(tracks.detection.tolist()) == [0, 2, 3]
    for box, index in zip(tracks.boxes, tracks.detection, strict=True):
        np.testing.assert_allclose(box, boxes[index], atol=1e-3)


anything = st.one_of(
    st.floats(width=32), st.sampled_from([0.0, 100.0, 160.0, 1e30]), st.floats(0, 320, width=32)
)  # NaN and infinities included


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 6).flatmap(lambda n: arrays(np.float32, (n, 5), elements=anything)),
            st.sampled_from([0.0, 1 / 30, 0.1, -1.0, 20.0, float("nan"), float("inf")]),
        ),
        max_size=20,
    )
)
def test_nonsense_leaves_a_finite_state_and_new_ids(kind: Kind, frames: list[tuple[np.ndarray, float]]) -> None:
    tracker, now = Tracker(kind), 0.0
    alive: set[int] = set()
    used: set[int] = set()
    for n, (rows, step) in enumerate([*frames, (np.array([[10, 10, 50, 60, 0.9]]), 0.1)]):
        now = now + step if np.isfinite(step) else now
        detections = found(rows[:, :4], rows[:, 4])
        tracks = tracker.step(detections, now if np.isfinite(step) else step)
        for values in (tracks.boxes, tracks.velocity, tracks.spread, tracks.scores, tracks.unseen_s):
            assert np.isfinite(values).all(), n
        assert (tracks.boxes[:, 2:] > tracks.boxes[:, :2]).all()
        assert (tracks.unseen_s >= 0).all()
        ids = tracks.ids.tolist()
        assert len(set(ids)) == len(ids)
        assert ((tracks.ids > 0) == tracks.confirmed).all()
        assert not set(ids) & (used - alive)
        used |= set(ids)
        alive = set(ids)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@settings(max_examples=15)
@given(st.floats(0.25, 4), st.floats(-3000, 3000), st.integers(0, 99))
def test_neither_place_nor_scale_of_the_picture_matters(kind: Kind, scale: float, shift: float, seed: int) -> None:
    here, there = Tracker(kind), Tracker(kind)
    random, now = np.random.default_rng(seed), 0.0
    for n in range(40):
        now += random.choice((0.0, 1 / 30, 1 / 30, 0.1, 0.4))
        x = 200 + 60 * np.sin(n / 5 + np.arange(4)) + 30 * np.arange(4)
        boxes = np.array([face(at, 200, 120) for at in x]) + random.normal(0, 2, (4, 4))
        seen = random.random(4) > 0.2
        scores = random.uniform(0.2, 0.95, 4)[seen]
        a = here.step(found(boxes[seen], scores), now)
        b = there.step(found(boxes[seen] * scale + shift, scores), now)
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.detection, b.detection)
        np.testing.assert_allclose(a.boxes * scale + shift, b.boxes, atol=0.05 * max(scale, 1))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_two_predictions_are_one_longer_prediction(kind: Kind) -> None:
    trackers = [Tracker(kind) for _ in range(2)]
    for n in range(20):
        for tracker in trackers:
            tracker.step(found([face(100 + 3 * n), face(220 - n)]), n / FPS)
    at_once, in_steps = trackers
    for dt in (0.1, 0.2, 0.3):
        last = in_steps.step(found([]), 19 / FPS + dt)
    np.testing.assert_allclose(at_once.step(found([]), 19 / FPS + 0.3).boxes, last.boxes, rtol=1e-5)


def test_a_cut_is_a_new_picture_and_not_motion_or_a_new_light() -> None:
    cuts = CutDetector()
    one, other = noise_frame(seed=1).y, noise_frame(seed=2).y
    assert cuts.step(one) is Change.CUT
    for n in range(40):
        dimmed = (one * (1 - 0.004 * n)).astype(np.uint8)
        assert cuts.step(dimmed) is Change.NONE
    assert cuts.step(other) is Change.CUT
    assert cuts.step(other) is Change.NONE
    assert cuts.step(other[:100, :200]) is Change.CUT


@pytest.mark.parametrize(("gain", "more", "part"), [(1.0, 60, 1.0), (2.5, 30, 1.0), (0.4, 0, 1.0), (2.0, 30, 0.5)])
def test_a_flash_and_a_spotlight_are_no_cuts(gain: float, more: float, part: float) -> None:
    cuts, picture = CutDetector(), noise_frame(seed=1).y
    for _ in range(5):
        cuts.step(picture)
    lit = picture.copy()
    width = int(part * lit.shape[1])
    lit[:, :width] = np.clip(lit[:, :width] * gain + more, 16, 235)
    assert cuts.step(lit) is Change.LIGHT
    assert cuts.step(picture) is Change.LIGHT


def test_a_crowd_is_as_good_as_nothing_to_wait_for() -> None:
    detections: Detections = found([face(30 + 25 * i, 60 * j, 20) for i in range(10) for j in range(4)])
    tracker = Tracker()
    for n in range(5):
        tracks = tracker.step(detections, n / FPS)
    assert tracks.ids.tolist() == list(range(1, 41))


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-5, 10)))
def test_pairs_have_the_largest_sum_there_is(fit: np.ndarray) -> None:
    tracks, detections = (fit > 0).nonzero()
    chosen = match(fit[tracks, detections], tracks, detections)
    tracks, detections = tracks[chosen], detections[chosen]
    gain = np.maximum(fit, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    assert len(set(tracks)) == len(tracks)
    assert len(set(detections)) == len(detections)
    assert fit[tracks, detections].sum() == pytest.approx(gain[rows, columns].sum())

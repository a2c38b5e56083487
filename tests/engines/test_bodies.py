"""Bodies: a face that turns away is followed by the body it was seen on, and by no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engines.bodies import TURNED_S, Bodies
from engines.frame import Detections, Frame
from engines.pipeline import FancamFeed, Pipeline
from engines.track.kinds import Kind
from engines.track.tracker import Tracker
from tests.engines.made import found, frame, saying

TICKS = 3000
NAMES = ("face", "person")


def seen(faces: list[list[float]], persons: list[list[float]], of: Frame) -> Detections:
    classes = np.array([0] * len(faces) + [1] * len(persons), np.int32)
    return replace(found([*faces, *persons], of=of), classes=classes, names=NAMES)


def dancer(x: float, y: float = 0) -> tuple[list[float], list[float]]:
    """Face and body of somebody whose middle is at x, so much lower."""
    return [x - 10, y + 24, x + 10, y + 50], [x - 32, y + 20, x + 32, y + 220]


def walk(frames: int, turns: range, other: bool = True) -> list[dict[int, np.ndarray]]:
    """One walks to the right, the face away in `turns`; another, who stands still, looks on."""
    pipeline, given = Pipeline(), []
    for n in range(frames):
        source = frame(640, 240, rtp_time=n * TICKS)
        face, body = dancer(150 + 2 * n)
        still_face, still_body = dancer(60)
        faces = [still_face] * other + [face] * (n not in turns)
        given.append(pipeline.track(source, seen(faces, [still_body] * other + [body], source)).turned)
    return given


def test_a_face_that_turned_away_is_where_its_body_takes_it() -> None:
    given = walk(80, range(30, 60))
    assert not any(given[:30])
    for n in range(31, 60):
        (box,) = given[n].values()
        np.testing.assert_allclose(box, dancer(150 + 2 * n)[0], atol=4)
    assert len({track for turned in given for track in turned}) == 1
    assert not any(given[61:])


def test_a_body_does_not_tell_for_ever() -> None:
    frames = round(30 * (TURNED_S + 2))
    given = walk(frames, range(30, frames), other=False)
    assert given[29 + round(30 * TURNED_S)]
    assert not any(given[31 + round(30 * TURNED_S) :])


def test_a_fancam_holds_through_a_turn() -> None:
    for turns_away in (False, True):
        pipeline, feed, shown = Pipeline(), FancamFeed(1, (136, 240)), []
        for n in range(120):
            source = frame(640, 240, rtp_time=n * TICKS)
            face, body = dancer(150)
            persons = [body] if turns_away else []
            state = pipeline.track(source, seen([face] if n < 30 else [], persons, source))
            shown.append(feed.render(state) is not None)
        assert all(shown[:60])
        assert all(shown) == turns_away


def test_a_face_that_comes_back_under_another_track_is_still_the_same_bodys() -> None:
    pipeline, ids = Pipeline(), set()
    for n in range(300):
        source = frame(640, 240, rtp_time=n * TICKS)
        face, body = dancer(150 + n)
        away = 30 <= n < 200  # longer than a track of faces lives
        state = pipeline.track(source, seen([] if away else [face], [body], source))
        ids |= set(state.tracks.ids[state.tracks.confirmed].tolist())
        if n == 280:
            assert ids == {1, 2}
            np.testing.assert_allclose(state.turned[1], face, atol=4)
            assert 2 not in state.turned


def test_bodies_without_faces_bind_nobody() -> None:
    bodies, empty = Bodies(), found([])
    tracks = Pipeline().track(frame(), empty).tracks
    for n in range(10):
        source = frame(rtp_time=n * TICKS)
        assert bodies.step(seen([], [dancer(150)[1]], source), empty, tracks, n / 30, cut=False) == {}


def test_faces_stay_on_their_bodies_when_the_bodies_ids_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two walk past each other; before their boxes part both turn away. Then the bodies are taken to have been exchanged."""
    trackers = []

    def always_exchanging(kind: Kind) -> Tracker:
        trackers.append(Tracker(kind, saying(1.0)))
        return trackers[0]

    monkeypatch.setattr("engines.bodies.Tracker", always_exchanging)
    pipeline, whose, exchanged, told = Pipeline(), {}, 0, 0
    for n in range(110):
        source = frame(640, 320, rtp_time=n * TICKS)
        (face, body), (lower_face, lower_body) = dancer(100 + 4 * n), dancer(540 - 4 * n, 40)
        turned_away = n > 58
        faces = [] if turned_away else [face, lower_face]
        tracked = pipeline.track(source, seen(faces, [body, lower_body], source))
        exchanged += len(trackers[0].exchanges)
        if not turned_away:
            whose = {int(tracked.tracks.ids[row]): tracked.tracks.detection[row] for row in range(len(tracked.tracks))}
        for track, box in tracked.turned.items():
            told += exchanged
            np.testing.assert_allclose(box, (face, lower_face)[whose[track]], atol=8)
    assert exchanged == 1
    assert told > 20

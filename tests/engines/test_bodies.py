"""Bodies: a face that turns away is followed by the body it was seen on, and by no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engines.bodies import TURNED_S, Bodies
from engines.frame import Detections, Frame
from engines.pipeline import FancamFeed, Pipeline
from tests.engines.made import found, frame

TICKS = 3000
NAMES = ("face", "person")


def seen(faces: list[list[float]], persons: list[list[float]], of: Frame) -> Detections:
    classes = np.array([0] * len(faces) + [1] * len(persons), np.int32)
    return replace(found([*faces, *persons], of=of), classes=classes, names=NAMES)


def dancer(x: float) -> tuple[list[float], list[float]]:
    """Face and body of somebody whose middle is at x."""
    return [x - 10, 24, x + 10, 50], [x - 32, 20, x + 32, 220]


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

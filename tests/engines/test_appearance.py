"""Colours tell two people apart where their positions do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engines.frame import Frame, Picture
from engines.track.appearance import MEMORY_S, MOST_AGAINST, MOST_FOR, SIZE, describe, likeness, remember
from engines.track.tracker import Tracker
from tests.engines.made import found, noise_frame

RED, BLUE = (90, 100, 190), (60, 200, 110)
GREY = (120, 128, 128)
FACE = (0.0, 0.0, 30.0, 44.0)


def stage(people: list[tuple[float, tuple[int, int, int]]], shift: tuple[int, int, int] = (0, 0, 0)) -> Frame:
    """People of one colour from head to hip, at these x, before a grey wall; `shift` is added to the whole picture."""
    picture = Picture(320, 240)
    for level, plane, scale, k in ((GREY, picture.y, 1, 0), (GREY, picture.u, 2, 1), (GREY, picture.v, 2, 2)):
        plane[:] = level[k] + shift[k]
        for x, colour in people:
            plane[70 // scale : 230 // scale, max(0, int(x - 14)) // scale : int(x + 44) // scale] = (
                colour[k] + shift[k]
            )
    return Frame.from_video_frame(picture.video_frame, 0, 0)


def at(x: float) -> list[float]:
    return [x, 80, x + FACE[2], 80 + FACE[3]]


def test_two_who_change_places_out_of_sight_keep_their_ids() -> None:
    tracker = Tracker()
    ids = []
    for n in range(60):
        red, blue = (100, 160) if n < 30 else (160, 100)
        frame = stage([(red, RED), (blue, BLUE)])
        detections = found([at(red), at(blue)] if not 22 <= n < 38 else [])  # half a second behind a pillar
        tracks = tracker.step(detections, n / 30, looks=describe(frame, detections.boxes))
        if len(detections):
            ids.append([int(tracks.ids[tracks.detection == k][0]) for k in range(2)])
    assert ids[-1] == ids[0] == [1, 2]


def test_a_red_spotlight_ends_no_track() -> None:
    tracker = Tracker()
    for n in range(60):
        lit = 20 <= n < 40
        frame = stage([(60, RED), (200, BLUE)], (-50, -40, 60) if lit else (0, 0, 0))
        detections = found([at(60), at(200)])
        tracks = tracker.step(detections, n / 30, looks=describe(frame, detections.boxes))
        assert tracks.ids.tolist() == [1, 2]
        assert tracks.measured.all()


def test_the_same_person_anywhere_in_the_picture_looks_the_same() -> None:
    here, there = (describe(stage([(x, RED)]), np.array([at(x)], np.float32)) for x in (40, 200))
    np.testing.assert_allclose(here, there, atol=12)
    other = describe(stage([(40, BLUE)]), np.array([at(40)], np.float32))
    assert likeness(here, there)[0] > 0 > likeness(here, other)[0]


@given(arrays(np.float32, (5, 4), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.float32(np.nan))))
def test_boxes_that_are_nonsense_are_unknown_not_an_error(boxes: np.ndarray) -> None:
    looks = describe(noise_frame(), boxes)
    assert looks.shape == (5, SIZE)
    odds = likeness(looks, looks)
    assert np.isfinite(odds).all()
    assert (odds >= MOST_AGAINST).all()
    assert (odds <= MOST_FOR).all()


def test_no_boxes_and_no_tracks_are_no_error() -> None:
    none = describe(noise_frame(), np.zeros((0, 4), np.float32))
    assert likeness(none, none).shape == (0,)


@pytest.mark.parametrize(("since_s", "expected"), [(0.0, 50), (MEMORY_S, 90 - 40 / math.e), (5.0, 90)])
def test_memory_goes_from_what_was_to_what_is(since_s: float, expected: float) -> None:
    was, seen = np.full((1, SIZE), 50, np.float32), np.full((1, SIZE), 90, np.float32)
    np.testing.assert_allclose(remember(was, seen, np.array([since_s])), expected, atol=0.01)
    unknown = np.full((1, SIZE), np.nan, np.float32)
    np.testing.assert_array_equal(remember(unknown, seen, np.array([since_s])), seen)
    np.testing.assert_array_equal(remember(was, unknown, np.array([since_s])), was)

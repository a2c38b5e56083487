"""The overlay marks who was found, in the track's colour, and nothing beyond the boxes and labels."""

from __future__ import annotations

import numpy as np

from engines.frame import Picture, Tracks
from engines.render.overlay import draw
from engines.track.tracker import Tracker
from tests.engines.made import found, frame, track


def drawn(detections, tracks) -> Picture:
    picture = Picture(320, 240)
    picture.copy_from(frame())
    draw(picture, detections, tracks)
    return picture


def test_a_track_is_outlined_on_all_planes_and_labelled() -> None:
    detections = found([[100, 80, 160, 160]])
    tracks = Tracker().step(detections, 0.0)
    picture, plain = drawn(detections, tracks), frame()
    for plane, original, k in ((picture.y, plain.y, 1), (picture.u, plain.u, 2), (picture.v, plain.v, 2)):
        changed = plane != original
        assert changed[120 // k, 100 // k]
        assert changed[160 // k, 130 // k]
        assert not changed[90 // k : 150 // k, 110 // k : 150 // k].any()
        assert not changed[: 40 // k].any()
    assert (picture.y[60:80, 100:160] < 60).any()  # the label's ink


def test_two_people_have_two_colours() -> None:
    detections = found([[40, 80, 100, 160], [180, 80, 240, 160]])
    picture = drawn(detections, Tracker().step(detections, 0.0))
    assert (picture.u[60, 20], picture.v[60, 20]) != (picture.u[60, 90], picture.v[60, 90])


def test_faces_without_a_track_are_grey_and_those_long_gone_are_not_drawn() -> None:
    grey = drawn(found([[100, 80, 160, 160]], 0.3), Tracks.empty())
    assert grey.y[120, 100] == 150
    assert grey.u[60, 50] == 128
    untouched = drawn(found([]), track([100, 80, 160, 160], unseen_s=2.0))
    np.testing.assert_array_equal(untouched.y, frame().y)


def test_boxes_beyond_the_edges_are_drawn_as_far_as_they_are_seen() -> None:
    detections = found([[-40, -40, 30, 30], [300, 220, 400, 300]])
    picture = drawn(detections, Tracker().step(detections, 0.0))
    assert (picture.y[30, :30] != frame().y[30, :30]).any()

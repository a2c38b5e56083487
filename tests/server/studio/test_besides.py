"""Live, other classes are covered where the policy says so, and what no network finds shows nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.rig import likenesses
from engines.scene.marker import read_marker
from server.link import Flag, Kind

PLATE = 1
"""Which of the clip's faces is called a plate here."""
SEEN, COVERED = 0.8, 0.4


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def finds_plates(bench):
    """A detector that takes one of the faces for a plate."""

    def spoil(found):
        classes = found.classes.copy()
        classes[PLATE : PLATE + 1] = 1
        return replace(found, classes=classes, face_names=("face",))

    return bench.detector(names=("face", "plate"), spoil=spoil)


def faces_of(bench, units):
    """Of each picture, how much of each face is to be seen in it."""
    for frame in bench.decoded(units):
        if (frame.width, frame.height) == (bench.clip.width, bench.clip.height):
            number = read_marker(frame.y)
            if number is not None:
                yield likenesses(bench.clip, number, frame)


@pytest.mark.parametrize("classes", [[], ["plate"], ["face", "plate"]])
@pytest.mark.parametrize("look_ahead", [0, 3])
def test_a_class_is_covered_where_the_policy_says_so(bench, classes, look_ahead):
    door = bench.start(lambda: finds_plates(bench), look_ahead=look_ahead)
    door.open_stream(1, classes=classes)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=15, where=is_picture)
    pictures = list(faces_of(bench, door.seen(Kind.ENCODED, 10)))
    assert pictures
    for faces in pictures:
        assert max(likeness for face, likeness in enumerate(faces) if face != PLATE) < COVERED
    plates = [faces[PLATE] for faces in pictures]
    assert max(plates) < COVERED if classes else min(plates) > SEEN


def test_from_the_next_frame_on_when_it_is_asked_for(bench):
    door = bench.start(lambda: finds_plates(bench))
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=5, where=is_picture)
    assert next(faces_of(bench, door.seen(Kind.ENCODED, 10)))[PLATE] > SEEN
    door.send(Kind.POLICY, 1, {"classes": ["plate"]})
    door.wait(Kind.ENCODED, 10, start=door.mark(), count=10, where=is_picture)
    assert list(faces_of(bench, door.seen(Kind.ENCODED, 10)))[-1][PLATE] < COVERED


@pytest.mark.parametrize("policy", [{"classes": ["dog"]}, {"heads": True}])
def test_what_no_network_finds_shows_nothing(bench, policy):
    door = bench.start(lambda: finds_plates(bench))
    door.open_stream(1, **policy)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=2, where=lambda message: not is_picture(message))
    assert not any(is_picture(unit) for unit in door.seen(Kind.ENCODED, 10))

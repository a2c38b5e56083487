"""Who is seen in the redacted feed by policy: one who is surely a named member, in each frame anew, and nobody else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.rig import likenesses
from engines.render.redact import SOLID_YUV
from engines.scene.marker import read_marker
from server.link import Flag, Kind

ADA, BEA = 2, 1
"""Which of the clip's faces they are."""
MEMBERS = ["ada", "bea"]
SEEN, COVERED = 0.8, 0.4


def is_picture(message):
    return not message.flags & Flag.IS_SLATE


def knows_members(bench, **more):
    """A detector with the classes face, ada and bea; they are always in the clip, three others now and then."""

    def classes(found):
        found.classes[ADA], found.classes[BEA] = 1, 2
        return found

    spoil = more.pop("spoil", lambda found: found)
    return bench.detector(names=("face", "ada", "bea"), spoil=lambda found: spoil(classes(found)), **more)


def faces_of(bench, units, since_ns=0):
    """Of each picture that came from then on, the number of its frame and how much of each face is to be seen in it."""
    for frame in bench.decoded(units):
        if frame.arrival_ns >= since_ns and (frame.width, frame.height) == (bench.clip.width, bench.clip.height):
            number = read_marker(frame.y)
            if number is not None:
                yield number, likenesses(bench.clip, number, frame)


def watch(bench, door, frames=40):
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=frames, where=is_picture)
    return list(faces_of(bench, door.seen(Kind.ENCODED, 10)))


@pytest.mark.parametrize(
    ("cover", "shown"),
    [
        ({"except": ["ada"]}, [ADA]),
        ({"except": ["ada", "bea"]}, [ADA, BEA]),
        ({"only": ["bea"]}, [ADA]),
        ("everyone", []),
        ({"except": ["zoe"]}, []),
        ({"only": ["zoe"]}, []),
        ("nobody", []),
    ],
)
def test_those_who_may_be_seen_are_and_nobody_else(bench, cover, shown):
    door = bench.start(lambda: knows_members(bench), members=MEMBERS)
    door.open_stream(1, cover=cover)
    pictures = watch(bench, door)
    for _, faces in pictures[25:]:
        assert min((faces[face] for face in shown), default=1.0) > SEEN
    for _, faces in pictures:
        assert max(likeness for face, likeness in enumerate(faces) if face not in shown) < COVERED
    for _, faces in pictures[:2]:
        assert max(faces) < COVERED, "nobody is sure at first sight"


def test_a_model_that_is_not_said_to_know_members_lets_nobody_be_seen(bench):
    door = bench.start(lambda: knows_members(bench))
    door.open_stream(1, cover={"except": ["ada"]})
    assert max(max(faces) for _, faces in watch(bench, door, 30)) < COVERED


def test_in_every_frame_in_which_she_is_not_recognised_she_is_covered(bench):
    def turned_away(found):
        if found.boxes[ADA, 0] < 150:
            found.classes[ADA] = 0
        return found

    door = bench.start(lambda: knows_members(bench, spoil=turned_away), members=MEMBERS)
    door.open_stream(1, cover={"except": ["ada"]})
    seen = 0
    for number, faces in watch(bench, door, 100):
        if bench.clip.faces[number][ADA][0] < 150:
            assert faces[ADA] < COVERED
        else:
            seen += faces[ADA] > SEEN
    assert seen > 10


def named(door, start=0):
    """Of the lists of tracks: the states of ada's name."""
    lists = [message.json() for message in door.seen(Kind.TRACKS, 1, start)]
    return [track["state"] for told in lists for track in told["tracks"] if track.get("member") == 0]


def test_names_are_told_while_everyone_is_covered_and_show_nobody(bench):
    door = bench.start(lambda: knows_members(bench), members=MEMBERS)
    door.open_stream(1, cover="everyone")
    pictures = watch(bench, door)
    door.wait(Kind.TRACKS, 1, where=lambda message: message.json().get("members") == ["confirmed", "confirmed"])
    assert "confirmed" in named(door)
    assert max(max(faces) for _, faces in pictures) < COVERED


def test_a_name_that_is_held_leaves_nobody_uncovered(bench):
    unknown = threading.Event()

    def forgets(found):
        if unknown.is_set():
            found.classes[ADA] = 0
        return found

    door = bench.start(lambda: knows_members(bench, spoil=forgets), members=MEMBERS)
    door.open_stream(1, cover={"except": ["ada"]})
    assert watch(bench, door)[-1][1][ADA] > SEEN
    unknown.set()
    door.wait(Kind.ENCODED, 10, start=door.mark(), count=5, where=is_picture)
    mark, before = door.mark(), len(door.seen(Kind.ENCODED, 10))
    door.wait(Kind.TRACKS, 1, start=mark)
    door.wait(Kind.ENCODED, 10, start=mark, count=15, where=is_picture)
    assert set(named(door, mark)) == {"confirmed"}, "she keeps her name"
    after = [faces[ADA] for _, faces in faces_of(bench, door.seen(Kind.ENCODED, 10))][before:]
    assert len(after) >= 10
    assert max(after) < COVERED


@pytest.mark.parametrize("change", ["everyone", {"except": ["bea"]}, {"only": ["ada"]}, 7])
def test_a_member_who_is_taken_out_while_shown_is_covered_within_one_frame(bench, change):
    door = bench.start(lambda: knows_members(bench), members=MEMBERS)
    door.open_stream(1, cover={"except": ["ada"]})
    assert watch(bench, door)[-1][1][ADA] > SEEN
    door.send(Kind.POLICY, 1, {"cover": change})
    told_ns = time.monotonic_ns()
    door.wait(Kind.ENCODED, 10, start=door.mark(), count=20, where=is_picture)
    after = [faces[ADA] for _, faces in faces_of(bench, door.seen(Kind.ENCODED, 10), told_ns)]
    assert len(after) >= 15
    assert max(after) < COVERED


def test_a_policy_that_does_not_speak_of_covers_leaves_them_as_they_are(bench):
    door = bench.start(lambda: knows_members(bench), members=MEMBERS)
    door.open_stream(1, cover={"except": ["ada"]})
    watch(bench, door)
    door.send(Kind.POLICY, 1, {"style": "mosaic"})
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=10, where=is_picture)
    assert list(faces_of(bench, door.seen(Kind.ENCODED, 10)))[-1][1][ADA] > SEEN


def test_a_fancam_may_cover_all_but_the_one_it_follows_and_her_too_in_doubt(bench):
    doubt = threading.Event()
    door = bench.start(
        lambda: bench.detector(
            spoil=lambda found: replace(found, scores=found.scores * np.float32(0.5)) if doubt.is_set() else found
        )
    )
    door.open_stream(1)
    bench.publish(door)
    door.wait(Kind.TRACKS, 1, where=lambda message: message.json()["tracks"])
    door.open_feed(10, "fancam/1")

    def covered(count=8):
        """How much of the latest pictures is a cover."""
        mark = door.mark()
        door.wait(Kind.ENCODED, 10, start=mark, count=count, where=is_picture)
        latest = bench.decoded(door.seen(Kind.ENCODED, 10))[-4:]
        return np.mean([np.abs(frame.y.astype(int) - SOLID_YUV[0]) < 6 for frame in latest])

    door.wait(Kind.ENCODED, 10, count=10, where=is_picture)
    door.send(Kind.POLICY, 1, {"fancams": "cover others"})
    others = covered()
    doubt.set()
    everyone = covered()
    assert everyone > others + 0.03, "her own face"
    door.send(Kind.POLICY, 1, {"fancams": "show all"})
    assert covered() < everyone - 0.03

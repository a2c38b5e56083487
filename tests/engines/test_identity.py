"""Nobody is taken for a member unless sure: enough looks, one in this frame, and no other who is said to be the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.frame import Tracks
from engines.render.exempt import surely
from engines.track.identity import GAP_S, NOBODY, Claims, Identity
from engines.track.recognise import Recogniser
from tests.engines.made import found

ADA, BEA, CLEO = range(3)
BAND = ("ada", "bea", "cleo")
FRAME_S = 1 / 30
Look = tuple[int, float] | None
"""Who a track's detection is said to be and how surely; None: the track is not measured."""


def seen(*looks: Look, confirmed: bool = True) -> tuple[Tracks, Claims]:
    """Tracks 1, 2, … in a frame, and what is claimed of each."""
    n = len(looks)
    given_looks = [look for look in looks if look is not None]
    measured = np.array([look is not None for look in looks], np.bool_)
    detection = np.where(measured, np.cumsum(measured) - 1, -1).astype(np.int32)
    tracks = Tracks(
        np.arange(1, n + 1), np.zeros((n, 4), np.float32), np.full(n, 0.9, np.float32), measured, detection,
        np.zeros(n, np.float32), np.zeros((n, 2), np.float32), np.zeros(n, np.float32), np.full(n, confirmed),
    )  # fmt: skip
    claims = Claims(
        np.array([member for member, _ in given_looks], np.int32), np.array([s for _, s in given_looks], np.float32)
    )
    return tracks, claims


class Watch:
    """An identity that is shown frame after frame."""

    def __init__(self) -> None:
        self.identity, self.now_s = Identity(3), 100.0

    def show(self, *looks: Look, after_s: float = FRAME_S, confirmed: bool = True) -> list[int]:
        self.now_s += after_s
        return self.identity.step(*seen(*looks, confirmed=confirmed), self.now_s).tolist()

    def know(self, *members: int) -> None:
        """Show tracks until each is surely that member."""
        for _ in range(30):
            last = self.show(*((member, 0.9) for member in members))
        assert last == list(members)


def test_somebody_is_sure_after_some_agreeing_looks_and_not_before() -> None:
    watch = Watch()
    said = [watch.show((ADA, 0.9)) for _ in range(20)]
    assert said[:4] == [[NOBODY]] * 4
    assert said[6:] == [[ADA]] * 14


@pytest.mark.parametrize("look", [None, (ADA, 0.4), (NOBODY, 0.9), (BEA, 0.95), (ADA, float("nan"))])
def test_without_a_good_claim_in_this_frame_nobody_is_sure(look: Look) -> None:
    watch = Watch()
    watch.know(ADA)
    assert watch.show(look) == [NOBODY]
    assert watch.show((ADA, 0.9)) == [ADA], "one frame of doubt does not outweigh what was seen before"


def test_two_that_are_said_to_be_the_same_are_both_unsure_and_stay_so_for_a_while() -> None:
    watch = Watch()
    watch.know(ADA, BEA)
    assert watch.show((ADA, 0.9), (ADA, 0.5)) == [NOBODY, NOBODY]
    assert watch.show((ADA, 0.9), (BEA, 0.9)) == [NOBODY, BEA]
    watch.know(ADA, BEA)


def test_a_rival_without_a_track_counts_too() -> None:
    watch = Watch()
    watch.know(ADA)
    tracks, _ = seen((ADA, 0.9))
    claims = Claims(np.array([ADA, ADA], np.int32), np.array([0.9, 0.3], np.float32))
    assert watch.identity.step(tracks, claims, watch.now_s + FRAME_S).tolist() == [NOBODY]


def test_a_track_that_was_lost_for_a_moment_is_looked_at_anew() -> None:
    watch = Watch()
    watch.know(ADA)
    for _ in range(int(GAP_S / FRAME_S) + 2):
        watch.show(None)
    assert watch.show((ADA, 0.9)) == [NOBODY]


@pytest.mark.parametrize("step_s", [-0.01, GAP_S + 0.01, 3600.0, float("nan"), float("inf")])
def test_when_time_jumps_all_is_forgotten(step_s: float) -> None:
    watch = Watch()
    watch.know(ADA)
    assert watch.show((ADA, 0.9), after_s=step_s) == [NOBODY]


def test_what_is_forgotten_is_not_sure_at_once() -> None:
    watch = Watch()
    watch.know(ADA, BEA)
    watch.identity.forget()
    assert watch.show((ADA, 1.0), (BEA, 1.0)) == [NOBODY, NOBODY]


def test_tracks_that_are_not_confirmed_are_nobody() -> None:
    watch = Watch()
    assert {tuple(watch.show((ADA, 0.9), confirmed=False)) for _ in range(30)} == {(NOBODY,)}


looks = st.one_of(st.none(), st.tuples(st.integers(NOBODY, 2), st.floats(0, 1)))
frames = st.lists(st.tuples(looks, looks, looks), min_size=1, max_size=60)


@settings(max_examples=200)
@given(frames)
def test_whatever_is_claimed_nobody_is_sure_without_a_claim_of_its_own_and_no_two_are_the_same(
    script: list[tuple[Look, Look, Look]],
) -> None:
    watch = Watch()
    watch.know(ADA, BEA, CLEO)
    for claimed in script:
        sure = watch.show(*claimed)
        named = [member for member in sure if member != NOBODY]
        assert len(named) == len(set(named))
        for member, look in zip(sure, claimed, strict=True):
            assert member == NOBODY or (look is not None and look[0] == member and look[1] >= 0.59)


@settings(max_examples=50)
@given(st.integers(6, 200), st.floats(0.65, 1))
def test_when_two_tracks_change_places_both_are_unsure_at_once_and_for_as_long_as_the_past_weighs(
    before: int, score: float
) -> None:
    watch = Watch()
    for _ in range(before):
        watch.show((ADA, score), (BEA, score))
    after = [watch.show((BEA, score), (ADA, score)) for _ in range(300)]
    assert after[:4] == [[NOBODY, NOBODY]] * 4
    assert all(
        member in (NOBODY, claimed) for frame in after for member, claimed in zip(frame, (BEA, ADA), strict=True)
    )
    assert after[-1] == [BEA, ADA]


LEFT, RIGHT = [0.0, 0.0, 40.0, 50.0], [200.0, 0.0, 240.0, 50.0]
LEFT_TOO = [4.0, 2.0, 44.0, 52.0]


def claims_of(
    names: tuple[str, ...], *seen_as: tuple[int, float, list[float]], tracked: tuple[int, ...] = ()
) -> list[tuple[int, float]]:
    """What becomes of detections (class, score, box), some of which have a track: each one's member and score."""
    classes, scores, boxes = (list(column) for column in zip(*seen_as, strict=True))
    detections = replace(found(boxes, scores), names=names, classes=np.array(classes, np.int32))
    tracks = replace(seen(*[(ADA, 1.0)] * len(tracked))[0], detection=np.array(tracked, np.int32))
    claims = Recogniser(BAND).claims(detections, tracks)
    return [
        (member, round(score, 3)) for member, score in zip(claims.members.tolist(), claims.scores.tolist(), strict=True)
    ]


NAMES = ("cleo", "face", "bea", "ada")


def test_classes_of_a_detector_become_claims() -> None:
    said = claims_of(NAMES, *((number, 0.9, RIGHT) for number in (0, 1, 2, 3, 7, -1)))
    assert [member for member, _ in said] == [CLEO, NOBODY, BEA, ADA, NOBODY, NOBODY]


def test_a_detector_that_lacks_a_member_recognises_nobody() -> None:
    """She might be taken for one of those it knows."""
    said = claims_of(("face", "bea", "ada"), (1, 0.9, LEFT), (2, 0.9, RIGHT))
    assert [member for member, _ in said] == [NOBODY] * 2


@pytest.mark.parametrize(
    ("once_more", "claim"),
    [
        ((3, 0.8, LEFT_TOO), (ADA, 0.8)),  # the network of members, beside one that finds faces
        ((3, 0.8, RIGHT), (NOBODY, 0.9)),
        ((1, 0.8, LEFT_TOO), (NOBODY, 0.9)),
    ],
)
def test_a_face_that_several_networks_found_is_claimed_once(
    once_more: tuple[int, float, list[float]], claim: tuple[int, float]
) -> None:
    said = claims_of(NAMES, (1, 0.9, LEFT), once_more, tracked=(0,))
    assert said[0] == claim
    assert [member for member, _ in said].count(ADA) <= 1


@pytest.mark.parametrize(("other", "member"), [(0.3, ADA), (0.5, NOBODY), (0.9, NOBODY)])
def test_a_face_that_is_said_to_be_two_people_is_nobody(other: float, member: int) -> None:
    said = claims_of(NAMES, (3, 0.8, LEFT), (2, other, LEFT_TOO), tracked=(0,))
    assert [who for who, _ in said] == [member, NOBODY]


def test_a_face_that_two_tracks_share_is_nobody() -> None:
    said = claims_of(NAMES, (3, 0.8, LEFT), (3, 0.7, LEFT_TOO), tracked=(0, 1))
    assert [who for who, _ in said] == [NOBODY, NOBODY]


def test_a_name_that_is_held_shows_nobody() -> None:
    """Who is not recognised in a frame keeps the name and loses the cover's exemption in that very frame."""
    recogniser, tracks = Recogniser(BAND), replace(seen((ADA, 0.9))[0], boxes=np.array([LEFT], np.float32))

    def look(number: int, at_s: float) -> tuple[int, tuple[int, str] | None, list[int]]:
        detections = replace(found([LEFT], [0.9]), classes=np.array([number], np.int32), names=NAMES)
        members, names = recogniser.recognise(detections, tracks, at_s, cut=False)
        shown = surely(replace(tracks, members=members), {ADA, BEA, CLEO})
        return int(members[0]), names.of(0), shown.tolist()

    for n in range(30):
        last = look(NAMES.index("ada"), n * FRAME_S)
    assert last == (ADA, (ADA, "confirmed"), [1])
    for n in range(30, 60):
        assert look(NAMES.index("face"), n * FRAME_S) == (NOBODY, (ADA, "confirmed"), [])


def test_after_a_cut_nobody_has_a_name() -> None:
    recogniser, tracks = Recogniser(BAND), replace(seen((ADA, 0.9))[0], boxes=np.array([LEFT], np.float32))
    ada, face = (
        replace(found([LEFT], [0.9]), classes=np.array([NAMES.index(name)], np.int32), names=NAMES)
        for name in ("ada", "face")
    )
    for n in range(30):
        recogniser.recognise(ada, tracks, n * FRAME_S, cut=False)
    assert recogniser.recognise(face, tracks, 1.0, cut=True)[1].of(0) is None

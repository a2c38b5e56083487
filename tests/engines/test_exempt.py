"""Who is seen by policy: one who is surely a member that may be seen, in that very frame; in doubt nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.frame import Detections, Frame, Picture, RedactedFrame, Tracks
from engines.pipeline import FancamFeed, Pipeline
from engines.render.exempt import surely
from engines.render.redact import STYLES, Redactor, Style, Unsafe
from engines.track.identity import NOBODY
from engines.track.recognise import Recogniser
from tests.engines.made import found, noise_frame
from tests.engines.test_redact import inside, is_solid

ADA, BEA = 0, 1
LEFT, RIGHT = [60.0, 90.0, 100.0, 140.0], [220.0, 90.0, 260.0, 140.0]


def two(members: list[int] | None, *, boxes: Any = (LEFT, RIGHT), **more: Any) -> tuple[Frame, Detections, Tracks]:
    """Two people in noise, tracks 1 and 2, measured, and who they are."""
    source = noise_frame()
    tracks = Tracks(
        np.array([1, 2]), np.array(boxes, np.float32), np.full(2, 0.9, np.float32), np.array([True, True]),
        np.array([0, 1], np.int32), np.zeros(2, np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32),
        np.array([True, True]), None if members is None else np.array(members, np.int32),
    )  # fmt: skip
    return source, found(boxes, of=source), replace(tracks, **more)


def redacted(shown: set[int], *frame: Any, style: Style = "solid", **more: Any) -> Picture:
    redactor = Redactor(style)
    redactor.shown = frozenset(shown)
    return redactor.redact(*frame, **more).picture


def untouched(picture: Picture, source: Frame, box: list[float]) -> bool:
    own = Picture(source.width, source.height)
    own.copy_from(source)
    return all((a == b).all() for a, b in zip(inside(picture, box), inside(own, box), strict=True))


@pytest.mark.parametrize("style", STYLES)
def test_one_who_is_shown_is_untouched_and_the_other_covered(style: Style) -> None:
    source, detections, tracks = two([ADA, BEA])
    picture = redacted({ADA}, source, detections, tracks, style=style)
    assert untouched(picture, source, LEFT)
    same = inside(picture, RIGHT)[0] == source.y[90:140, 220:260]
    assert same.mean() < 0.05  # chance: one level in 220


@pytest.mark.parametrize(
    ("members", "change"),
    [
        (None, {}),
        ([NOBODY, BEA], {}),
        ([BEA, NOBODY], {}),
        ([ADA, ADA], {}),  # two are said to be her
        ([ADA], {}),  # of one track: of which?
        ([ADA, BEA], {"measured": np.array([False, True])}),
        ([ADA, BEA], {"confirmed": np.array([False, True])}),
        ([ADA, BEA], {"ids": np.array([-1, 2])}),
        ([ADA, BEA], {"detection": np.array([-1, 1], np.int32)}),
    ],
)
def test_in_doubt_everyone_is_covered(members: list[int] | None, change: dict[str, Any]) -> None:
    frame = two(members, **change)
    picture = redacted({ADA}, *frame)
    assert is_solid(picture, LEFT)
    assert is_solid(picture, RIGHT)


def test_after_a_cut_everyone_is_covered() -> None:
    assert is_solid(redacted({ADA}, *two([ADA, BEA]), wary=True), LEFT)


def test_a_cover_that_reaches_over_one_who_is_shown_stays() -> None:
    source, detections, tracks = two([ADA, BEA], boxes=(LEFT, [90.0, 95.0, 130.0, 145.0]))
    picture = redacted({ADA}, source, detections, tracks)
    assert is_solid(picture, [90, 95, 130, 145])
    assert untouched(picture, source, [60, 90, 70, 140])


def test_a_face_from_another_frame_is_covered_where_one_is_shown_too() -> None:
    picture = redacted({ADA}, *two([ADA, BEA]), extra_boxes=np.array([LEFT], np.float32))
    assert is_solid(picture, LEFT)


def test_a_second_face_at_hers_is_covered_but_not_hers_found_once_more() -> None:
    source, _, tracks = two([ADA, BEA])
    for box, covered in (([62.0, 92.0, 102.0, 142.0], False), ([85.0, 90.0, 125.0, 140.0], True)):
        detections = found([LEFT, RIGHT, box], [0.9, 0.9, 0.6], of=source)
        picture = redacted({ADA}, source, detections, tracks)
        assert is_solid(picture, box) == covered
        assert untouched(picture, source, LEFT) != covered
        assert is_solid(picture, RIGHT)


member_lists = st.lists(st.integers(-2, 3), min_size=2, max_size=2)


@given(member_lists, st.sets(st.integers(-1, 3)))
def test_only_members_who_may_be_seen_are_and_each_once(members: list[int], shown: set[int]) -> None:
    _, _, tracks = two(members)
    seen = [members[ident - 1] for ident in surely(tracks, shown)]
    assert set(seen) <= shown - {NOBODY}
    assert len(seen) == len(set(seen))


# Fancams that show nobody but the one they follow


def others_covered(*frame: Any, track: int = 1, **more: Any) -> Picture:
    return Redactor().cover_others(*frame, track, **more)


def test_a_fancam_may_cover_all_but_the_one_it_follows() -> None:
    source, detections, tracks = two(None)
    picture = others_covered(source, detections, tracks)
    assert untouched(picture, source, LEFT)
    assert is_solid(picture, RIGHT)
    assert not isinstance(picture, RedactedFrame), "it must never get to the redacted encoder"


@pytest.mark.parametrize(
    ("change", "scores"),
    [
        ({"measured": np.array([False, True])}, 0.9),
        ({"confirmed": np.array([False, True])}, 0.9),
        ({}, 0.3),
        ({"boxes": np.array([LEFT, [95, 90, 135, 140]], np.float32)}, 0.9),  # another is predicted where she is
        ({"ids": np.array([3, 2])}, 0.9),
    ],
)
def test_while_it_may_have_taken_somebody_else_for_her_she_is_covered_as_well(
    change: dict[str, Any], scores: float
) -> None:
    source, _, tracks = two(None, **change)
    assert is_solid(others_covered(source, found([LEFT, RIGHT], scores, of=source), tracks), LEFT)


def test_a_second_face_at_hers_covers_her() -> None:
    source, _, tracks = two(None)
    detections = found([LEFT, RIGHT, [90.0, 120.0, 120.0, 160.0]], [0.9, 0.9, 0.35], of=source)
    assert is_solid(others_covered(source, detections, tracks), LEFT)


def test_a_fancam_that_covers_others_shows_no_frame_that_was_not_analysed() -> None:
    source, detections, tracks = two(None)
    feed = FancamFeed(1, (136, 240))
    feed.redactor = Redactor()
    pipeline = Pipeline()
    state = pipeline.track(source, detections)
    blind = replace(state, tracks=tracks, detections=replace(detections, complete=False))
    with pytest.raises(Unsafe):
        feed.render(blind)
    feed.redactor = None
    assert feed.render(blind) is not None


# The way from claims to covers


def test_a_member_is_seen_once_surely_recognised_and_covered_at_once_when_the_policy_ends_it() -> None:
    pipeline, redactor = Pipeline(), Redactor()
    pipeline.recogniser = Recogniser(("ada", "bea"))
    redactor.shown = frozenset({ADA})
    seen = []
    for n in range(30):
        source = noise_frame(rtp_time=n * 3000, seed=5)
        detections = replace(found([LEFT, RIGHT], of=source), names=("ada", "bea"), face_names=("ada", "bea"))
        detections.classes[:] = [ADA, BEA]
        state = pipeline.track(source, detections)
        result = redactor.redact(source, detections, state.tracks, wary=state.wary)
        seen.append(untouched(result.picture, source, LEFT))
        assert is_solid(result.picture, RIGHT)
        result.release()
    assert not any(seen[:4])
    assert all(seen[12:])
    redactor.shown = frozenset()  # analysed before, shown after: she is no member any more
    assert is_solid(redactor.redact(source, detections, state.tracks).picture, LEFT)


def test_a_face_that_two_networks_found_is_one_person_and_covered_as_wide_as_either_says() -> None:
    pipeline, too = Pipeline(), [66.0, 95.0, 106.0, 145.0]
    source = noise_frame()
    detections = replace(
        found([LEFT, too, RIGHT], [0.9, 0.8, 0.7], of=source), names=("face", "ada"), face_names=("face", "ada")
    )
    detections.classes[1] = 1
    state = pipeline.track(source, detections)
    assert state.tracks.ids.tolist() == [1, 2]
    assert state.tracks.detection.tolist() == [0, 2]
    picture = Redactor().redact(source, state.detections, state.tracks).picture
    assert all(is_solid(picture, box) for box in (LEFT, too, RIGHT))

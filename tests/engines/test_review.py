"""Laws of what a person decides about covers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.frame import Tracks
from engines.render.covers import Covers, choose_covers
from engines.report import file_facts
from engines.review.decisions import Add, Plan, Remove, bounded, uncovered, unmatched
from engines.review.document import Wrong, load, plain, save
from engines.review.lives import Life, Moment, Places
from tests.engines.made import found

WIDTH, HEIGHT, FRAMES = 320, 240, 30
sides = st.tuples(st.integers(0, 200), st.integers(0, 150), st.integers(8, 110), st.integers(8, 80))
boxes = sides.map(lambda s: (float(s[0]), float(s[1]), float(s[0] + s[2]), float(s[1] + s[3])))
frames = st.integers(0, FRAMES - 1)
adds = st.dictionaries(frames, boxes, min_size=1, max_size=4).map(lambda keys: Add(tuple(sorted(keys.items()))))
spans = st.tuples(frames, frames).map(lambda two: (min(two), max(two)))


def moments_of(drawn: list[tuple[int, tuple[int, int]]]) -> tuple[list[Moment], dict[int, Life]]:
    """A standing cover for each life, from its first to its last frame."""
    lives = {ident: Life(ident, *span, 0.4) for ident, span in drawn}
    moments = []
    for number in range(FRAMES):
        here = [ident for ident, life in lives.items() if life.first <= number <= life.last]
        rows = [[10 * ident, 20, 10 * ident + 60, 90] for ident in here]
        moments.append(Moment(np.array(rows, np.int32).reshape(-1, 4), np.array(here, np.int64)))
    return moments, lives


known = st.lists(st.tuples(st.integers(1, 6), spans), min_size=1, max_size=5, unique_by=lambda one: one[0]).map(
    moments_of
)


@given(known, spans, st.data())
def test_a_removal_takes_away_that_life_in_that_span_and_nothing_else(known, span, data) -> None:  # type: ignore[no-untyped-def]
    moments, lives = known
    life = data.draw(st.sampled_from(list(lives.values())))
    if span[1] < life.first or span[0] > life.last:
        with pytest.raises(ValueError, match="not there"):
            Remove.of(life, *span, moments)
        return
    plan = Plan([Remove.of(life, *span, moments)])
    for number, moment in enumerate(moments):
        away = moment.lives[plan.removed(number, moment)].tolist()
        inside = span[0] <= number <= span[1] and life.first <= number <= life.last
        assert away == ([life.ident] if inside else [])


@given(known, st.data())
def test_a_removal_leaves_covered_what_lies_elsewhere_in_another_analysis(known, data) -> None:  # type: ignore[no-untyped-def]
    moments, lives = known
    life = data.draw(st.sampled_from(list(lives.values())))
    removal = Remove.of(life, life.first, life.last, moments)
    elsewhere = [Moment(moment.boxes + 100, moment.lives) for moment in moments]
    assert not any(Plan([removal]).removed(n, moment).any() for n, moment in enumerate(elsewhere))
    assert unmatched([removal], elsewhere) == life.last - life.first + 1
    assert unmatched([removal], moments) == 0


@given(known, spans, spans, st.data())
def test_a_life_is_covered_from_where_to_where_it_was_told_last(known, before, span, data) -> None:  # type: ignore[no-untyped-def]
    moments, lives = known
    life = data.draw(st.sampled_from(list(lives.values())))
    plan = Plan(bounded(bounded((), life, *before, moments), life, *span, moments))
    for number, moment in enumerate(moments):
        own = moment.lives == life.ident
        covered = bool((own & ~plan.removed(number, moment)).any() or plan.added(number))
        assert covered == (span[0] <= number <= span[1])
        assert not plan.removed(number, moment)[~own].any()


@given(adds, boxes, frames)
def test_an_added_cover_goes_evenly_through_its_keys(add: Add, box, frame: int) -> None:  # type: ignore[no-untyped-def]
    assert all(add.at(number) == place for number, place in add.keys)
    assert add.at(add.first - 1) is None
    assert add.at(add.last + 1) is None
    lows = np.array([place for _, place in add.keys]).min(axis=0) - 1e-6
    highs = np.array([place for _, place in add.keys]).max(axis=0) + 1e-6
    for number in range(add.first, add.last + 1):
        assert (lows <= add.at(number)).all()
        assert (highs >= add.at(number)).all()
    assert add.with_key(frame, box).at(frame) == box


@given(adds, spans)
def test_an_added_cover_held_longer_or_shorter_is_where_it_was_in_between(add: Add, span) -> None:  # type: ignore[no-untyped-def]
    other = add.within(*span)
    assert (other.first, other.last) == span
    for number in range(max(add.first, span[0]), min(add.last, span[1]) + 1):
        assert other.at(number) == pytest.approx(add.at(number), abs=1e-6)


@given(boxes)
def test_the_cover_of_an_added_box_holds_it_and_hardly_more(box) -> None:  # type: ignore[no-untyped-def]
    covers = choose_covers(found([]), Tracks.empty(), uncovered(np.array([box], np.float32)))
    more = covers.boxes[0] - np.array(box)
    assert (more[:2] <= 0.01).all()
    assert (more[2:] >= -0.01).all()
    assert np.abs(more).max() <= 3


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 5), max_size=5))
def test_of_covers_in_one_place_one_goes_for_each_that_is_named(present: list[int], named: list[int]) -> None:
    def rows(values: list[int]) -> np.ndarray:
        return np.array([[v, v, v + 8, v + 8] for v in values], np.int32).reshape(-1, 4)

    left = Covers(rows(present), np.arange(len(present))).without(rows(named))
    for value in range(6):
        assert (left.boxes[:, 0] == value).sum() == max(0, present.count(value) - named.count(value))


def test_a_doubtful_place_goes_on_where_it_was_and_not_elsewhere_or_in_another_shot() -> None:
    places, here, there = Places(), np.array([[10, 10, 50, 60]], np.int32), np.array([[200, 10, 240, 60]], np.int32)
    (first,) = places.continued(here, 1, 0.0)
    assert places.continued(np.concatenate((there, here + 3)), 1, 0.1)[1] == first
    assert places.continued(here, 1, 2.0) != [first]
    (again,) = places.continued(here, 1, 2.1)
    assert places.continued(here, 2, 2.2) != [again]


@given(st.lists(adds, max_size=3), known)
def test_decisions_come_back_from_their_file(tmp_path_factory, added, known) -> None:  # type: ignore[no-untyped-def]
    moments, lives = known
    decisions = (*added, *(Remove.of(life, life.first, life.last, moments) for life in lives.values()))
    folder: Path = tmp_path_factory.mktemp("kept")
    (folder / "a.mp4").write_bytes(b"a video")
    save(folder / "review.json", decisions, file_facts(folder / "a.mp4"), {"model": "m"})
    assert load(folder / "review.json", folder / "a.mp4", FRAMES, WIDTH, HEIGHT) == decisions


@pytest.mark.parametrize(
    "decision",
    [
        {"kind": "uncover everything"},
        {"kind": "add", "keys": []},
        {"kind": "add", "keys": [[0, 10, 10, 5, 20]]},
        {"kind": "add", "keys": [[0, 10, 10, float("nan"), 20]]},
        {"kind": "add", "keys": [[5, 1, 1, 9, 9], [4, 1, 1, 9, 9]]},
        {"kind": "add", "keys": [[FRAMES, 1, 1, 9, 9]]},
        {"kind": "remove", "cover": 1, "first": 4, "last": 2, "score": 0.1, "seen": []},
        {"kind": "remove", "cover": 1, "first": 4, "last": 6, "score": 0.1, "seen": [[9, 1, 1, 9, 9]]},
        {"kind": "remove", "cover": True, "first": 4, "last": 6, "score": 0.1, "seen": []},
        None,
    ],
)
def test_a_file_with_a_wrong_decision_is_refused_whole(tmp_path: Path, decision: object) -> None:
    video, path = tmp_path / "a.mp4", tmp_path / "review.json"
    video.write_bytes(b"a video")
    good = plain(Add(((0, (1.0, 1.0, 9.0, 9.0)),)))
    path.write_text(json.dumps({"format": 1, "source": file_facts(video), "decisions": [good, decision]}))
    with pytest.raises(Wrong, match=r"review\.json: "):
        load(path, video, FRAMES, WIDTH, HEIGHT)

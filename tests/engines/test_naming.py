"""Names over time: mistakes are outvoted, nobody has two names at once, and a swap is undone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.frame import Tracks
from engines.track.identity import NOBODY, Claims
from engines.track.naming import Names, Naming

FPS = 20


def tracks(ids: list[int], *, measured: list[bool] | None = None, apart: float = 200) -> Tracks:
    n = len(ids)
    left = np.arange(n, dtype=np.float32) * apart
    boxes = np.stack((left, np.zeros(n), left + 50, np.full(n, 60)), axis=1).astype(np.float32)
    seen = np.array([True] * n if measured is None else measured, np.bool_)
    detection = np.where(seen, np.arange(n), -1).astype(np.int32)
    zeros = np.zeros(n, np.float32)
    return Tracks(
        np.array(ids, np.int64), boxes, zeros, seen, detection, zeros, np.zeros((n, 2), np.float32), zeros,
        np.ones(n, np.bool_),
    )  # fmt: skip


def claims(*members: int) -> Claims:
    return Claims(np.array(members, np.int32), np.ones(len(members), np.float32))


def run(naming: Naming, seconds: float, start: float, say: list[int], ids: list[int]) -> Names:
    for n in range(round(seconds * FPS)):
        names = naming.step(tracks(ids), claims(*say), start + n / FPS)
    return names


def test_a_mistake_now_and_then_changes_no_name() -> None:
    naming, random = Naming(3), np.random.default_rng(0)
    run(naming, 1, 0, [0, 1, 2], [7, 8, 9])
    for n in range(100):
        say = [who if random.random() < 0.7 else int(random.integers(3)) for who in range(3)]
        assert naming.step(tracks([7, 8, 9]), claims(*say), 1 + n / FPS).members.tolist() == [0, 1, 2]


def test_two_claimed_to_be_one_are_told_apart_by_what_was() -> None:
    naming = Naming(2)
    run(naming, 1, 0, [0, 1], [1, 2])
    names = naming.step(tracks([1, 2]), claims(0, 0), 1.0)
    assert names.members.tolist() == [0, 1]


def test_a_swap_is_undone_and_reported_with_how_long_it_stood() -> None:
    naming, swaps = Naming(2), []
    run(naming, 2, 0, [0, 1], [1, 2])
    for n in range(60):  # the tracker has exchanged the two
        names = naming.step(tracks([1, 2]), claims(1, 0), 2 + n / FPS)
        swaps += names.swaps
    assert names.members.tolist() == [1, 0]
    assert {(swap.member, swap.from_track, swap.to_track) for swap in swaps} == {(0, 1, 2), (1, 2, 1)}
    assert all(swap.since_s == pytest.approx(2.0) and 2 < swap.undone_s < 4.5 for swap in swaps)


def test_who_overlaps_may_be_the_other_so_a_swap_there_is_undone_sooner() -> None:
    def frames_until_undone(apart: float) -> int:
        naming = Naming(2)
        run(naming, 2, 0, [0, 1], [1, 2])
        for n in range(20):
            naming.step(tracks([1, 2], apart=apart), claims(NOBODY, NOBODY), 2 + n / FPS)
        for n in range(200):
            if naming.step(tracks([1, 2]), claims(1, 0), 3 + n / FPS).members.tolist() == [1, 0]:
                return n
        raise AssertionError("never")

    assert frames_until_undone(apart=10) < frames_until_undone(apart=200)


def test_the_states_say_what_is_known() -> None:
    naming = Naming(3)
    assert naming.step(tracks([1]), claims(NOBODY), 0.0).states == ("lost", "lost", "lost")
    assert naming.step(tracks([1]), claims(0), 0.05).states[0] == "unsure"
    assert run(naming, 1, 0.1, [0, 1], [1, 2]).states == ("confirmed", "confirmed", "lost")
    names = naming.step(tracks([1, 2], measured=[True, False]), claims(0, NOBODY), 1.1)
    assert names.states == ("confirmed", "coasting", "lost")
    assert naming.step(tracks([1]), claims(0), 1.2).states == ("confirmed", "lost", "lost")


def test_what_nobody_confirms_fades() -> None:
    naming = Naming(2)
    run(naming, 1, 0, [0, 1], [1, 2])
    names = naming.step(tracks([1, 2]), claims(NOBODY, NOBODY), 60.0)
    assert names.states == ("unsure", "unsure")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.integers(1, 5), st.integers(-3, 9), st.floats(width=32)),
                max_size=5,
                unique_by=lambda t: t[0],
            ),
            st.sampled_from([0.0, 0.05, 5.0, -1.0, float("nan"), float("inf")]),
        ),
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_nobody_is_ever_two_and_nonsense_is_no_harm(frames: list, count: int) -> None:
    naming, now = Naming(count), 0.0
    for people, step in frames:
        now = now + step if np.isfinite(step) else now
        said = Claims(np.array([p[1] for p in people], np.int32), np.array([p[2] for p in people], np.float32))
        names = naming.step(tracks([p[0] for p in people], apart=20), said, now if np.isfinite(step) else step)
        given_names = names.members[names.members != NOBODY].tolist()
        assert len(set(given_names)) == len(given_names)
        assert all(0 <= name < count for name in given_names)
        assert len(names.states) == count


def test_of_a_single_member_there_is_still_a_choice_that_it_is_nobody() -> None:
    naming = Naming(1)
    names = run(naming, 1, 0, [0, NOBODY], [7, 8])
    assert names.members.tolist() == [0, NOBODY]
    assert (names.of(0), names.of(1)) == ((0, "confirmed"), None)

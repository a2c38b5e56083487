"""The laws of the ladder: down in time, fair, back to full, and never to and fro."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.studio.ladder import CALM_LOAD, LOWEST, MOST_LOAD, RUNGS, Demand, Ladder

SHARES = st.lists(st.floats(0.001, 0.6), min_size=len(RUNGS), max_size=len(RUNGS)).map(
    lambda values: tuple(sorted(values, reverse=True))
)
LIKE_OURS = (0.30, 0.20, 0.17, 0.14, 0.08, 0.06)


def positions(ladder, demands):
    return [RUNGS.index(ladder.rung(stream)) for stream in demands]


@given(st.lists(SHARES, max_size=8))
def test_after_one_step_the_load_is_bearable_or_all_are_at_the_bottom_and_nobody_is_worse_off_than_need_be(shares):
    ladder, demands = Ladder(), dict(enumerate(map(Demand, shares)))
    ladder.step(demands, 0)
    at = positions(ladder, demands)
    assert ladder.load(demands) <= MOST_LOAD or set(at) == {LOWEST}
    assert not at or max(at) - min(at) <= 1


@given(st.lists(SHARES, min_size=1, max_size=8))
def test_with_steady_demands_it_comes_to_rest(shares):
    ladder, demands = Ladder(), dict(enumerate(map(Demand, shares)))
    seen = []
    for now in range(1200):
        ladder.step(demands, now)
        seen.append(positions(ladder, demands))
    assert all(later == seen[600] for later in seen[600:])
    assert all(max(at) - min(at) <= 1 for at in seen)


@given(st.integers(1, 12))
def test_when_the_load_has_gone_every_stream_comes_back_to_full(streams):
    ladder = Ladder()
    heavy = {stream: Demand(LIKE_OURS) for stream in range(streams)}
    light = {stream: Demand(tuple(share / 20 for share in LIKE_OURS)) for stream in range(streams)}
    for now in range(30):
        ladder.step(heavy, now)
    assert any(positions(ladder, heavy)) == (streams * LIKE_OURS[0] > MOST_LOAD)
    now = 30
    while any(positions(ladder, light)):
        ladder.step(light, now)
        now += 1
        assert now < 30 + 6 * LOWEST + 6, "five seconds a rung, however many streams there are"


def test_misses_lower_a_stream_though_the_figures_say_there_is_room_and_a_step_up_that_fails_waits_longer():
    """A machine on which the rung above does not work, whatever the costs say."""
    ladder = Ladder()
    small = tuple(share / 10 for share in LIKE_OURS)
    steps_up, before = [], 0
    for now in range(600):
        at = RUNGS.index(ladder.rung(1))
        ladder.step({1: Demand(small, missed=0.3 if at < 2 else 0.0)}, now)
        after = RUNGS.index(ladder.rung(1))
        if after < at:
            steps_up.append(now)
        before = max(before, after)
    assert before == 2, "as far as it must, no further"
    waits = [b - a for a, b in itertools.pairwise(steps_up)]
    assert waits == sorted(waits)
    assert waits[-1] >= 55, "it tries ever more rarely"


@given(st.integers(2, 12))
def test_with_many_streams_that_miss_all_are_at_the_bottom_within_half_a_minute(streams):
    ladder = Ladder()
    demands = {stream: Demand(tuple(share / 12 for share in LIKE_OURS), missed=0.5) for stream in range(streams)}
    for now in range(30):
        ladder.step(demands, now)
        at = positions(ladder, demands)
        assert max(at) - min(at) <= 1
    assert set(at) == {LOWEST}


def test_a_new_stream_begins_where_the_others_are_and_one_that_ended_counts_no_more():
    ladder = Ladder()
    demands = {stream: Demand(LIKE_OURS) for stream in range(8)}
    ladder.step(demands, 0)
    assert min(positions(ladder, demands)) >= 3
    demands[8] = Demand(LIKE_OURS)
    ladder.step(demands, 1)
    assert max(positions(ladder, demands)) - min(positions(ladder, demands)) <= 1
    alone = {8: Demand(LIKE_OURS)}
    for now in range(2, 60):
        ladder.step(alone, now)
    assert ladder.rung(8) is RUNGS[0]


def test_the_ramp_from_one_to_twelve_and_back_goes_down_and_up_once():
    ladder, trace = Ladder(), []
    for now in range(600):
        streams = 1 + min(now // 15, 11) if now < 300 else max(1, 12 - (now - 300) // 15)
        demands = {stream: Demand(LIKE_OURS) for stream in range(streams)}
        ladder.step(demands, now)
        trace.append(positions(ladder, demands)[0])
        assert ladder.load(demands) <= MOST_LOAD
    assert max(trace) == LOWEST
    assert trace[-1] == 0
    bottom = trace.index(LOWEST)
    assert trace[:bottom] == sorted(trace[:bottom])
    assert trace[300:] == sorted(trace[300:], reverse=True)


@pytest.mark.parametrize("name", ["every", "long_side"])
def test_each_rung_takes_no_more_than_the_one_above(name):
    values = [getattr(rung, name) for rung in RUNGS]
    assert values == sorted(values, reverse=name == "long_side")
    assert RUNGS[0].every == 1
    assert CALM_LOAD < MOST_LOAD

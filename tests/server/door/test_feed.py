"""A feed's place in time, whatever its sources."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.door.feed import FeedClock
from tests.server.door.house import MS, S


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 3 * S), st.booleans()), min_size=1, max_size=30))
def test_a_feed_s_time_only_goes_forward_and_at_the_pace_of_the_clock(steps: list[tuple[int, int, bool]]) -> None:
    clock, now_ns, times = FeedClock(), 0, []
    for rtp_time, waited_ns, has_source in steps:
        now_ns += waited_ns
        times.append((clock.place(rtp_time, now_ns) if has_source else clock.tick(now_ns), now_ns))
    for (before, before_ns), (after, after_ns) in pairwise(times):
        assert after > before
        assert abs((after - before) / 90_000 - (after_ns - before_ns) / 1e9) <= 2 + 1e-3


def test_a_steady_source_keeps_its_own_times() -> None:
    clock = FeedClock()
    assert [clock.place(1000 + 3000 * n, n * 33 * MS + (n % 3) * MS) for n in range(50)] == [
        1000 + 3000 * n for n in range(50)
    ]

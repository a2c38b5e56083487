"""What a viewer's path is held to take, with reports and estimates given by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door.path import LEAST_BIT_S, RESEND_BURST_BYTES, Path

SECOND = 1_000_000_000
PACKET = 1200


class Line:
    """A path, 30 frames a second sent over it and a report each second, at a time of its own."""

    def __init__(self) -> None:
        self.path, self.now = Path(), 1000 * SECOND
        self._sequence = self._lost = 0

    @property
    def limit(self) -> int | None:
        return self.path.limit(self.now)

    def run(self, seconds: int, bit_s: int, *, lost: float = 0.0, rtt_s: float = 0.01) -> None:
        for _ in range(seconds):
            for _ in range(30):
                self.now += SECOND // 30
                self.path.sent(bit_s // 240, self.now)
            packets = max(30, bit_s // 8 // PACKET)
            self._sequence += packets
            self._lost += round(lost * packets)
            self.path.reported(self._lost, self._sequence, rtt_s, self.now)


@pytest.fixture
def line() -> Line:
    line = Line()
    line.run(3, 1_500_000)
    return line


def test_nothing_limits_a_path_without_trouble(line: Line) -> None:
    line.run(3, 60_000)
    line.path.estimated(51_000, line.now)  # a hiccup while the picture is quiet
    line.run(3, 1_500_000, lost=0.01)
    assert line.limit is None


def test_a_line_that_takes_less_gets_less(line: Line) -> None:
    for _ in range(20):
        sent = line.limit or 1_500_000
        line.run(1, sent, lost=max(0.0, 1 - 600_000 / sent), rtt_s=0.5 if sent > 600_000 else 0.01)
    assert line.limit is not None
    assert 300_000 < line.limit < 1_000_000


def test_packets_that_are_late_count_like_those_that_are_lost(line: Line) -> None:
    line.run(2, 1_500_000, rtt_s=1.0)
    assert line.limit is not None
    assert line.limit < 1_500_000


def test_the_viewers_own_estimate_counts_in_trouble_and_bounds_what_the_loss_tells(line: Line) -> None:
    line.path.estimated(500_000, line.now)
    line.run(9, 1_500_000, lost=0.6, rtt_s=0.5)
    assert line.limit == 500_000


def test_the_limit_rises_again_as_far_as_what_is_sent_bears_out(line: Line) -> None:
    line.run(9, 1_500_000, lost=0.6)
    low = line.limit
    assert low is not None
    line.run(60, low)
    assert line.limit == pytest.approx(1.5 * low, rel=0.1)
    for _ in range(60):
        line.run(1, min(1_500_000, line.limit or 0))
    assert line.limit is not None
    assert line.limit > 1_500_000


def test_many_reports_in_a_moment_are_one(line: Line) -> None:
    line.run(1, 1_500_000, lost=0.2)
    once = line.limit
    for number in range(50):
        line.path.reported(1000 + number, 2000 + number, 1.0, line.now + number)
    assert line.limit == once


def test_a_packet_goes_out_again_once_in_a_round_trip(line: Line) -> None:
    line.run(1, 1_500_000, rtt_s=0.15)
    assert line.path.may_resend(7, PACKET, line.now)
    assert not line.path.may_resend(7, PACKET, line.now + SECOND // 10)
    assert line.path.may_resend(8, PACKET, line.now + SECOND // 10)
    assert line.path.may_resend(7, PACKET, line.now + SECOND // 5)


@pytest.mark.parametrize(("rtt_s", "least", "most"), [(0.01, 0.2, 0.6), (0.5, 0.0, 0.15)])
def test_what_goes_out_again_is_a_part_of_what_is_sent(line: Line, rtt_s: float, least: float, most: float) -> None:
    line.run(1, 1_500_000, rtt_s=rtt_s)
    resent, number = 0, 0
    for _ in range(20):
        line.run(1, 1_500_000, rtt_s=rtt_s)
        for _ in range(1000):
            number += 1
            resent += PACKET * line.path.may_resend(number, PACKET, line.now)
    assert least < (resent - RESEND_BURST_BYTES) / (20 * 1_500_000 / 8) < most


steps = st.lists(
    st.tuples(
        st.integers(0, 3 * SECOND),
        st.integers(-5, 2000),
        st.integers(-5, 2000),
        st.floats(0, 20),
        st.integers(0, 10**9),
    )
)


@given(steps)
def test_a_limit_is_never_less_than_anything_useful_whatever_is_reported(
    told: list[tuple[int, int, int, float, int]],
) -> None:
    path, now, lost, highest = Path(), 0, 0, 0
    for waited, more_lost, more_sent, rtt_s, estimate in told:
        now, lost, highest = now + waited, lost + more_lost, highest + more_sent
        path.sent(PACKET, now)
        path.reported(lost, highest, rtt_s, now)
        path.estimated(estimate, now)
        limit = path.limit(now)
        assert limit is None or limit >= LEAST_BIT_S

"""When a frame was captured: by what the sender says, where clocks agree, else above the fastest frame of late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.door.capture import AGREE_NS, WINDOW_NS, CaptureClock

MS = 1_000_000
S = 1_000_000_000
FRAME_NS = 33_333_333
NTP = 3_900_000_000 * S  # of our wall clock at 0 of the monotonic one


def ticks(ns: int) -> int:
    return ns * 90_000 // S


def ages(
    delays_ms: list[int], ppm: float = 0.0, clock: CaptureClock | None = None, said_off_ns: int | None = None
) -> list[float]:
    """ms from capture to arrival of frames with these delays, of a sender whose clock is `ppm` fast; it says nothing, or is
    `said_off_ns` ahead."""
    clock = clock or CaptureClock()
    found = []
    for n, delay_ms in enumerate(delays_ms):
        captured_ns = n * FRAME_NS
        rtp_time = round(ticks(captured_ns) * (1 + ppm / 1e6))
        if said_off_ns is not None and n % 30 == 0:
            clock.say(NTP + captured_ns + said_off_ns, rtp_time & 0xFFFFFFFF)
        arrival_ns = captured_ns + delay_ms * MS
        found.append((arrival_ns - clock.captured_ns(rtp_time, arrival_ns, NTP + arrival_ns)) / MS)
    return found


def test_a_sender_whose_clock_agrees_is_believed() -> None:
    assert [round(age) for age in ages([40, 45, 70, 40] * 20, said_off_ns=0)] == [40, 45, 70, 40] * 20


def test_a_sender_whose_clock_is_a_little_ahead_is_not() -> None:
    found = ages([40, 45, 70, 40] * 20, said_off_ns=60 * MS)
    assert [round(age) for age in found[4:]] == [0, 5, 30, 0] * 19


def test_a_sender_that_says_nothing_is_measured_against_its_fastest_frame() -> None:
    assert [round(age) for age in ages([30, 35, 20, 50] * 20)[4:]] == [10, 15, 0, 30] * 19


def test_headers_count_more_than_reports() -> None:
    clock = CaptureClock()
    clock.say(NTP + 5 * MS, 0, by_header=True)
    clock.say(NTP, 0)
    assert 25 * MS - clock.captured_ns(0, 25 * MS, NTP + 25 * MS) == 20 * MS


@given(st.sampled_from([-200.0, 200.0]), st.integers(0, 99))
def test_a_clock_200_ppm_off_adds_a_millisecond_and_no_more_over_hours(ppm: float, seed: int) -> None:
    clock = CaptureClock()
    for hour in range(3):  # seconds of each hour: what lies between is forgotten anyway
        for n in range(300):
            captured_ns = hour * 3600 * S + seed * S + n * FRAME_NS
            arrival_ns = captured_ns + 20 * MS
            rtp_time = round(ticks(captured_ns) * (1 + ppm / 1e6))
            age_ns = arrival_ns - clock.captured_ns(rtp_time, arrival_ns, 0)
            assert 0 <= age_ns <= WINDOW_NS * 200 // 1_000_000 + MS // 10


def test_a_route_that_becomes_slower_is_the_new_measure_after_a_while() -> None:
    found = ages([20] * 60 + [120] * 300)
    assert round(found[61]) == 100
    assert round(found[-1]) == 0


def test_rtp_times_that_begin_anew_begin_a_new_measure() -> None:
    clock = CaptureClock()
    for n in range(30):
        clock.captured_ns(n * 3000, n * FRAME_NS, 0)
    for n in range(30, 60):
        arrival_ns = n * FRAME_NS
        assert arrival_ns - clock.captured_ns(10**9 + n * 3000, arrival_ns, 0) < MS


@given(
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 50), st.integers(0, 1 << 62)), max_size=40),
    st.none() | st.tuples(st.integers(0, 1 << 62), st.integers(0, (1 << 32) - 1)),
)
def test_nothing_is_captured_after_it_came_or_long_before(
    frames: list[tuple[int, int, int]], said: tuple[int, int] | None
) -> None:
    clock = CaptureClock()
    if said is not None:
        clock.say(*said)
    for rtp_time, arrival_ns, ntp_ns in sorted(frames, key=lambda frame: frame[1]):
        assert 0 <= arrival_ns - clock.captured_ns(rtp_time, arrival_ns, ntp_ns) <= AGREE_NS

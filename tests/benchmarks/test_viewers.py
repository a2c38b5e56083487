"""The figures of `fancam bench viewers`, from frames given by hand."""

from __future__ import annotations

from benchmarks.viewers import newcomer


def frames(*spans: tuple[float, float, int]) -> list[tuple[float, int]]:
    """Thirty frames a second from and until (s), of so many bytes each."""
    return [(begin_s + n / 30, size) for begin_s, end_s, size in spans for n in range(round((end_s - begin_s) * 30))]


def test_a_viewer_that_gets_everything_at_once() -> None:
    found = newcomer(frames((0.2, 8, 10_000)))
    assert found["first_picture_ms"] == 200
    assert found["full_quality_s"] == 0
    assert abs(found["steady_bit_s"] - 2_400_000) < 50_000


def test_poor_frames_at_first_and_a_lower_rate_later() -> None:
    poor_first = frames((0.1, 2.9, 2_000), (3, 9, 10_000))
    assert newcomer(poor_first)["full_quality_s"] == 3
    every_third = [one for number, one in enumerate(frames((0.1, 9, 10_000))) if one[0] < 5 or number % 3 == 0]
    assert newcomer(every_third)["full_quality_s"] == 0

"""The filter's laws: time adds up, a lost box slows down, and scale does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.track.kalman import COVARIANCE, VARIANCE, VELOCITY_VARIANCE, BoxFilters
from engines.track.kinds import FACES

SEEN = np.array([[150.0], [200], [50], [60]])
seconds = st.floats(1e-4, 20.0)


def moving(speed: float = 100.0, frames: int = 30, fps: float = 30.0, scale: float = 1.0) -> BoxFilters:
    """A filter that has followed a box of 50 × 60 px for `frames` at `speed` px/s, all times `scale`."""
    filters, score = BoxFilters(), np.array([1.0])
    for n in range(frames):
        box = scale * np.array([[100 + speed * n / fps], [200.0], [50.0], [60.0]])
        if n == 0:
            filters.add(box, score)
        else:
            filters.predict(1 / fps)
            filters.update(np.array([0]), box, filters.noise(score))
    return filters


@given(seconds, seconds)
def test_two_steps_are_one_longer_step(first: float, second: float) -> None:
    apart, at_once = moving(), moving()
    apart.predict(first)
    apart.predict(second)
    at_once.predict(first + second)
    np.testing.assert_allclose(apart.state, at_once.state, rtol=1e-6, atol=1e-9)


@given(st.lists(st.tuples(st.floats(1e-6, 20.0), st.booleans()), max_size=40))
def test_doubt_stays_finite_and_positive(steps: list[tuple[float, bool]]) -> None:
    filters = moving()
    for dt, seen in steps:
        filters.predict(dt)
        if seen:
            filters.update(np.array([0]), SEEN, filters.noise(np.array([0.5])))
        assert np.isfinite(filters.state).all()
        variance, covariance, of_velocity = (filters.state[:, row] for row in (VARIANCE, COVARIANCE, VELOCITY_VARIANCE))
        assert (variance > 0).all()
        assert (of_velocity >= 0).all()
        assert (variance * of_velocity >= covariance**2 * (1 - 1e-9)).all()


def test_it_learns_a_steady_speed() -> None:
    assert moving(speed=100).velocity[0, 0] == pytest.approx(100, rel=0.15)


def test_a_box_that_nobody_sees_slows_down_and_stops() -> None:
    filters = moving(speed=100)
    places, spreads = [], []
    for _ in range(6):
        places.append(filters.value[0, 0])
        spreads.append(filters.spread()[0])
        filters.predict(0.5)
    steps = np.diff(places)
    assert (np.diff(steps) < 0).all()
    assert steps[-1] < 5
    assert (np.diff(spreads) > 0).all()


@given(st.floats(0.2, 20.0))
def test_a_picture_twice_as_large_gives_the_same_filter_twice_as_large(scale: float) -> None:
    small, large = moving(), moving(scale=scale)
    for filters in (small, large):
        filters.predict(0.3)
    np.testing.assert_allclose(large.value, scale * small.value, rtol=1e-6)
    np.testing.assert_allclose(large.spread(), scale * small.spread(), rtol=1e-6)


def test_no_time_is_no_step() -> None:
    filters = moving()
    before = filters.copy()
    for dt in (0.0, -1.0):
        filters.predict(dt)
    np.testing.assert_array_equal(filters.value, before.value)


def test_after_a_long_gap_one_look_tells_nearly_all() -> None:
    filters = moving(speed=0)
    filters.predict(2.0)
    filters.update(np.array([0]), SEEN, filters.noise(np.array([1.0])))
    assert filters.value[0, 0] == pytest.approx(150, abs=2)
    assert filters.state[0, VELOCITY_VARIANCE, 0] < (FACES.speed_heights_per_s[0] * 60) ** 2

"""The smoothed path's laws: no lag, no jitter, any interval; and what a missing or a wild look does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.render.smooth import MOST_DELAY, LivePath, smooth_whole

FPS = 25
HEIGHT = 200.0
DELAYS = range(MOST_DELAY + 1)
looks = st.lists(
    st.one_of(st.none(), st.tuples(st.floats(-500, 2500), st.floats(-500, 2500), st.floats(1, 900))),
    min_size=1,
    max_size=40,
)
intervals = st.lists(st.sampled_from([0.0, 1 / 60, 1 / 25, 0.3, 5.0, -0.1]), min_size=40, max_size=40)


def walk(n: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(n, 3): to and fro, half a height each way."""
    t = np.arange(n) / FPS
    path = np.stack((500 + 100 * np.sin(1.5 * t), 300 + 20 * np.sin(4 * t), np.full(n, HEIGHT)), axis=1)
    return path + np.random.default_rng(seed).normal(0, noise, path.shape)


def live(path: np.ndarray, delay: int) -> np.ndarray:
    """The places of all frames but the last `delay`."""
    line = LivePath(delay)
    given = [line.push(n / FPS, look) for n, look in enumerate(path)]
    return np.array([place for place, _ in given[delay:]])


def shakes(path: np.ndarray) -> float:
    return float(np.sqrt((np.diff(path[:, :2], 3, axis=0) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("delay", DELAYS)
def test_a_path_comes_so_many_frames_late_and_is_that_of_its_own_frame(delay: int) -> None:
    true = walk(200)
    line = LivePath(delay)
    given = [line.push(n / FPS, look) for n, look in enumerate(true)]
    assert all(place is None for place in given[:delay])
    got = np.array([place for place, _ in given[delay:]])
    own = np.abs(got - true[: len(got)])[30:].max()
    assert own < 0.1 * HEIGHT
    if delay:
        newest = np.abs(got - true[delay:])[30:].max()
        assert own < newest


@pytest.mark.parametrize("delay", [*DELAYS, None])
def test_the_jitter_goes_and_the_person_does_not_lag(delay: int | None) -> None:
    noisy, true = walk(400, noise=0.012 * HEIGHT), walk(400)
    got = live(noisy, delay) if delay is not None else smooth_whole(np.arange(400) / FPS, list(noisy), HEIGHT)
    assert shakes(got) < shakes(noisy) / (10 if delay is None or delay >= 4 else 1.5)
    late = np.mean((got - true[: len(got)])[:, 0] * np.gradient(true[: len(got), 0]))
    assert abs(late) / np.mean(np.gradient(true[:, 0]) ** 2) < 1.2, "frames late"


@pytest.mark.parametrize("delay", [0, 5])
def test_one_wild_look_hardly_moves_it(delay: int) -> None:
    still = np.tile((500.0, 300.0, HEIGHT), (60, 1))
    wild = still.copy()
    wild[30, 0] += HEIGHT
    assert np.abs(live(wild, delay) - live(still, delay))[:, 0].max() < 0.2 * HEIGHT
    whole = smooth_whole(np.arange(60) / FPS, list(wild), HEIGHT)
    assert np.abs(whole - still)[:, 0].max() < 0.15 * HEIGHT


def test_missing_looks_are_filled_from_both_sides() -> None:
    true = walk(120)
    gappy = [None if 40 <= n < 60 else look for n, look in enumerate(true)]
    whole = smooth_whole(np.arange(120) / FPS, gappy, HEIGHT)
    assert np.abs(whole - true)[35:65].max() < 0.15 * HEIGHT


@settings(max_examples=60)
@given(looks, intervals, st.integers(0, MOST_DELAY))
def test_whatever_comes_when_a_place_is_a_number(path: list, gaps: list[float], delay: int) -> None:
    line, now = LivePath(delay), 0.0
    for look, gap in zip(path, gaps, strict=False):
        now += gap
        given = line.push(now, np.array(look) if look is not None else None)
        assert given is None or all(np.isfinite(part).all() for part in given)


@settings(max_examples=30)
@given(st.floats(-300, 300), st.floats(0.2, 5), st.sampled_from([0, 1, 3, 5, 8]))
def test_elsewhere_and_larger_it_is_the_same_path(shift: float, scale: float, delay: int) -> None:
    noisy = walk(40, noise=3.0)
    moved = noisy * scale
    moved[:, :2] += shift
    expected = live(noisy, delay) * scale
    expected[:, :2] += shift
    np.testing.assert_allclose(live(moved, delay), expected, rtol=0, atol=1e-6 * HEIGHT * scale + 1e-6)


def test_a_delay_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 8"):
        LivePath(9)

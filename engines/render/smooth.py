"""Where a person is, smoothed: at once, a few frames late, or with all that came later.

Each coordinate is filtered as a position whose velocity is an Ornstein-Uhlenbeck process, by a Kalman filter and the smoother of
Rauch, Tung and Striebel (Maximum likelihood estimates of linear dynamic systems, 1965), exact for any interval. A filter alone
leaves the detector's jitter, so what was smoothed goes through a short window without lag. All noises are in heights of the body.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

NOISE: Final = 0.012
"""One standard deviation of a look, in heights of the body."""
FIRST_SPEED: Final = 0.5
"""One standard deviation of the first velocity, heights a second."""
MOST_DELAY: Final = 8


@dataclass(frozen=True, slots=True)
class Motion:
    """How people move: `push` is the intensity of the white acceleration, heights²/s³, `life_s` how long a velocity lasts."""

    push: float
    life_s: float


LATE: Final = Motion(1.0, 0.3)
WHOLE: Final = Motion(0.28, 0.65)
AT_ONCE: Final = Motion(4.0, 0.164)

SETTLES: Final = 2
"""Frames after which a live look counts as smoothed; what is left of the delay is the window's half."""
STRAY: Final = 0.03
"""A look further from the smoothed path, in heights, is moved to there ..."""
TRUST: Final = 0.4
"""... and so much of what is left is kept."""
STRAY_WHOLE: Final = 0.019
WIDTH_WHOLE: Final = 5
"""Places in the window over a whole path."""
SURPRISE: Final = 1.5
"""Without delay a look surprises by so many standard deviations at most: a few wild ones make half of the jerk."""
FOLLOW_HZ: Final = 0.85
"""Without delay the place moves at the filter's velocity, and gives way to its place at this frequency."""


@dataclass(frozen=True, slots=True)
class Step:
    """A moment on a path: `mean` (2, k) position and velocity, `cov` their covariance (aa, ab, bb) in heights, and both as
    they were predicted, before the look; `keeps` (s, share) what prediction makes of the velocity before."""

    time_s: float
    mean: F64
    cov: tuple[float, float, float]
    expected: F64
    expected_cov: tuple[float, float, float]
    keeps: tuple[float, float]


def step(
    last: Step | None, time_s: float, look: F64 | None, motion: Motion, *, most: float = math.inf, size: float = 1.0
) -> Step | None:
    """The moment after `last`, with a look (k,) or None; None before the first look.

    `most` standard deviations is what a look may surprise by; `size` the body's height in the look's unit.
    """
    if last is None:
        if look is None:
            return None
        mean, cov = np.stack((look, np.zeros_like(look))), (NOISE**2, 0.0, FIRST_SPEED**2)
        return Step(time_s, mean, cov, mean, cov, (0.0, 1.0))
    dt, life = max(time_s - last.time_s, 0.0), motion.life_s
    e = math.exp(-dt / life)
    a, q = life * (1 - e), motion.push
    p00, p01, p11 = last.cov
    p00, p01, p11 = p00 + 2 * a * p01 + a * a * p11, e * (p01 + a * p11), e * e * p11
    p00 += q * life**2 * (dt - 2 * life * (1 - e) + life / 2 * (1 - e * e))
    p01 += q * life**2 / 2 * (1 - e) ** 2
    p11 += q * life / 2 * (1 - e * e)
    expected = np.stack((last.mean[0] + a * last.mean[1], e * last.mean[1]))
    if look is None:
        return Step(time_s, expected, (p00, p01, p11), expected, (p00, p01, p11), (a, e))
    total = p00 + NOISE**2
    g0, g1 = p00 / total, p01 / total
    off = look - expected[0]
    if most < math.inf:
        limit = most * math.sqrt(total) * size
        off = np.clip(off, -limit, limit)
    mean = expected + np.stack((g0 * off, g1 * off))
    cov = p00 - g0 * p00, p01 - g0 * p01, p11 - g1 * p01
    return Step(time_s, mean, cov, expected, (p00, p01, p11), (a, e))


def backwards(now: Step, after: Step, smoothed: F64) -> F64:
    """(2, k): the smoothed mean of `now`, from that of the step `after` it."""
    p00, p01, p11 = now.cov
    a, e = after.keeps
    c00, c01, c10, c11 = p00 + a * p01, e * p01, p01 + a * p11, e * p11  # cov · Fᵀ
    n00, n01, n11 = after.expected_cov
    det = n00 * n11 - n01 * n01
    if det <= 1e-30:  # no time has passed
        return smoothed
    off0, off1 = smoothed - after.expected
    u0, u1 = (n11 * off0 - n01 * off1) / det, (n00 * off1 - n01 * off0) / det
    return np.asarray(now.mean + np.stack((c00 * u0 + c01 * u1, c10 * u0 + c11 * u1)))


def smooth(times: Sequence[float], looks: Sequence[F64 | None], motion: Motion) -> F64:
    """(n, 2, k): position and velocity at each moment, with all looks. The first must be one.

    Raises:
        ValueError: the path does not begin with a look.
    """
    steps: list[Step] = []
    for time_s, look in zip(times, looks, strict=True):
        now = step(steps[-1] if steps else None, time_s, look, motion)
        if now is None:
            raise ValueError("a path begins with a look")
        steps.append(now)
    means = [steps[-1].mean]
    for now, after in zip(steps[-2::-1], steps[:0:-1], strict=True):
        means.append(backwards(now, after, means[-1]))
    return np.array(means[::-1])


def smooth_whole(times: Sequence[float], looks: Sequence[F64 | None], size: float) -> F64:
    """(n, k): the path, moments without a look (None) filled. `size` is the body's height in the looks' unit.

    Looks that stray are pulled to the path that all make, and the path is made once more.
    """
    first = smooth(times, looks, WHOLE)[:, 0]
    limit = STRAY_WHOLE * size
    pulled = [
        None if look is None else place + np.clip(look - place, -limit, limit)
        for look, place in zip(looks, first, strict=True)
    ]
    path = smooth(times, pulled, WHOLE)[:, 0]
    half = WIDTH_WHOLE // 2
    return np.stack([_windowed(times, path, n, half, half + 1)[0] for n in range(len(path))])


def _windowed(times: Sequence[float], path: F64 | Sequence[F64], at: int, half: int, base: float) -> tuple[F64, F64]:
    """Place and velocity (k,) at the index `at`: a straight line through the moments around it, weighted by a raised cosine;
    at the path's ends the window is cut on both sides, so that it stays centred."""
    half = min(half, at, len(times) - 1 - at)
    offs = np.arange(-half, half + 1)
    weights = 0.5 + 0.5 * np.cos(np.pi * offs / base)
    weights /= weights.sum()
    when = np.asarray(times[at - half : at + half + 1]) - times[at]
    where = np.asarray(path[at - half : at + half + 1])
    middle, place = float(weights @ when), weights @ where
    spread = float(weights @ (when - middle) ** 2)
    slope = (weights * (when - middle)) @ where / spread if spread > 0 else np.zeros_like(place)
    return place - middle * slope, slope


class LivePath:
    """The path of one person, `delay` (0 to 8) frames late. Not thread-safe.

    Looks are vectors (k,) of which the last is the height of what is followed; `bodies` is how many of those heights make a
    body's.
    """

    def __init__(self, delay: int, bodies: float = 1.0) -> None:
        if not 0 <= delay <= MOST_DELAY:
            raise ValueError(f"a path is 0 to {MOST_DELAY} frames late, not {delay}")
        self.delay = delay
        self._bodies = bodies
        self._settles = min(SETTLES, delay // 2)
        self._half = delay - self._settles
        self._steps: deque[tuple[Step, F64 | None]] = deque(maxlen=self._settles + 1)
        self._settled: deque[tuple[float, F64]] = deque(maxlen=2 * self._half + 1)
        self._followed: tuple[F64, F64] | None = None

    @property
    def begun(self) -> bool:
        return bool(self._steps)

    def push(self, time_s: float, look: F64 | None) -> tuple[F64, F64] | None:
        """Take in a frame, with a look or without, and return place and velocity (k,), units a second, of the frame `delay`
        before it; None before the first look has come so far."""
        last = self._steps[-1][0] if self._steps else None
        size = self._bodies * float(last.mean[0, -1]) if last is not None else 1.0
        if self.delay == 0:
            now = step(last, time_s, look, AT_ONCE, most=SURPRISE, size=size)
        else:
            now = step(last, time_s, look, LATE)
        if now is None:
            return None
        self._steps.append((now, look))
        if self.delay == 0:
            return self._follow(now, 0.0 if last is None else max(now.time_s - last.time_s, 0.0))
        if len(self._steps) > self._settles:
            self._settled.append(self._settle(size))
        if len(self._settled) <= self._half:
            return None
        times, places = zip(*self._settled, strict=True)
        at = len(times) - 1 - self._half
        return _windowed(times, places, at, self._half, self._half + 1.5)

    def _settle(self, size: float) -> tuple[float, F64]:
        """The oldest step, smoothed with those after it, and moved towards its look."""
        steps = [now for now, _ in self._steps]
        mean = steps[-1].mean
        for now, after in zip(steps[-2::-1], steps[:0:-1], strict=True):
            mean = backwards(now, after, mean)
        look, place = self._steps[0][1], mean[0]
        if look is not None:
            place = place + TRUST * np.clip(look - place, -STRAY * size, STRAY * size)
        return steps[0].time_s, place

    def _follow(self, now: Step, dt: float) -> tuple[F64, F64]:
        velocity = now.mean[1]
        if self._followed is None:
            self._followed = now.mean[0], velocity
            return self._followed
        share = 1 - math.exp(-2 * math.pi * FOLLOW_HZ * dt)
        place = self._followed[0] + velocity * dt
        self._followed = place + share * (now.mean[0] - place), velocity
        return self._followed

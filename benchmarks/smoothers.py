"""Smoothers that others use for a path, which `benchmarks/camera.py` measures beside ours.

Each takes looks (n, 3), NaN where there was none, frames a second and the body's height in px, and gives (n, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from engines.render.smooth import F64, Motion, Step, backwards, smooth, step

Smoother = Callable[[F64, float, float], F64]

STEADY: Final = Motion(0.2, 100.0)
"""Of a velocity that lasts: the usual model of constant velocity."""


def held(looks: F64) -> F64:
    seen = np.maximum.accumulate(np.where(np.isnan(looks[:, 0]), 0, np.arange(len(looks))))
    return looks[seen]


def between(looks: F64) -> F64:
    """Straight lines through the gaps."""
    at, seen = np.arange(len(looks)), np.flatnonzero(~np.isnan(looks[:, 0]))
    return np.stack([np.interp(at, seen, looks[seen, k]) for k in range(looks.shape[1])], axis=1)


def windowed(path: F64, weights: F64) -> F64:
    """Centred; the ends repeat."""
    half = len(weights) // 2
    longer = np.concatenate((np.repeat(path[:1], half, 0), path, np.repeat(path[-1:], half, 0)))
    columns = [np.convolve(longer[:, k], weights / weights.sum(), "valid") for k in range(path.shape[1])]
    return np.stack(columns, axis=1)


def hann(size: int) -> F64:
    return np.hanning(size + 2)[1:-1]


def one_euro(looks: F64, fps: float, height: float, cut_hz: float = 1.0, beta: float = 2.0) -> F64:
    def share(hz: F64 | float) -> F64 | float:
        return 1 / (1 + fps / (2 * np.pi * hz))

    path = held(looks) / height
    place, velocity, last, out = path[0], np.zeros(path.shape[1]), path[0], []
    for look in path:
        velocity = velocity + share(1.0) * ((look - last) * fps - velocity)
        last = look
        place = place + share(cut_hz + beta * np.abs(velocity)) * (look - place)
        out.append(place)
    return np.array(out) * height


def listed(looks: F64) -> list[F64 | None]:
    return [None if np.isnan(look[0]) else look for look in looks]


def filtered(looks: F64, fps: float, lag: int) -> F64:
    """The Kalman filter of constant velocity, each moment smoothed by what the `lag` frames after it tell."""
    steps: list[Step] = []
    for n, look in enumerate(listed(looks)):
        now = step(steps[-1] if steps else None, n / fps, look, STEADY)
        assert now is not None, "a path begins with a look"
        steps.append(now)
    out = []
    for n in range(len(steps)):
        last = min(n + lag, len(steps) - 1)
        mean = steps[last].mean
        for k in range(last - 1, n - 1, -1):
            mean = backwards(steps[k], steps[k + 1], mean)
        out.append(mean[0])
    return np.array(out)


def filled(looks: F64, fps: float) -> F64:
    """Only what is missing comes from the smoother with a lag of 2."""
    return np.where(np.isnan(looks), filtered(looks, fps, 2), looks)


def whole(looks: F64, fps: float) -> F64:
    return smooth([n / fps for n in range(len(looks))], listed(looks), STEADY)[:, 0]


OTHERS: Final[dict[str, Smoother]] = {
    "raw, held through misses (0)": lambda looks, fps, height: held(looks),
    "One-Euro 1 Hz, beta 2 (0)": one_euro,
    "Kalman (0)": lambda looks, fps, height: filtered(looks, fps, 0),
    "fixed-lag RTS (4)": lambda looks, fps, height: filtered(looks, fps, 4),
    "RTS-2 fills the misses, Hann-7 (5)": lambda looks, fps, height: windowed(filled(looks, fps), hann(7)),
    "interpolation, average of 5 (offline)": lambda looks, fps, height: windowed(between(looks), np.ones(5)),
    "full RTS (offline)": lambda looks, fps, height: whole(looks, fps),
    "full RTS, Hann-9 (offline)": lambda looks, fps, height: windowed(whole(looks, fps), hann(9)),
}

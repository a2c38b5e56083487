"""Kalman filters of many boxes at once: centre and size, each a value and a velocity that dies away, in real seconds.

Every dimension is filtered alone. Its velocity is an Ornstein-Uhlenbeck process, so a box that nobody sees slows down
instead of sliding away, its doubt grows, and `predict` is exact for any step: predict(a), predict(b) is predict(a + b).
All noise is in heights of the box, so one set of numbers serves every picture size and frame rate.
(Uhlenbeck and Ornstein, Physical Review 36, 1930; Gillespie, Physical Review E 54, 1996, for the exact step.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track.kinds import FACES, Four, Kind

F64 = NDArray[np.float64]

VALUE, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE, SCALE = range(6)
"""Rows of a dimension's state; the last is the square of the box's height, which the noise grows with."""
TICK_S: Final = 1e-9
"""Steps are told apart to this much, so that those of an even frame rate are one step."""


@lru_cache(maxsize=256)
def transition(kind: Kind, ticks: int) -> F64:
    """(4, 6, 6): what a step of `ticks` does to each dimension's state. Mean and covariance both move linearly."""
    life, drive = np.array(kind.velocity_life_s), np.array(kind.speed_heights_per_s) ** 2
    t = ticks * TICK_S / life
    left, gone = np.exp(-t), -np.expm1(-t)
    reach = life * gone
    # 2 t - 3 + 4 a - a² with a = exp(-t) loses all its digits for small t, where it is 2 t³ / 3
    grown = np.where(t > 1e-3, 2 * t - 3 + 4 * left - left * left, t**3 * (2 / 3 - t / 2))
    step = np.zeros((4, 6, 6))
    step[:, VALUE, VALUE] = step[:, VARIANCE, VARIANCE] = step[:, SCALE, SCALE] = 1
    step[:, VALUE, VELOCITY] = reach
    step[:, VELOCITY, VELOCITY] = step[:, COVARIANCE, COVARIANCE] = left
    step[:, VARIANCE, COVARIANCE] = 2 * reach
    step[:, VARIANCE, VELOCITY_VARIANCE] = reach * reach
    step[:, VARIANCE, SCALE] = drive * life**2 * grown
    step[:, COVARIANCE, VELOCITY_VARIANCE] = left * reach
    step[:, COVARIANCE, SCALE] = drive * life * gone**2
    step[:, VELOCITY_VARIANCE, VELOCITY_VARIANCE] = left**2
    step[:, VELOCITY_VARIANCE, SCALE] = drive * gone * (1 + left)
    return step


class BoxFilters:
    """The filters of n boxes: `state` (4, 6, n), for centre x, centre y, width, height the rows named above, in px and px/s.

    The scale of the noise is the height at the last measurement, kept still while predicting.
    """

    def __init__(self, kind: Kind = FACES) -> None:
        self.kind = kind
        self.state = np.zeros((4, 6, 0))
        self._noise, self._doubt = _column(kind.noise_heights), _column(kind.noise_of_doubt_heights)
        self._drive = _column(kind.speed_heights_per_s) ** 2

    def __len__(self) -> int:
        return self.state.shape[2]

    @property
    def value(self) -> F64:
        """(n, 4), a view; the four below likewise."""
        return self.state[:, VALUE].T

    @property
    def velocity(self) -> F64:
        return self.state[:, VELOCITY].T

    def copy(self) -> BoxFilters:
        other = BoxFilters(self.kind)
        other.state = self.state.copy()
        return other

    def noise(self, scores: F64) -> F64:
        """Standard deviation, in heights, of measurements with these scores (n,): (4, n)."""
        return self._noise + self._doubt * (1 - scores) ** 2

    def predict(self, dt_s: float) -> None:
        """Move all boxes on by `dt_s` seconds; nothing happens for zero or less."""
        if dt_s > 0 and len(self):
            self.state = transition(self.kind, max(round(dt_s / TICK_S), 1)) @ self.state

    def update(self, rows: NDArray[np.intp], measured: F64, noise: F64) -> None:
        """Take in one measurement (centre x, centre y, width, height: 4, m) with its `noise` (4, m) for each of `rows`."""
        state = self.state.take(rows, axis=2)
        variance, covariance = state[:, VARIANCE], state[:, COVARIANCE]
        weight = 1 / (variance + (noise * measured[3]) ** 2)
        gain, gain_velocity = variance * weight, covariance * weight
        missed = measured - state[:, VALUE]
        state[:, VELOCITY_VARIANCE] -= gain_velocity * covariance
        state[:, VALUE] += gain * missed
        gain_velocity *= missed
        state[:, VELOCITY] += gain_velocity
        state[:, VARIANCE : COVARIANCE + 1] *= (1 - gain)[:, None]
        state[:, SCALE] = np.maximum(state[3, VALUE], 1.0) ** 2
        self.state[:, :, rows] = state

    def add(self, measured: F64, scores: F64) -> None:
        """Begin filters at these measurements (4, m), at rest but with the velocity in doubt."""
        begun = np.zeros((4, 6, measured.shape[1]))
        begun[:, VALUE] = measured
        begun[:, SCALE] = np.maximum(measured[3], 1.0) ** 2
        begun[:, VARIANCE] = self.noise(scores) ** 2 * begun[:, SCALE]
        begun[:, VELOCITY_VARIANCE] = self._drive * begun[:, SCALE]
        self.state = np.concatenate((self.state, begun), axis=2)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the boxes where `mask` (n,) is false."""
        self.state = self.state[:, :, mask]

    def edges(self) -> F64:
        """(4, n) left, top, right, bottom px, at least a pixel wide and high."""
        return edges(self.state[:, VALUE])

    def boxes(self) -> F64:
        """(n, 4) xyxy px."""
        return self.edges().T

    def spread(self) -> F64:
        """(n,) px: one standard deviation of the centre, in the worse of its two directions."""
        return np.sqrt(np.maximum(self.state[0, VARIANCE], self.state[1, VARIANCE]))


def edges(centred: F64) -> F64:
    """(4, n) centre x, centre y, width, height to left, top, right, bottom, at least a pixel wide and high."""
    half = np.maximum(centred[2:], 1.0)
    half *= 0.5
    return np.concatenate((centred[:2] - half, centred[:2] + half))


def centre_form(edges: F64) -> F64:
    """(4, n) left, top, right, bottom to centre x, centre y, width, height."""
    low, high = edges[:2], edges[2:]
    return np.concatenate(((low + high) * 0.5, high - low))


def _column(four: Four) -> F64:
    return np.array(four)[:, None]

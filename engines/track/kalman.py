"""Kalman filters of many boxes at once: centre and size, each a value and a velocity that dies away, in real seconds.

Every dimension is filtered alone. Its velocity is an Ornstein-Uhlenbeck process, so a box that nobody sees slows down
instead of sliding away, its doubt grows, and `predict` is exact for any step: predict(a), predict(b) is predict(a + b).
All noise is in heights of the box, so one set of numbers serves every picture size and frame rate.
(Uhlenbeck and Ornstein, Physical Review 36, 1930; Gillespie, Physical Review E 54, 1996, for the exact step.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# For centre x, centre y, width, height of a face.
VELOCITY_LIFE_S: Final = np.array((0.5, 0.4, 0.3, 0.3))
SPEED_HEIGHTS_PER_S: Final = np.array((1.4, 0.8, 0.35, 0.35))
NOISE_HEIGHTS: Final = np.array((0.04, 0.04, 0.06, 0.06))
NOISE_OF_DOUBT_HEIGHTS: Final = np.array((0.3, 0.3, 0.4, 0.4))
"""At score 0, falling with the square of what is missing to 1: a face that slips behind somebody is found by what is left
of it, with a low score, in a box that moves and shrinks as the face does not."""

_FIELDS: Final = ("value", "velocity", "variance", "covariance", "velocity_variance", "height")


def measurement_noise(scores: F64) -> F64:
    """Standard deviation, in heights, of measurements with these scores (n,): (n, 4)."""
    return NOISE_HEIGHTS + NOISE_OF_DOUBT_HEIGHTS * (1 - scores[:, None]) ** 2


class BoxFilters:
    """The filters of n boxes, as arrays with a row per box.

    `value` and `velocity` (n, 4) are centre x, centre y, width, height in px and px/s; `variance` (of the value),
    `covariance` (of both) and `velocity_variance` (n, 4); `height` (n,) px is the scale of the noise, that of the last
    measurement, kept still while predicting.
    """

    def __init__(self) -> None:
        for name in _FIELDS:
            setattr(self, name, np.zeros((0, 4)))
        self.height: F64 = np.zeros(0)

    value: F64
    velocity: F64
    variance: F64
    covariance: F64
    velocity_variance: F64

    def __len__(self) -> int:
        return len(self.value)

    def copy(self) -> BoxFilters:
        other = BoxFilters()
        for name in _FIELDS:
            setattr(other, name, getattr(self, name).copy())
        return other

    def predict(self, dt_s: float) -> None:
        """Move all boxes on by `dt_s` seconds; nothing happens for zero or less."""
        if dt_s <= 0 or not len(self):
            return
        life = VELOCITY_LIFE_S
        left = np.exp(-dt_s / life)
        gone = 1 - left
        reach = life * gone
        drive = (SPEED_HEIGHTS_PER_S * self.height[:, None]) ** 2
        self.value += reach * self.velocity
        self.velocity *= left
        self.variance += reach * (2 * self.covariance + reach * self.velocity_variance)
        # 2 t - 3 + 4 a - a² with a = exp(-t), which loses all its digits for small t, where it is 2 t³ / 3
        t = dt_s / life
        grown = np.where(t > 1e-3, 2 * t - 3 + 4 * left - left * left, t**3 * (2 / 3 - t / 2))
        self.variance += drive * life**2 * grown
        self.covariance = left * (self.covariance + reach * self.velocity_variance) + drive * life * gone**2
        self.velocity_variance = left**2 * self.velocity_variance + drive * (1 - left**2)

    def update(self, rows: NDArray[np.intp], measured: F64, scores: F64) -> None:
        """Take in one measurement (centre x, centre y, width, height) for each of `rows`."""
        noise = (measurement_noise(scores) * np.maximum(measured[:, 3:4], 1.0)) ** 2
        variance, covariance = self.variance[rows], self.covariance[rows]
        weight = 1 / (variance + noise)
        gain, gain_velocity = variance * weight, covariance * weight
        missed = measured - self.value[rows]
        self.value[rows] += gain * missed
        self.velocity[rows] += gain_velocity * missed
        self.velocity_variance[rows] -= gain_velocity * covariance
        self.covariance[rows] = (1 - gain) * covariance
        self.variance[rows] = (1 - gain) * variance
        self.height[rows] = np.maximum(self.value[rows, 3], 1.0)

    def add(self, measured: F64, scores: F64) -> None:
        """Begin filters at these measurements (n, 4), at rest but with the velocity in doubt."""
        height = np.maximum(measured[:, 3], 1.0)
        begun = {
            "value": measured,
            "velocity": np.zeros_like(measured),
            "variance": (measurement_noise(scores) * height[:, None]) ** 2,
            "covariance": np.zeros_like(measured),
            "velocity_variance": (SPEED_HEIGHTS_PER_S * height[:, None]) ** 2,
            "height": height,
        }
        for name in _FIELDS:
            setattr(self, name, np.concatenate((getattr(self, name), begun[name])))

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where `mask` (n,) is false."""
        for name in _FIELDS:
            setattr(self, name, getattr(self, name)[mask])

    def boxes(self) -> F64:
        """(n, 4) xyxy px, at least a pixel wide and high."""
        half = np.maximum(self.value[:, 2:], 1.0) / 2
        return np.concatenate((self.value[:, :2] - half, self.value[:, :2] + half), axis=1)

    def spread(self) -> F64:
        """(n,) px: one standard deviation of the centre, in the worse of its two directions."""
        return np.sqrt(self.variance[:, :2].max(axis=1)) if len(self) else np.zeros(0)


def centre_form(boxes: F64) -> F64:
    """(n, 4) xyxy to centre x, centre y, width, height."""
    return np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1)

"""Which detection belongs to which track: log-likelihood ratios of all pairs within reach, and the best one-to-one choice."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track.kalman import F64, BoxFilters, measurement_noise

Rows = NDArray[np.intp]

REACH_HEIGHTS: Final = 1.0
REACH_HEIGHTS_PER_S: Final = 2.0
REACH_MOST_HEIGHTS: Final = 3.0
TAILS: Final = 10.0
"""Degrees of freedom of Student's t: people turn and jump more often than a normal distribution allows."""


def likelihood(filters: BoxFilters, unseen_s: F64, measured: F64, scores: F64) -> F64:
    """(tracks, detections): log-likelihood ratio that the detection is the track's next look; -inf out of reach.

    `unseen_s` (tracks,): seconds since the last measurement; `measured` (d, 4): centre x, centre y, width, height in px.
    """
    height = filters.height[:, None]
    reach = np.minimum(REACH_HEIGHTS + REACH_HEIGHTS_PER_S * unseen_s, REACH_MOST_HEIGHTS)[:, None] * height
    near = np.abs(measured[:, 0] - filters.value[:, 0:1]) < reach
    near &= np.abs(measured[:, 1] - filters.value[:, 1:2]) < reach
    near &= np.abs(measured[:, 3] - filters.value[:, 3:4]) < height * (0.5 + 0.5 * np.minimum(unseen_s, 2.0)[:, None])
    track, detection = np.nonzero(near)
    fit = np.full(near.shape, -np.inf)
    scale = filters.height[track, None]
    offset = (measured[detection] - filters.value[track]) / scale
    variance = filters.variance[track] / scale**2 + measurement_noise(scores)[detection] ** 2
    surprise = (offset * offset / variance).sum(axis=1)
    tails = 0.5 * (TAILS + 4) * np.log1p(surprise / TAILS)
    fit[track, detection] = -tails - 0.5 * np.log(variance).sum(axis=1)
    return fit


def match(fit: F64, tracks: Rows, detections: Rows, accept: float) -> tuple[Rows, Rows]:
    """The one-to-one pairs among `tracks` and `detections` with the largest sum of `fit` over `accept`."""
    if not len(tracks) or not len(detections):
        return tracks[:0], detections[:0]
    gain = np.maximum(fit[tracks[:, None], detections] - accept, 0.0)
    rows, columns = np.flatnonzero(gain.max(axis=1) > 0), np.flatnonzero(gain.max(axis=0) > 0)
    gain = gain[rows[:, None], columns]
    row, column = _assign(gain)
    good = gain[row, column] > 0
    return tracks[rows[row[good]]], detections[columns[column[good]]]


def _assign(gain: F64) -> tuple[Rows, Rows]:
    """The assignment with the largest sum. What a look decides is decided by it: scipy's optimizer takes longer to import
    than the rest of Fancam, and one or two faces never need it."""
    if not gain.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    every, best = np.arange(len(gain)), gain.argmax(axis=1)
    if len(set(best.tolist())) == len(best):
        return every, best
    if gain.shape[1] == 1:
        return gain.argmax(axis=0), np.zeros(1, np.intp)
    if len(gain) == 2:  # both want the same: one gives way to the other
        second = gain.copy()
        second[every, best] = -np.inf
        giving = int((gain[every, best] - second.max(axis=1)).argmin())
        best[giving] = second[giving].argmax()
        return every, best
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(gain, maximize=True)


def overlaps(a: F64, b: F64) -> F64:
    """Intersection over union of every xyxy box of `a` (n, 4) with every one of `b` (m, 4): (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1)[:, None] + (b[:, 2:] - b[:, :2]).prod(axis=1)[None]
    return shared / np.maximum(areas - shared, 1e-9)

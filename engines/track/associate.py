"""Which detection belongs to which track: the best one-to-one choice among pairs that have been weighed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.track.kalman import F64

Rows = NDArray[np.intp]


def match(gain: F64, track: Rows, detection: Rows) -> Rows:
    """Which of n pairs to take, by their places: no track and no detection twice, and the sum of their `gain` (n,), each above 0,
    the largest."""
    tracks, detections = track.tolist(), detection.tolist()
    if len(set(tracks)) == len(set(detections)) == len(gain):
        return np.arange(len(gain))
    row = {one: place for place, one in enumerate(dict.fromkeys(tracks))}
    column = {one: place for place, one in enumerate(dict.fromkeys(detections))}
    at = [row[one] for one in tracks], [column[one] for one in detections]
    dense = np.zeros((len(row), len(column)))
    dense[at] = gain
    chosen = np.zeros(dense.shape, np.bool_)
    chosen[_assign(dense)] = True
    return chosen[at].nonzero()[0]


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

"""How a person looks, in 18 numbers: the mean colours of four parts of the head and two of the chest.

Not for telling who somebody is, only which of two people close together goes on where: hair, skin, a mask and clothes keep
their colours through a crossing, in which positions say little.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engines.frame import F32, Frame
from engines.track.kalman import F64

PARTS: Final = 6
SIZE: Final = 3 * PARTS
POINTS: Final = 4
"""In each direction of each part."""
WEIGHT: Final = np.repeat((0.5, 1.0, 1.0), PARTS)
"""Luma changes with every step through the light; colour less."""
ALIKE: Final = 7.0
PER_NAT: Final = 1.0
"""Mean differences, in steps of 1/256: below ALIKE the same person is likelier. Over half a second, the same people of drawn
and real clips differ by 2 to 4 (90 % by less than 7), two people by 10 to 17 (90 % by more than 6.6)."""
MOST_FOR: Final = 2.0
MOST_AGAINST: Final = -4.0
"""Bounds in nats: light that turns red within a frame must not end the tracks of people who stand still."""
MEMORY_S: Final = 0.3


def _template() -> tuple[F64, F64]:
    """x and y (PARTS, POINTS²) of where to look, in widths and heights of the face's box from its upper left corner."""
    inside = (np.arange(POINTS) + 0.5) / POINTS
    x, y = (grid.ravel() for grid in np.meshgrid(inside, inside))
    # left, top, right, bottom of: the head's quarters, hair included; the two halves of the chest
    zones = [(i / 2, j * 0.575 - 0.15, i / 2 + 0.5, j * 0.575 + 0.425) for j in range(2) for i in range(2)]
    zones += [(i * 0.8 - 0.3, 1.3, i * 0.8 + 0.5, 2.3) for i in range(2)]
    left, top, right, bottom = np.array(zones).T[:, :, None]
    return left + (right - left) * x, top + (bottom - top) * y


_X, _Y = _template()


def describe(frame: Frame, boxes: F32) -> F32:
    """(n, SIZE) float32: the luma, then the U, then the V of the parts of each face, boxes (n, 4) xyxy px; NaN where half of
    a part or more is outside the picture."""
    found = np.full((len(boxes), SIZE), np.nan, np.float32)
    usable = np.isfinite(boxes).all(axis=1)
    x0, y0, x1, y1 = boxes[usable].T[:, :, None, None]
    x, y = x0 + (x1 - x0) * _X, y0 + (y1 - y0) * _Y
    inside = (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    column = np.where(inside, x, 0).astype(np.intp)
    row = np.where(inside, y, 0).astype(np.intp)
    counts = inside.sum(axis=2)
    means = np.concatenate(
        [
            (plane[row // scale, column // scale] * inside).sum(axis=2) / np.maximum(counts, 1)
            for plane, scale in ((frame.y, 1), (frame.u, 2), (frame.v, 2))
        ],
        axis=1,
    )
    found[usable] = np.where(np.tile(counts > POINTS**2 // 2, 3), means, np.nan)
    return found


def likeness(known: F32, found: F32) -> F64:
    """(n,): log-odds, of each of n pairs of what is known of a track and what is found, that they are the same person, within
    MOST_AGAINST to MOST_FOR; 0 where nothing is known."""
    difference = np.abs(known - found) * WEIGHT
    comparable = np.isfinite(difference)
    parts = comparable.sum(axis=1) / 3
    mean = np.where(comparable, difference, 0).sum(axis=1) / np.maximum(3 * parts, 1)
    odds = np.clip((ALIKE - mean) / PER_NAT, MOST_AGAINST, MOST_FOR)
    return odds * (parts / PARTS)


def remember(known: F32, found: F32, since_s: F64) -> F32:
    """`known` (n, SIZE) moved on to `found`, the more the longer ago (n,) it was looked at."""
    weight = (1 - np.exp(-since_s / MEMORY_S))[:, None]
    mixed = known + weight * (found - known)
    return np.where(np.isnan(found), known, np.where(np.isnan(known), found, mixed)).astype(np.float32)

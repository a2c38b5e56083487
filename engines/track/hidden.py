"""Faces that slip behind somebody. A detector draws its box around what is left of them, sure of it nearly to the end; what goes on where
they go is the side that is still seen."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track.kalman import F64
from engines.track.memory import SIZE, Found

TOUCHES_HEIGHTS: Final = 0.15
"""A side that begins within this of somebody nearer is taken for the other's edge."""
NEARER: Final = 1.1
"""Who is nearer has a face this much higher."""


def completed(found: Found, which: NDArray[np.intp], known: F64) -> F64:
    """(4, m) centre x, centre y, width, height px of the detections `which`: where the left or the right side of one is somebody
    else's edge, the box goes on behind that as far as the face is wide, by what its track remembers, `known` (ROWS, m)."""
    box, measured = found.edges[:, which], found.centred[:, which].copy()
    height = measured[3]
    nearer = found.centred[3][None] > NEARER * height[:, None]
    beside = (
        np.minimum(box[3][:, None], found.edges[3]) - np.maximum(box[1][:, None], found.edges[1]) > height[:, None] / 2
    )
    slack = TOUCHES_HEIGHTS * height[:, None]
    middle = found.centred[0]
    left = nearer & beside & (middle < measured[0][:, None]) & (found.edges[2] > box[0][:, None] - slack)
    right = nearer & beside & (middle > measured[0][:, None]) & (found.edges[0] < box[2][:, None] + slack)
    on_left, on_right = left.any(axis=1), right.any(axis=1)
    missing = np.maximum(np.exp(known[SIZE][0]) - measured[2], 0) * (on_left != on_right)
    measured[2] += missing
    measured[0] += np.where(on_left, -0.5, 0.5) * missing
    return measured

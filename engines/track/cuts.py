"""Scene cuts, from every twentieth luma pixel: after one, what was tracked before protects nobody.

A flash or a spotlight changes as much of a picture as a cut does, but under any light the brighter of two neighbours stays the brighter.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import U8

STRIDE_PX: Final = 20
LEAST_LEVELS: Final = 12.0
TIMES_MEDIAN: Final = 3.0
MEMORY_FRAMES: Final = 30
LEAST_STEP: Final = 16
"""Levels between two neighbours that are surely no noise."""
LEAST_STEPS: Final = 30
SAME_ORDER: Final = 0.85
"""Of the neighbours a step apart in two pictures, the share in the same order: on real clips .46 to .82 across cuts; under flashes and
with half of the picture lit anew .89 and more (.77 to .88 about one dancer who fills the picture)."""


class CutDetector:
    """Tells the first frame of a new picture from the next frame of the same one."""

    def __init__(self) -> None:
        self._last: U8 | None = None
        self._changes: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def step(self, y: U8) -> bool:
        """True when `y` (h, w) does not go on from the frame before: after a cut, a change of size, and at first."""
        thumb = y[::STRIDE_PX, ::STRIDE_PX].copy()
        last, self._last = self._last, thumb
        if last is None or last.shape != thumb.shape:
            self._changes.clear()
            return True
        change = float(np.abs(thumb.astype(np.int16) - last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._changes.append(change)
        return change > LEAST_LEVELS and change > TIMES_MEDIAN * usual and not only_light(last, thumb)


def only_light(before: U8, after: U8) -> bool:
    """Whether two pictures (h, w) differ as by their light alone."""
    was, now = steps(before), steps(after)
    clear = (np.abs(was) >= LEAST_STEP) & (np.abs(now) >= LEAST_STEP)
    same = (was[clear] > 0) == (now[clear] > 0)
    return len(same) >= LEAST_STEPS and float(same.mean()) >= SAME_ORDER


def steps(picture: U8) -> NDArray[np.int16]:
    """From each pixel to those one and two further right and down."""
    levels = picture.astype(np.int16)
    right = [levels[:, by:] - levels[:, :-by] for by in (1, 2)]
    down = [levels[by:] - levels[:-by] for by in (1, 2)]
    return np.concatenate([part.ravel() for part in (*right, *down)])

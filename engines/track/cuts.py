"""Scene cuts, from every twentieth luma pixel: after one, what was tracked before protects nobody.

A flash or a spotlight changes as much of a picture as a cut does, but under any light the brighter of two neighbours stays the brighter.
That is likely and not sure: it may keep people's tracks, and nothing that uncovers anybody may rest on it.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
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
"""Of the neighbours a step apart in two pictures, the share in the same order: .46 to .82 across twelve cuts in and between real clips;
with flashes and a spotlight on half of the picture drawn into them .89 and more (.77 to .88 about one dancer who fills the picture)."""


class Change(IntEnum):
    """What a picture is to the one before it, the later the less they have in common."""

    NONE = 0
    """The next frame of the same."""
    LIGHT = 1
    """Much has changed, by its light as it seems."""
    CUT = 2
    """Another picture."""


class CutDetector:
    """Tells the first frame of a new picture from the next frame of the same one."""

    def __init__(self) -> None:
        self._last: U8 | None = None
        self._changes: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def step(self, y: U8) -> Change:
        """What `y` (h, w) is to the frame before; CUT too after a change of size, and at first."""
        thumb = y[::STRIDE_PX, ::STRIDE_PX].copy()
        last, self._last = self._last, thumb
        if last is None or last.shape != thumb.shape:
            self._changes.clear()
            return Change.CUT
        change = float(np.abs(thumb.astype(np.int16) - last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._changes.append(change)
        if change <= LEAST_LEVELS or change <= TIMES_MEDIAN * usual:
            return Change.NONE
        return Change.LIGHT if same_order(last, thumb) else Change.CUT


def same_order(before: U8, after: U8) -> bool:
    """Whether of the pixels beside each other in two pictures (h, w) it is mostly the same ones that are the brighter."""
    was, now = slopes(before), slopes(after)
    clear = (np.abs(was) >= LEAST_STEP) & (np.abs(now) >= LEAST_STEP)
    same = (was[clear] > 0) == (now[clear] > 0)
    return len(same) >= LEAST_STEPS and float(same.mean()) >= SAME_ORDER


def slopes(picture: U8) -> NDArray[np.int16]:
    """From each pixel to those one and two further right and down."""
    levels = picture.astype(np.int16)
    right = [levels[:, by:] - levels[:, :-by] for by in (1, 2)]
    down = [levels[by:] - levels[:-by] for by in (1, 2)]
    return np.concatenate([part.ravel() for part in (*right, *down)])

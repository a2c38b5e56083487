"""Scene cuts, from every twentieth luma pixel: after one, what was tracked before protects nobody."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from engines.frame import U8

STRIDE_PX: Final = 20
LEAST_LEVELS: Final = 12.0
TIMES_MEDIAN: Final = 3.0
MEMORY_FRAMES: Final = 30


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
        return change > LEAST_LEVELS and change > TIMES_MEDIAN * usual

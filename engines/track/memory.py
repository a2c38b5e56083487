"""What is remembered of tracks besides their filters: where and how large they were before, and how well they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
from engines.track.kalman import F64

LAST: Final = slice(0, 4)
"""Centre x, centre y, width, height px of the last measurement."""
OLD, OLD_S, SLOW, SIZE = slice(4, 6), 6, slice(7, 9), slice(9, 11)
"""Centre px and the time it had then, as means over OLD_LIFE_S; the centre over SLOW_LIFE_S; log width, log height."""
SEEN_S, SURE_S, SCORE, TREND, HITS = range(11, 16)
"""Times of the last measurement and of the last with a high score; its score and how scores change; how many were high."""
ROWS: Final = 16
OLD_LIFE_S: Final = 0.15
SLOW_LIFE_S: Final = 0.6
SIZE_LIFE_S: Final = 1.5
SIZE_MOST: Final = 0.5
"""The most that one measurement changes the long-term size."""

_MEANS = slice(4, 11)
_LIVES = np.array((OLD_LIFE_S,) * 3 + (SLOW_LIFE_S,) * 2 + (SIZE_LIFE_S,) * 2)[:, None]
_TIMES = np.array((OLD_S, SEEN_S, SURE_S))


@dataclass(frozen=True, slots=True)
class Found:
    """The detections of one frame that a filter can take in: `index` (n,) among all of them; `centred` (4, n) centre x,
    centre y, width, height px; `edges` (4, n) left, top, right, bottom px; `size` (2, n) log width and height; `scores` (n,);
    `noise` (4, n) heights; `looks` (n, SIZE), None without a picture."""

    index: NDArray[np.int32]
    centred: F64
    edges: F64
    size: F64
    scores: F64
    noise: F64
    looks: F32 | None

    def __len__(self) -> int:
        return len(self.index)


class Memory:
    """`table` (ROWS, n): a column per track, the rows named above."""

    def __init__(self) -> None:
        self.table = np.zeros((ROWS, 0))

    def update(
        self, rows: NDArray[np.intp], found: Found, which: NDArray[np.intp], sure: NDArray[np.bool_], now: float
    ) -> None:
        """Take in the detections `which` of these `rows`; `sure` (m,): those with a high score."""
        table, centred = self.table.take(rows, axis=1), found.centred.take(which, axis=1)
        scores = found.scores[which]
        target = np.empty((7, len(rows)))
        target[0:2] = target[3:5] = centred[:2]
        target[2] = now
        target[5:] = found.size.take(which, axis=1)
        weight = -np.expm1((table[SEEN_S] - now) / _LIVES)
        weight[5:] = np.minimum(weight[5:], SIZE_MOST) * scores
        target -= table[_MEANS]
        target *= weight
        table[_MEANS] += target
        table[LAST] = centred
        table[TREND] += 0.5 * (scores - table[SCORE] - table[TREND])
        table[SCORE], table[SEEN_S] = scores, now
        table[SURE_S, sure] = now
        table[HITS] += sure
        self.table[:, rows] = table

    def add(self, found: Found, which: NDArray[np.intp], sure: NDArray[np.bool_], now: float) -> None:
        """Begin with the detections `which`."""
        begun = np.zeros((ROWS, len(which)))
        begun[LAST] = found.centred[:, which]
        begun[OLD] = begun[SLOW] = begun[0:2]
        begun[SIZE] = found.size[:, which]
        begun[_TIMES] = now
        begun[SCORE], begun[HITS] = found.scores[which], sure
        self.table = np.concatenate((self.table, begun), axis=1)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the columns where `mask` (n,) is false."""
        self.table = self.table[:, mask]

    def set_back(self, by_s: float) -> None:
        """The clock has been set back by so much."""
        self.table[_TIMES] -= by_s

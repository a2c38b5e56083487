"""Two whose boxes overlapped and now part: have their tracks gone on with each other's person?

While boxes overlap, each frame asks for a choice between two who look much the same, and one wrong choice lasts. When they part
there is more to go by: where each stood before, how large it was, which of the two was nearer the camera. What the pair is
like is told here; a small network, learnt by `fancam train tracker`, says how likely it is that they were exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track.kalman import F64, VALUE, VELOCITY, BoxFilters
from engines.track.memory import SIZE, Found, Memory
from engines.track.pairs import F32, Rows

MEET: Final = 0.3
"""Intersection over union of one's expected box with the other's detection from which two cross ..."""
PART: Final = 0.2
"""... and below which they have parted, once both are seen."""
NO_DOUBT: Final = 10.0
"""The margin of a choice that needed no weighing."""
LEAST_ODDS: Final = -8.0
"""Log-odds that count for a pair out of reach."""
MOST: Final = 3.0
"""What lengths, speeds and sizes count at most."""
LONGEST_S: Final = 3.0
MOST_LOOKS: Final = 50
FEATURES: Final = 17

SPEEDS, SIZES = slice(2, 4), slice(4, 7)
"""Rows of a `State`."""
State = NDArray[np.float64]
"""(7, 2): of two tracks the centre x and the lower edge px, the velocity px/s along both, log width, log height and their difference."""


@dataclass(slots=True)
class Crossing:
    """What is known of two tracks since they met: when that was, and how they were `before`, as measured in that very frame; how
    much they have overlapped at most; by how many nats the choice made was better than its opposite, at the least; in how many
    frames they were looked for, and in how many of these only one was seen."""

    met_s: float
    before: State
    height: float
    overlap: float = 0.0
    margin: float = NO_DOUBT
    looks: int = 0
    single: int = 0

    def features(self, after: State, now: float) -> F32:
        """(FEATURES,) what the network is told about the parting; lengths are in heights."""
        unit = np.ones((7, 1))
        unit[:4] = 1 / self.height
        was, now_is = self.before * unit, after * unit
        apart = np.abs(now_is - was)
        crosswise = np.abs(now_is[:, ::-1] - was)
        gain = (apart - crosswise).sum(axis=1)
        speeds = np.hypot(*apart[SPEEDS]).sum() - np.hypot(*crosswise[SPEEDS]).sum()
        turned = (now_is[:, 1] - now_is[:, 0]) * (was[:, 0] - was[:, 1])
        out = np.empty(FEATURES, np.float32)
        out[:2], out[2], out[3:6] = gain[:2], speeds, gain[SIZES]
        out[6:9], out[9:12] = turned[:3], turned[SIZES]
        np.clip(out[:12], -MOST, MOST, out=out[:12])
        out[12:14] = self.margin, min(now - self.met_s, LONGEST_S)
        out[14:16] = self.overlap, self.single / self.looks
        out[16] = min(self.looks, MOST_LOOKS) / MOST_LOOKS
        return out


@dataclass(frozen=True, slots=True)
class Parting:
    """`rows` of the two tracks that parted in this frame, when they had met and when this is, and what the network is `told`
    (FEATURES,)."""

    rows: tuple[int, int]
    met_s: float
    time_s: float
    told: F32


@dataclass(frozen=True, slots=True)
class Weighed:
    """The log-odds (n,) of the pairs of a `track` (n,) and a `detection` (n,) that were in doubt in this frame."""

    track: Rows
    detection: Rows
    odds: F64

    def by_pair(self) -> dict[tuple[int, int], float]:
        pairs = zip(self.track.tolist(), self.detection.tolist(), strict=True)
        return dict(zip(pairs, self.odds.tolist(), strict=True))


NOTHING: Final = Weighed(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))


class Partings:
    """The crossings of one stream's tracks, which are known by their rows."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Crossing] = {}

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Only the rows of `mask` (n,) stay, in their order."""
        if self._open:
            place = np.where(mask, np.cumsum(mask) - 1, -1).tolist()
            moved = {(place[a], place[b]): crossing for (a, b), crossing in self._open.items()}
            self._open = {rows: crossing for rows, crossing in moved.items() if min(rows) >= 0}

    def set_back(self, by_s: float) -> None:
        """The clock has been set back by so much."""
        for crossing in self._open.values():
            crossing.met_s -= by_s

    def exchange(self, a: int, b: int, since_s: float) -> None:
        """Rows `a` and `b` have shown each other's person `since_s`: what they had met before goes along with the persons."""
        place = {a: b, b: a}
        moved: dict[tuple[int, int], Crossing] = {}
        for (one, other), crossing in self._open.items():
            if crossing.met_s < since_s:
                one, other = place.get(one, one), place.get(other, other)
            if one > other:
                one, other = other, one
                crossing.before = crossing.before[:, ::-1]
            moved.setdefault((one, other), crossing)
        self._open = moved

    def step(
        self,
        filters: BoxFilters,
        memory: Memory,
        iou: F64,
        weighed: Weighed,
        found: Found,
        track_of: Rows,
        known: NDArray[np.bool_],
        now: float,
    ) -> list[Parting]:
        """Take in a frame after its measurements: `iou` (tracks, detections) of expected boxes with detections, `track_of`
        (detections,), and which tracks are `known` (tracks,) well enough to be exchanged. Returns who parted."""
        over = _overlapping(iou, track_of, known)
        if not self._open and not over:
            return []
        for pair, overlap in over.items():
            crossing = self._open.get(pair)
            if crossing is None:
                crossing = self._open[pair] = _met(filters, memory, pair, now)
            crossing.overlap = max(crossing.overlap, overlap)
        detection = {row: which for which, row in enumerate(track_of.tolist()) if row >= 0}
        odds, parted = weighed.by_pair(), []
        for pair, crossing in self._open.items():
            a, b = detection.get(pair[0]), detection.get(pair[1])
            crossing.looks += 1
            if odds:
                crossing.margin = min(crossing.margin, _margin(odds, pair, a, b))
            if a is None or b is None:
                crossing.single += (a is None) != (b is None)
            elif max(iou[pair[0], b], iou[pair[1], a]) < PART:
                told = crossing.features(_after(filters, found, pair, (a, b)), now)
                parted.append(Parting(pair, crossing.met_s, now, told))
        for parting in parted:
            del self._open[parting.rows]
        return parted


def _overlapping(iou: F64, track_of: Rows, known: NDArray[np.bool_]) -> dict[tuple[int, int], float]:
    """Pairs of known tracks of which one's expected box overlaps the other's detection by more than MEET, and by how much."""
    one, detection = (iou > MEET).nonzero()
    other = track_of[detection]
    meet = (one != other) & (other >= 0) & known[one] & known[other]
    over: dict[tuple[int, int], float] = {}
    if meet.any():
        one, detection, other = one[meet], detection[meet], other[meet]
        for a, b, overlap in zip(one.tolist(), other.tolist(), iou[one, detection].tolist(), strict=True):
            pair = (a, b) if a < b else (b, a)
            over[pair] = max(over.get(pair, 0.0), overlap)
    return over


def _met(filters: BoxFilters, memory: Memory, pair: tuple[int, int], now: float) -> Crossing:
    rows = list(pair)
    state, sizes = filters.state[:, :, rows], memory.table[SIZE, rows]
    x, y, _, height = state[:, VALUE]
    before = np.stack((x, y + height / 2, *state[:2, VELOCITY], *sizes, sizes[0] - sizes[1]))
    return Crossing(now, before, max(float(height.mean()), 1.0))


def _after(filters: BoxFilters, found: Found, pair: tuple[int, int], detections: tuple[int, int]) -> State:
    which = list(detections)
    sizes = found.size[:, which]
    speeds = filters.state[:2, VELOCITY, list(pair)]
    return np.stack((found.centred[0, which], found.edges[3, which], *speeds, *sizes, sizes[0] - sizes[1]))


def _margin(odds: dict[tuple[int, int], float], pair: tuple[int, int], a: int | None, b: int | None) -> float:
    """By how much what was chosen for the two tracks is better than the opposite."""
    margin = 0.0
    for row, other, detection in ((*pair, a), (*pair[::-1], b)):
        if detection is not None:
            own = odds.get((row, detection))
            if own is None:
                return NO_DOUBT
            margin += max(own, LEAST_ODDS) - max(odds.get((other, detection), LEAST_ODDS), LEAST_ODDS)
    return margin if a is not None or b is not None else NO_DOUBT

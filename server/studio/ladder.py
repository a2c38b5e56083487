"""Which rung each stream stands on: pure, with the time and the streams' demands as arguments.

Streams go down as far as it takes and come back one rung at a time, as many of them at once as there is room for. Streams on
higher rungs go down first and come back last, so that no two that have been there for a while stand more than one rung apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FULL_SIDE_PX: Final = 640
SMALL_SIDE_PX: Final = 416


@dataclass(frozen=True, slots=True)
class Rung:
    """How a stream is worked on. Of `every` frames one is detected in; the others `between` them are shown with predicted
    boxes, by feeds that may show frames that were not analysed, or by none. `long_side`: px of the network's input."""

    name: str
    every: int
    between: bool
    long_side: int
    preset: str


RUNGS: Final = (
    Rung("full", 1, True, FULL_SIDE_PX, "superfast"),
    Rung("every 2nd frame detected", 2, True, FULL_SIDE_PX, "superfast"),
    Rung("every 3rd frame detected", 3, True, FULL_SIDE_PX, "superfast"),
    Rung("smaller network input", 3, True, SMALL_SIDE_PX, "superfast"),
    Rung("lower frame rate", 3, False, SMALL_SIDE_PX, "superfast"),
    Rung("faster encoding", 3, False, SMALL_SIDE_PX, "ultrafast"),
)
LOWEST: Final = len(RUNGS) - 1

MOST_LOAD: Final = 0.85
"""Of the machine's capacity: above it streams go down, until they are back at MOST_LOAD."""
CALM_LOAD: Final = 0.7
"""A stream goes up when the load stays below this with it, and new streams are refused when it would not stay below."""
MOST_MISSED: Final = 0.05
"""Of a stream's frames in a period."""
STRAIN_S: Final = 1.0
"""So long there must be misses before a stream goes down on their account: one bad moment is none."""
SETTLE_S: Final = 2.0
"""After a step on account of misses the next one waits, to see what it has done."""
CALM_S: Final = 5.0
"""How long a stream waits before it goes up."""
RELIEF: Final = 0.2
"""A step on account of misses takes so much off the load: with many streams one of them alone would change little."""
REGRET_S: Final = 10.0
"""A step up that leads to misses within this time was wrong: the wait before the next one doubles."""
MOST_CALM_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one stream takes: `shares` of the machine's capacity on each rung, and which share of its frames it has `missed`."""

    shares: tuple[float, ...]
    missed: float = 0.0


class Ladder:
    """The rungs of all streams. Not thread-safe."""

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self._changed_s = self._raised_s = float("-inf")
        self._strained_s: float | None = None
        self._calm_s = CALM_S

    def rung(self, stream: int) -> Rung:
        return RUNGS[self._at.get(stream, 0)]

    def load(self, demands: Mapping[int, Demand]) -> float:
        """The share of capacity that all streams take on their present rungs."""
        return sum(demand.shares[self._at.get(stream, 0)] for stream, demand in demands.items())

    def step(self, demands: Mapping[int, Demand], now_s: float) -> None:
        """Move streams, called about once a second; streams without a demand have ended, new ones begin where others are."""
        begin = max((at for stream, at in self._at.items() if stream in demands), default=0)
        self._at = {stream: self._at.get(stream, begin) for stream in demands}
        missing = max((demand.missed for demand in demands.values()), default=0.0) > MOST_MISSED
        if not missing:
            self._strained_s = None
        elif self._strained_s is None:
            self._strained_s = now_s
        if self._lower_by_load(demands):
            self._changed_s = now_s
        elif self._strained_s is not None:
            if now_s - self._strained_s >= STRAIN_S:
                self._lower_by_misses(demands, now_s)
        else:
            self._raise(demands, now_s)

    def _lower_by_load(self, demands: Mapping[int, Demand]) -> bool:
        lowered = False
        while self.load(demands) > MOST_LOAD and (stream := self._next_down(demands)) is not None:
            self._at[stream] += 1
            lowered = True
        return lowered

    def _lower_by_misses(self, demands: Mapping[int, Demand], now_s: float) -> None:
        if now_s - self._raised_s < REGRET_S:
            self._calm_s = min(2 * self._calm_s, MOST_CALM_S)
            self._raised_s = float("-inf")
        if now_s - self._changed_s < SETTLE_S:
            return
        enough = (1 - RELIEF) * self.load(demands)
        while (stream := self._next_down(demands)) is not None:
            self._at[stream] += 1
            self._changed_s = now_s
            if self.load(demands) <= enough or len(demands) == 1:
                return

    def _raise(self, demands: Mapping[int, Demand], now_s: float) -> None:
        if now_s - self._changed_s < self._calm_s:
            return
        lowered = sorted((stream for stream, at in self._at.items() if at > 0), key=lambda s: (-self._at[s], s))
        if not lowered:
            self._calm_s = CALM_S
        for stream in lowered:
            at, shares = self._at[stream], demands[stream].shares
            if self.load(demands) - shares[at] + shares[at - 1] > CALM_LOAD:
                return
            self._at[stream] = at - 1
            self._changed_s = self._raised_s = now_s

    def _next_down(self, demands: Mapping[int, Demand]) -> int | None:
        """Of the streams on the highest rung the one that takes most, unless all are on the lowest."""
        able = [stream for stream, at in self._at.items() if at < LOWEST]
        return min(able, key=lambda s: (self._at[s], -demands[s].shares[self._at[s]], s)) if able else None

"""A delay line: frames wait a second (files) or a few frames (live), so that what is seen later also tells where a face was
before."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from engines.frame import F32, Tracks

DELAY_S: Final = 1.1
"""A second, and a few frames more."""
MOST_FRAMES: Final = 120
"""Frames that wait at most, whatever their times say."""
VELOCITY_LIFE_S: Final = 0.4
VELOCITY_OVER_S: Final = 0.1
DOUBT_PER_S: Final = 0.5
"""Of the face's size, added all around for each second to the nearest look at it."""


class Seen(Protocol):
    """What the delay line needs to know of an analysed frame."""

    @property
    def tracks(self) -> Tracks: ...
    @property
    def shot(self) -> int: ...
    @property
    def time_s(self) -> float: ...


Item = TypeVar("Item", bound=Seen)


class Lookahead(Generic[Item]):
    """Holds analysed frames back by `delay_s`, or while `frames` at most wait; each comes out with the boxes that its own
    moment could not know.

    These cover a track from as long before it was first measured and through the gaps between two measurements, within
    one shot. After its last measurement the tracker's own prediction goes on.
    """

    def __init__(self, delay_s: float = DELAY_S, frames: int = MOST_FRAMES) -> None:
        self._delay_s, self._frames = delay_s, frames
        self._waiting: deque[Item] = deque()
        self._paths: dict[tuple[int, int], Path] = {}

    def push(self, item: Item) -> list[tuple[Item, F32]]:
        """Take in the next frame and return those that have waited long enough, oldest first, each with boxes (n, 4)
        xyxy px to be covered too."""
        self._forget(self._waiting[0].time_s if self._waiting else item.time_s)
        self._waiting.append(item)
        tracks = item.tracks
        for i in np.flatnonzero(tracks.measured).tolist():
            path = self._paths.setdefault((int(tracks.ids[i]), item.shot), Path())
            path.add(item.time_s, tracks.boxes[i])
        ready = []
        while self._waiting and (
            len(self._waiting) > self._frames or item.time_s - self._waiting[0].time_s >= self._delay_s
        ):
            ready.append(self._release())
        return ready

    def flush(self) -> list[tuple[Item, F32]]:
        """All that still wait, at the end of the video."""
        return [self._release() for _ in range(len(self._waiting))]

    def fills(self, item: Item) -> dict[int, F32]:
        """Whose the boxes are that a frame just returned came with, in their order: track → box (4,) xyxy px; to be asked
        before the next `push`."""
        here = ((track_id, path) for (track_id, shot), path in self._paths.items() if shot == item.shot)
        boxes = ((track_id, path.fill(item.time_s, self._delay_s)) for track_id, path in here)
        return {track_id: box for track_id, box in boxes if box is not None}

    def _release(self) -> tuple[Item, F32]:
        item = self._waiting.popleft()
        return item, np.array([*self.fills(item).values()], np.float32).reshape(-1, 4)

    def _forget(self, before_s: float) -> None:
        for key, path in list(self._paths.items()):
            path.forget(before_s)
            if path.times[-1] < before_s - 2 * self._delay_s:
                del self._paths[key]


class Path:
    """Where one track was measured, within one shot."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.boxes: list[F32] = []

    def add(self, time_s: float, box: F32) -> None:
        if not self.times or time_s > self.times[-1]:
            self.times.append(time_s)
            self.boxes.append(box)

    def forget(self, before_s: float) -> None:
        """Drop the looks before that time, but for the last of them."""
        gone = max(bisect_left(self.times, before_s) - 1, 0)
        del self.times[:gone], self.boxes[:gone]

    def fill(self, time_s: float, reach_s: float) -> F32 | None:
        """A generous box for a moment without a look: between two of them, or within `reach_s` before the first."""
        after = bisect_left(self.times, time_s)
        if after == len(self.times) or self.times[after] == time_s:
            return None
        if after > 0:
            nearest_s = min(time_s - self.times[after - 1], self.times[after] - time_s)
            box = self._between(time_s, after)
        else:
            nearest_s = self.times[0] - time_s
            if nearest_s > reach_s:
                return None
            drift = self._first_velocity() * VELOCITY_LIFE_S * (1 - np.exp(-nearest_s / VELOCITY_LIFE_S))
            box = (self.boxes[0] - np.tile(drift, 2)).astype(np.float32)
        margin = DOUBT_PER_S * nearest_s * float((box[2:] - box[:2]).max())
        return np.asarray(box + np.array((-margin, -margin, margin, margin)), np.float32)

    def _between(self, time_s: float, after: int) -> F32:
        """The straight line through the looks `after - 1` and `after`."""
        start, end = self.times[after - 1], self.times[after]
        share = np.float32((time_s - start) / (end - start))
        return self.boxes[after - 1] * (1 - share) + self.boxes[after] * share

    def _first_velocity(self) -> F32:
        """(2,) px/s of the centre, over the first tenth of a second."""
        later = min(bisect_left(self.times, self.times[0] + VELOCITY_OVER_S), len(self.times) - 1)
        if later == 0:
            return np.zeros(2, np.float32)
        moved = self.boxes[later] - self.boxes[0]
        return ((moved[:2] + moved[2:]) / (2 * (self.times[later] - self.times[0]))).astype(np.float32)

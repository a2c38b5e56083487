"""Whom a fancam follows, and where that face is in each frame: live a few frames late, or with all that came later."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from engines.frame import F32, Detections, Tracks
from engines.render.camera import BODY_FACES
from engines.render.smooth import F64, LivePath, smooth_whole

HELD_S: Final = 1.0
"""A live fancam stays so long where somebody was last seen."""
OUT_OF_SIGHT: Final = "out of sight"
"""What the slate says then."""
NOBODY: Final[Mapping[int, F32]] = {}
PAST_S: Final = 0.6
"""A look tells so far about the path around it, for all that can be seen."""


@dataclass(frozen=True, slots=True)
class Place:
    """A face in one frame: `face` (4,) xyxy px and `velocity` (2,) px/s of its centre, smoothed; not `seen`: it is filled,
    this frame has no look at it."""

    face: F32
    velocity: F64
    seen: bool

    @classmethod
    def of(cls, path: F64, velocity: F64, seen: bool) -> Place:
        """From centre, width and height (4,)."""
        half = path[2:] / 2
        face = np.concatenate((path[:2] - half, path[:2] + half)).astype(np.float32)
        return cls(face, velocity[:2], seen)


def look_at(detections: Detections, tracks: Tracks, row: int) -> F64 | None:
    """Centre, width and height (4,) px of the detection that a track was measured by in this very frame; None without."""
    index = int(tracks.detection[row])
    if not tracks.measured[row] or not 0 <= index < len(detections):
        return None
    return centred(detections.boxes[index])


def centred(box: F32) -> F64:
    """Centre, width and height (4,) of a box xyxy."""
    x0, y0, x1, y1 = (float(value) for value in box)
    return np.array(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))


class Follower:
    """Follows one track live, `delay` frames late; when it has ended, the one that surely is the same member."""

    def __init__(self, track_id: int, delay: int = 0) -> None:
        self.track_id = track_id
        self.member: int | None = None
        """Whom the track was last surely recognised as."""
        self.there = True
        """Whether the latest frame has the track."""
        self._delay = delay
        self._begin()

    def _begin(self) -> None:
        self._path = LivePath(self._delay, BODY_FACES)
        self._waiting: deque[tuple[float, bool, bool]] = deque()
        """Of frames to come: the time, whether it is known where the face is, and whether it is seen."""
        self._last_known_s = -np.inf

    def push(
        self, detections: Detections, tracks: Tracks, time_s: float, turned: Mapping[int, F32] = NOBODY
    ) -> Place | None:
        """Take in a frame and return the place in the frame `delay` before it; None when nobody has been seen there for
        HELD_S, or not yet. `turned`: by their tracks, where faces (4,) xyxy px must be that are not seen."""
        row = self._row(tracks)
        self.there = row is not None or self.track_id in turned
        look = look_at(detections, tracks, row) if row is not None else None
        seen = look is not None
        if look is None and self.track_id in turned:
            look = centred(turned[self.track_id])
        self._waiting.append((time_s, look is not None, seen))
        if look is None and row is not None and not self._path.begun:
            look, self._last_known_s = centred(tracks.boxes[row]), time_s  # where it is expected
        path = self._path.push(time_s, look)
        if len(self._waiting) <= self._delay:
            return None
        then_s, known, seen = self._waiting.popleft()
        if known:
            self._last_known_s = then_s
        held = any(later for _, later, _ in self._waiting) or then_s - self._last_known_s <= HELD_S
        return Place.of(*path, seen) if path is not None and held else None

    def _row(self, tracks: Tracks) -> int | None:
        row = tracks.index_of(self.track_id)
        if tracks.members is None:
            return row
        if row is not None:
            if tracks.members[row] >= 0:
                self.member = int(tracks.members[row])
            return row
        if self.member is None:
            return None
        same = np.flatnonzero(tracks.members == self.member)
        if len(same) != 1:
            return None
        waiting = [(time_s, False, False) for time_s, _, _ in self._waiting]
        self.track_id = int(tracks.ids[same[0]])
        self._begin()
        self._waiting.extend(waiting)
        return int(same[0])


class Paths:
    """Where each track was seen in each shot, smoothed with all looks around a moment, before and after."""

    def __init__(self, max_gap_s: float) -> None:
        self._max_gap_s = max_gap_s
        self._paths: dict[tuple[int, int], Path] = {}

    def add(
        self,
        detections: Detections,
        tracks: Tracks,
        shot: int,
        time_s: float,
        turned: Mapping[int, F32] = NOBODY,
    ) -> None:
        """`turned`: by their tracks, where faces (4,) xyxy px must be that are not seen."""
        for track, box in turned.items():
            self._paths.setdefault((track, shot), Path()).add(time_s, centred(box), seen=False)
        for row in np.flatnonzero(tracks.measured).tolist():
            look = look_at(detections, tracks, row)
            if look is not None:
                self._paths.setdefault((int(tracks.ids[row]), shot), Path()).add(time_s, look)

    def at(self, track_id: int, shot: int, time_s: float) -> Place | None:
        """The track's place; None before its first and after its last look, and between two that lie further apart than the
        longest gap."""
        path = self._paths.get((track_id, shot))
        return path.at(time_s, self._max_gap_s) if path else None

    def spans(self, shot: int, time_s: float) -> dict[int, float]:
        """Tracks that were seen in that shot at or before and at or after a moment: seconds from first to last look, as far as is
        known."""
        return {
            track: path.times[-1] - path.times[0]
            for (track, its_shot), path in self._paths.items()
            if its_shot == shot and path.times[0] <= time_s <= path.times[-1]
        }

    def forget(self, before_s: float) -> None:
        """What lies so far back that it says nothing about what is still to come."""
        for key, path in list(self._paths.items()):
            if path.times[-1] < before_s - PAST_S - self._max_gap_s:
                del self._paths[key]
            else:
                path.forget(before_s - PAST_S - self._max_gap_s)


class Path:
    """The looks at one track."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._looks: list[F64] = []
        self._seen: list[bool] = []
        self._smoothed: tuple[list[float], F64] = [], np.zeros((0, 4))
        self._until_s = -np.inf
        """Up to here the smoothed path stands, whatever comes."""

    def add(self, time_s: float, look: F64, *, seen: bool = True) -> None:
        if not self.times or time_s > self.times[-1]:
            self.times.append(time_s)
            self._looks.append(look)
            self._seen.append(seen)

    def forget(self, before_s: float) -> None:
        gone = max(bisect_left(self.times, before_s) - 1, 0)
        del self.times[:gone], self._looks[:gone], self._seen[:gone]

    def at(self, time_s: float, max_gap_s: float) -> Place | None:
        after = bisect_left(self.times, time_s)
        if after == len(self.times) or (after == 0 and self.times[0] != time_s):
            return None
        known = self.times[after] == time_s
        if not known and self.times[after] - self.times[after - 1] > max_gap_s + 1e-6:
            return None
        seen = known and self._seen[after]
        times, path = self._smooth(time_s)
        now = bisect_right(times, time_s) - 1
        if now + 1 == len(times) or times[now] == time_s:
            place = path[now]
            before, later = max(now - 1, 0), min(now + 1, len(times) - 1)
        else:
            share = (time_s - times[now]) / (times[now + 1] - times[now])
            place = path[now] * (1 - share) + path[now + 1] * share
            before, later = now, now + 1
        lasts = times[later] - times[before]
        return Place.of(place, (path[later] - path[before]) / lasts if lasts else np.zeros(4), seen)

    def _smooth(self, time_s: float) -> tuple[list[float], F64]:
        """Times and the path around a moment, with places in the gaps too, smoothed again only when there is more to know."""
        times = self._smoothed[0]
        if not times or time_s > self._until_s or time_s < times[0]:
            looks: list[F64 | None] = []
            times = []
            usual = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0
            for at, look in zip(self.times, self._looks, strict=True):
                missing = round((at - times[-1]) / usual) - 1 if times else 0
                for n in range(1, missing + 1):
                    times.append(times[-1] + (at - times[-1]) / (missing + 2 - n))
                    looks.append(None)
                times.append(at)
                looks.append(look)
            size = BODY_FACES * float(np.median([look[3] for look in self._looks]))
            self._smoothed = times, smooth_whole(times, looks, size)
            self._until_s = self.times[-1] - PAST_S
        return self._smoothed

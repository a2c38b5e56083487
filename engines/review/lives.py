"""Whose a cover is: the covers of a whole video, gathered into lives that a person can look at and decide about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.frame import Tracks
from engines.pipeline import Analysed
from engines.render.covers import Covers
from engines.track.associate import overlaps

SAME_OVERLAP: Final = 0.4
"""Intersection over union from which two boxes in neighbouring frames are the same place."""
GAP_S: Final = 0.5
"""A doubtful place that shows again within this goes on."""
LOOSE: Final = -1
"""What `Covers` calls a cover without a track, and the tracker its first unconfirmed track."""


class Known(Protocol):
    """What is needed of an analysed frame; its picture is not."""

    @property
    def item(self) -> Analysed: ...
    @property
    def extra_ids(self) -> tuple[int, ...]:
        """Whose the first covers are, which other frames tell of."""

    @property
    def covers(self) -> Covers: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """The covers of one frame: `boxes` (n, 4) int32 xyxy px, `lives` (n,) int64: whose each is."""

    boxes: NDArray[np.int32]
    lives: NDArray[np.int64]

    def of(self, life: int) -> NDArray[np.int32]:
        """(m, 4): the covers of a life."""
        return self.boxes[self.lives == life]


@dataclass(slots=True)
class Life:
    """A track's covers (`ident` > 0), also from before it was confirmed; or those of a doubtful place (`ident` < 0).

    `first` and `last` are frames; `score` is the best that was found.
    """

    ident: int
    first: int
    last: int
    score: float = 0.0


def gather(frames: Sequence[Known]) -> tuple[list[Moment], dict[int, Life]]:
    """The covers of each frame with their lives, and the lives in the order in which they begin."""
    names = _names(known.item.tracks for known in frames)
    places = Places()
    moments: list[Moment] = []
    lives: dict[int, Life] = {}
    for number, known in enumerate(frames):
        item, covers = known.item, known.covers
        ids = covers.ids.copy()
        ids[: len(known.extra_ids)] = known.extra_ids
        idents = np.array([names.get(int(ident), int(ident)) for ident in ids], np.int64)
        doubtful = np.flatnonzero(idents < 0)
        idents[doubtful] = places.continued(covers.boxes[doubtful], item.shot, item.time_s)
        moments.append(Moment(covers.boxes, idents))
        for ident, box in zip(idents.tolist(), covers.boxes, strict=True):
            life = lives.setdefault(ident, Life(ident, number, number))
            life.last, life.score = number, max(life.score, _score(item, ident, box))
    return moments, lives


def _names(tracks: Iterable[Tracks]) -> dict[int, int]:
    """Negative id → the id that the same track was given when it was confirmed, where that is beyond doubt."""
    names: dict[int, int] = {}
    latest = 0  # ids rise and are never used again
    before = Tracks.empty()
    for now in tracks:
        fresh = np.flatnonzero(now.ids > latest)
        gone = np.flatnonzero((before.ids < LOOSE) & ~np.isin(before.ids, now.ids))
        same = overlaps(now.boxes[fresh].astype(float), before.boxes[gone].astype(float)) > SAME_OVERLAP
        for row, column in np.argwhere(same):
            if same[row].sum() == same[:, column].sum() == 1:
                names[int(before.ids[gone[column]])] = int(now.ids[fresh[row]])
        latest = max(latest, int(now.ids.max(initial=0)))
        before = now
    return names


def _score(item: Analysed, ident: int, box: NDArray[np.int32]) -> float:
    """Of what was found in this frame: the track's, else the best within the cover; 0 for nothing."""
    if ident > 0:
        at = item.tracks.index_of(ident)
        return float(item.tracks.scores[at]) if at is not None and item.tracks.measured[at] else 0.0
    found = item.detections
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    inside = ((centres >= box[:2]) & (centres <= box[2:])).all(axis=1)
    return float(found.scores[inside].max(initial=0))


class Places:
    """Follows the covers that belong to no confirmed track from frame to frame, by where they are."""

    def __init__(self) -> None:
        self._last = 0
        self._shot = -1
        self._live: dict[int, tuple[float, NDArray[np.int32]]] = {}

    def continued(self, boxes: NDArray[np.int32], shot: int, time_s: float) -> list[int]:
        """Negative names of the next frame's covers (n, 4): each place goes on in one of them at most."""
        if shot != self._shot:
            self._shot, self._live = shot, {}
        self._live = {name: seen for name, seen in self._live.items() if time_s - seen[0] <= GAP_S}
        names = [0] * len(boxes)
        free = list(self._live)
        if len(boxes) and free:
            same = overlaps(boxes.astype(float), np.stack([self._live[name][1] for name in free]).astype(float))
            while same.max() > SAME_OVERLAP:
                row, column = divmod(int(same.argmax()), len(free))
                names[row] = free[column]
                same[row], same[:, column] = 0, 0
        for row, box in enumerate(boxes):
            if not names[row]:
                self._last -= 1
                names[row] = self._last
            self._live[names[row]] = time_s, box
        return names

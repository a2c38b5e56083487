"""Who is left uncovered in a frame: those who are surely shown by policy, and in doubt nobody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import Detections, Tracks
from engines.render.covers import ALWAYS_SCORE, Covers

SURE_SCORE: Final = 0.5
"""A detection from here on shows that a track is still where the face is that its fancam follows."""


def surely(tracks: Tracks, members: Collection[int]) -> NDArray[np.int64]:
    """(n,) ids of the tracks that are surely one of `members` (as in `Tracks.members`), by a detection of this very frame.

    When two tracks are said to be the same member, neither is.
    """
    if tracks.members is None or len(tracks.members) != len(tracks) or not members:
        return np.zeros(0, np.int64)
    sure = _seen(tracks) & (tracks.members >= 0)
    values, counts = np.unique(tracks.members[sure], return_counts=True)
    once = values[counts == 1]
    return tracks.ids[sure & np.isin(tracks.members, once) & np.isin(tracks.members, sorted(members))]


def followed(detections: Detections, tracks: Tracks, track_id: int) -> NDArray[np.int64]:
    """(0 or 1,) the track's id when it is seen in this very frame and touches nobody it could be confused with."""
    at = tracks.index_of(track_id)
    if at is None or not _seen(tracks)[at]:
        return np.zeros(0, np.int64)
    own = int(tracks.detection[at])
    others = np.arange(len(detections)) != own
    rivals = np.concatenate(
        (detections.boxes[others & ~(detections.scores < ALWAYS_SCORE)], np.delete(tracks.boxes, at, axis=0))
    )
    boxes = np.stack((detections.boxes[own], tracks.boxes[at]))
    # Not `not touching`, so that a box that is not a number counts as a rival.
    apart = (rivals[None, :, :2] >= boxes[:, None, 2:]) | (rivals[None, :, 2:] <= boxes[:, None, :2])
    alone = bool(apart.any(axis=2).all()) and bool(detections.scores[own] >= SURE_SCORE)
    return tracks.ids[[at]] if alone else np.zeros(0, np.int64)


def leave_out(covers: Covers, ids: NDArray[np.int64]) -> Covers:
    """The covers but those of the tracks `ids` themselves."""
    stay = ~np.isin(covers.ids, ids)
    return Covers(covers.boxes[stay], covers.ids[stay])


def _seen(tracks: Tracks) -> NDArray[np.bool_]:
    """(tracks,) those with an id of their own and a detection of this frame."""
    return tracks.confirmed & tracks.measured & (tracks.detection >= 0) & (tracks.ids > 0)

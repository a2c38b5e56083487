"""Who is left uncovered in a frame: those who are surely shown by policy, and in doubt nobody."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Detections, Tracks
from engines.render.covers import Covers, choose_covers, scores_to_cover
from engines.track.associate import overlaps

SURE_SCORE: Final = 0.5
"""A detection from here on shows that a track is still where the face is that its fancam follows."""
SAME_FACE: Final = 0.5
"""A detection without a track that overlaps a face's own so much (intersection over union) is that face found once more, by
another network or as another class."""


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
    others = ~_once_more(detections, tracks, tracks.ids[[at]])
    others[own] = False
    rivals = np.concatenate(
        (
            detections.boxes[others & ~(detections.scores < scores_to_cover(detections))],
            np.delete(tracks.boxes, at, axis=0),
        )
    )
    boxes = np.stack((detections.boxes[own], tracks.boxes[at]))
    # Not `not touching`, so that a box that is not a number counts as a rival.
    apart = (rivals[None, :, :2] >= boxes[:, None, 2:]) | (rivals[None, :, 2:] <= boxes[:, None, :2])
    alone = bool(apart.any(axis=2).all()) and bool(detections.scores[own] >= SURE_SCORE)
    return tracks.ids[[at]] if alone else np.zeros(0, np.int64)


def cover_all_but(
    shown: NDArray[np.int64],
    detections: Detections,
    tracks: Tracks,
    extra_boxes: F32 | None = None,
    *,
    wary: bool = False,
) -> Covers:
    """As `choose_covers`, without the covers of the faces that the tracks `shown` (ids) have in this frame."""
    if not len(shown):
        return choose_covers(detections, tracks, extra_boxes, wary=wary)
    scores = np.where(_once_more(detections, tracks, shown), np.float32(0), detections.scores)
    covers = choose_covers(replace(detections, scores=scores), tracks, extra_boxes, wary=wary)
    stay = ~np.isin(covers.ids, shown)
    return Covers(covers.boxes[stay], covers.ids[stay])


def _once_more(detections: Detections, tracks: Tracks, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(detections,) those without a track that are the face of one of these tracks, found once more."""
    own = tracks.detection[np.isin(tracks.ids, ids) & tracks.measured]
    if not len(own) or not len(detections):
        return np.zeros(len(detections), np.bool_)
    boxes = detections.boxes.astype(np.float64)
    with np.errstate(all="ignore"):  # boxes that are not finite are refused further on
        same = np.asarray((overlaps(boxes, boxes[own]) >= SAME_FACE).any(axis=1), np.bool_)
    same[tracks.detection[tracks.measured]] = False
    return same


def _seen(tracks: Tracks) -> NDArray[np.bool_]:
    """(tracks,) those with an id of their own and a detection of this frame."""
    return tracks.confirmed & tracks.measured & (tracks.detection >= 0) & (tracks.ids > 0)

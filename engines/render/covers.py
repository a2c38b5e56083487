"""What must be covered in a frame: every face found, every face lost a moment ago, grown by speed, age and doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Detections, Tracks, centres

SMALL_SCORE: Final = 0.15
LARGE_SCORE: Final = 0.3
"""Detections from here on are covered wherever they are: a small one costs little of the picture, and a large one has so much to be
known by that a low score means something else."""
SMALL_SHARE: Final = 0.025
LARGE_SHARE: Final = 0.15
"""Small and large, as shares of the picture's longer side; in between the score rises with the size's logarithm."""
DOUBTFUL_SCORE: Final = 0.1
"""Detections from here on are covered where a face was lost, and everywhere while the stream is wary (after a cut)."""
NEAR_SIZES: Final = 0.75
ALIKE: Final = 1.5
"""Near a lost face is what lies within NEAR_SIZES of it and is at most ALIKE times larger or smaller."""
GROW: Final = 1.45
"""A cover is an ellipse inscribed in the face's box times this: more than √2, so it holds the whole box."""
HOLD_S: Final = 1.0
"""A lost face stays covered this long along its prediction ..."""
HOLD_AT_EDGE_S: Final = 2.0
"""... and this long where the picture's edge cuts it, for it may still be half in."""
DOUBT: Final = 0.1
"""Of the face's size, added all around a face of score 0, and none at score 1."""
LEAD_S: Final = 0.03
"""A moving face is covered this far ahead and behind."""
SPREADS: Final = 1.5
"""Standard deviations of a predicted face's place added all around it, ..."""
SPREAD_MOST: Final = 0.2
"""... at most this much of its size."""


@dataclass(frozen=True, slots=True)
class Covers:
    """`boxes` (n, 4) int32 xyxy px, snapped outward to even pixels, may reach beyond the picture; `ids` (n,) int64: the
    track a cover belongs to, or -1."""

    boxes: NDArray[np.int32]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def without(self, boxes: NDArray[np.int32]) -> Covers:
        """These but for one cover of exactly each box of `boxes` (m, 4); a box that no cover has takes none away."""
        stay = np.ones(len(self), np.bool_)
        for box in boxes:
            same = np.flatnonzero(stay & (self.boxes == box).all(axis=1))
            stay[same[:1]] = False
        return Covers(self.boxes[stay], self.ids[stay])


def choose_covers(
    detections: Detections, tracks: Tracks, extra_boxes: F32 | None = None, *, wary: bool = False
) -> Covers:
    """The covers of a frame, those without a track first.

    `extra_boxes` (m, 4) xyxy px are faces known from elsewhere, such as from later frames. `wary` covers the doubtful
    detections everywhere. There is no cap on the number of covers.

    Raises:
        ValueError: a box or its score is not finite, so that nobody knows what to cover.
    """
    width, height = detections.width, detections.height
    boxes, ids = [], []
    if extra_boxes is not None and len(extra_boxes):
        boxes.append(np.asarray(extra_boxes, np.float32))
        ids.append(np.full(len(extra_boxes), -1, np.int64))
    found, found_ids = boxes_to_cover(detections, tracks, wary=wary)
    every = np.concatenate((*boxes, found))
    if not np.isfinite(every).all():
        raise ValueError("a face's box is not finite")
    return Covers(_grown(every, width, height), np.concatenate((*ids, found_ids)))


def boxes_to_cover(detections: Detections, tracks: Tracks, *, wary: bool = False) -> tuple[F32, NDArray[np.int64]]:
    """(n, 4) xyxy px: what covers must hold of the detections and their tracks, before they are grown by GROW; and (n,) the
    tracks' ids, or -1."""
    loose = _loose_detections(detections, tracks, wary)
    kept = _kept_tracks(tracks, detections.width, detections.height)
    boxes = _doubted(detections.boxes, detections.scores)[loose], _track_boxes(detections, tracks)[kept]
    ids = np.full(len(loose), -1, np.int64), tracks.ids[kept]
    return np.concatenate(boxes), np.concatenate(ids)


def scores_to_cover(detections: Detections) -> F32:
    """(n,) the score from which each detection is covered wherever it is."""
    share = _sizes(detections.boxes) / max(detections.width, detections.height)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.log(share / SMALL_SHARE) / np.log(LARGE_SHARE / SMALL_SHARE)
    at = np.clip(np.nan_to_num(at, nan=0.0, neginf=0.0), 0, 1)
    return (SMALL_SCORE + (LARGE_SCORE - SMALL_SCORE) * at).astype(np.float32)


def _loose_detections(detections: Detections, tracks: Tracks, wary: bool) -> NDArray[np.intp]:
    """Indices of the detections to be covered that belong to no track."""
    threshold = np.full(len(detections), DOUBTFUL_SCORE, np.float32) if wary else scores_to_cover(detections)
    lost = np.flatnonzero(~tracks.measured & tracks.confirmed)
    if len(lost) and len(detections):
        sizes, lost_sizes = _sizes(detections.boxes), _sizes(tracks.boxes[lost])
        distance = np.abs(centres(detections.boxes)[:, None] - centres(tracks.boxes[lost])[None]).max(axis=2)
        near = distance < NEAR_SIZES * lost_sizes
        near &= np.maximum(sizes[:, None], lost_sizes) < ALIKE * np.minimum(sizes[:, None], lost_sizes)
        threshold[near.any(axis=1)] = DOUBTFUL_SCORE
    wanted = ~(detections.scores < threshold)  # a score that is not a number counts, and is refused further on
    wanted[tracks.detection[tracks.measured]] = False
    return np.flatnonzero(wanted)


def _kept_tracks(tracks: Tracks, width: int, height: int) -> NDArray[np.intp]:
    """Indices of the tracks that are covered: seen within HOLD_S, or HOLD_AT_EDGE_S at the picture's edge."""
    at_edge = (tracks.boxes[:, :2] < 0).any(axis=1) | (tracks.boxes[:, 2:] > (width, height)).any(axis=1)
    return np.flatnonzero(tracks.unseen_s <= np.where(at_edge, HOLD_AT_EDGE_S, HOLD_S))


def _track_boxes(detections: Detections, tracks: Tracks) -> F32:
    """(n, 4) xyxy: each track's box with its detection's, and around them what speed and doubt ask for."""
    boxes = tracks.boxes.copy()
    size = _sizes(boxes)[:, None]
    margin = np.abs(tracks.velocity) * LEAD_S
    doubt = np.minimum(SPREADS * tracks.spread[:, None], SPREAD_MOST * size)
    margin = np.minimum(margin, size) + np.where(tracks.measured[:, None], 0, doubt)
    boxes += np.concatenate((-margin, margin), axis=1)
    seen = np.flatnonzero(tracks.measured)
    found = _doubted(detections.boxes, detections.scores)[tracks.detection[seen]]
    boxes[seen, :2] = np.minimum(boxes[seen, :2], found[:, :2])
    boxes[seen, 2:] = np.maximum(boxes[seen, 2:], found[:, 2:])
    return boxes


def _doubted(boxes: F32, scores: F32) -> F32:
    """Boxes widened by how little they are believed; never made smaller, whatever a network calls its scores."""
    margin = DOUBT * (_sizes(boxes) * (1 - np.minimum(scores, 1)))[:, None]
    return (boxes + np.concatenate((-margin, -margin, margin, margin), axis=1)).astype(np.float32)


def _sizes(boxes: F32) -> F32:
    """(n,) px: the longer side of each box."""
    return np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0)


def _grown(boxes: F32, width: int, height: int) -> NDArray[np.int32]:
    """Boxes times GROW about their centre, snapped outward to even pixels.

    Before that a box is cut to what lies within one picture's size around the picture, so that an absurdly large one
    costs no more than that; what it covers of the picture itself stays covered.
    """
    picture = np.array((width, height), np.float32)
    low = np.clip(boxes[:, :2], -picture, 2 * picture)
    high = np.clip(boxes[:, 2:], -picture, 2 * picture)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 1) * GROW
    low, high = np.floor((centre - half) / 2) * 2, np.ceil((centre + half) / 2) * 2
    return np.concatenate((low, high), axis=1).astype(np.int32)

"""Pairs of a track and a detection: which are beyond doubt, and what the network of log-odds is told of the others.

All lengths are in heights of the track's box, so neither place nor scale of the picture matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track.kalman import F64, SCALE, VALUE, VARIANCE, VELOCITY, BoxFilters
from engines.track.kinds import Kind
from engines.track.memory import HITS, LAST, OLD, OLD_S, SCORE, SEEN_S, SIZE, SLOW, TREND, Found

F32 = NDArray[np.float32]
Rows = NDArray[np.intp]

EASY_OVERLAP: Final = 0.4
"""Intersection over union from which two that touch nothing else belong together without weighing it ..."""
TOUCH: Final = 0.2
"""... and what counts as touching."""
EASY_GAP_S: Final = 0.3
COVERS_FOR_S: Final = 1.0
"""A track not seen for longer hides nobody."""
MOST_DEVIATIONS: Final = 8.0
MOST_GAP_S: Final = 4.0
FEATURES: Final = 43


def shared(a: F64, b: F64) -> F64:
    """Area (n, m) that each of the boxes a (4, n) has in common with each of b (4, m), edges in px."""
    sides = np.minimum(a[2:, :, None], b[2:, None])
    sides -= np.maximum(a[:2, :, None], b[:2, None])
    np.maximum(sides, 0, out=sides)
    width: F64 = sides[0]
    width *= sides[1]
    return width


def areas(box: F64) -> F64:
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(a: F64, b: F64) -> F64:
    """Intersection over union (n, m) of edges (4, n) with edges (4, m)."""
    inter = shared(a, b)
    union = areas(a)[:, None] + areas(b)
    union -= inter
    inter /= union
    return inter


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How tracks and detections overlap: `boxes` (4, tracks) expected edges px, `iou` (tracks, detections) intersection over union,
    how many detections each track touches (tracks,) and how many tracks each detection (detections,)."""

    boxes: F64
    iou: F64
    of_track: Rows
    of_detection: Rows

    @classmethod
    def of(cls, boxes: F64, found: F64) -> Overlaps:
        """Of edges (4, tracks) with edges (4, detections)."""
        iou = overlap(boxes, found)
        touch = iou > TOUCH
        return cls(boxes, iou, touch.sum(axis=1), touch.sum(axis=0))


def beyond_doubt(overlaps: Overlaps, able: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Tracks and detections that overlap well and touch nothing else; `able` (tracks,) says which tracks may."""
    rows = (able & (overlaps.of_track == 1)).nonzero()[0]
    if not len(rows):
        return rows, rows
    iou = overlaps.iou[rows]
    column = iou.argmax(axis=1)
    alone = iou.max(axis=1) > EASY_OVERLAP
    alone &= overlaps.of_detection[column] == 1
    return rows[alone], column[alone]


def within_reach(
    kind: Kind, filters: BoxFilters, gap_s: F64, found: Found, rows: Rows, columns: Rows
) -> tuple[Rows, Rows]:
    """The pairs among these tracks and detections that are worth weighing."""
    state = filters.state.take(rows, axis=2)
    reach = (kind.reach_heights + kind.reach_heights_per_s * gap_s[rows]) * np.sqrt(state[3, SCALE])
    away = state[:2, VALUE, :, None] - found.centred[:2, None, columns]
    np.abs(away, out=away)
    track, detection = (np.maximum(away[0], away[1]) < reach[:, None]).nonzero()
    return rows[track], columns[detection]


def features(
    filters: BoxFilters,
    memory: F64,
    found: Found,
    overlaps: Overlaps,
    track: Rows,
    detection: Rows,
    now: float,
) -> F32:
    """(FEATURES, n) for n pairs."""
    out = np.empty((FEATURES, len(track)))
    state, known = filters.state.take(track, axis=2), memory.take(track, axis=1)
    box = overlaps.boxes.take(track, axis=1)
    centred, edges = found.centred.take(detection, axis=1), found.edges.take(detection, axis=1)
    score = found.scores[detection]
    per_px = 1 / np.sqrt(state[3, SCALE])

    fit = overlaps.iou[track, detection]
    out[0] = fit
    common = np.minimum(box[3], edges[3]) - np.maximum(box[1], edges[1])
    fit = fit * np.maximum(common, 0) / (np.maximum(box[3], edges[3]) - np.minimum(box[1], edges[1]))
    out[1] = fit
    out[2], out[3] = _rivals(fit, overlaps.iou.shape, track, detection)

    offset = (centred - state[:, VALUE]) * per_px
    np.abs(offset, out=out[4:8])
    out[8:11] = offset[1:]
    deviation = np.sqrt(state[:, VARIANCE] * (per_px * per_px) + found.noise.take(detection, axis=1) ** 2)
    np.divide(out[4:8], deviation, out=out[11:15])
    np.minimum(out[11:15], MOST_DEVIATIONS, out=out[11:15])

    step = (centred - known[LAST]) * per_px
    np.abs(step, out=out[15:19])
    moves = np.empty((3, 2, len(track)))
    velocity, step, old = moves[0], step[:2], moves[2]
    np.multiply(state[:2, VELOCITY], per_px, out=velocity)
    moves[1] = step
    np.multiply(known[LAST][:2] - known[OLD], per_px, out=old)
    np.hypot(moves[:, 0], moves[:, 1], out=out[19:22])
    speed, distance, past = out[19:22]
    np.minimum(now - known[SEEN_S], MOST_GAP_S, out=out[27])
    gap = out[27]
    lead = np.minimum(gap / np.maximum(known[SEEN_S] - known[OLD_S], 0.03), 3)
    straight = step - lead * old
    np.hypot(straight[0], straight[1], out=out[22])
    out[23] = (
        (step * velocity).sum(axis=0)
        / np.maximum(speed * distance, 1e-6)
        * np.minimum(speed, 1)
        * np.minimum(distance * 10, 1)
    )
    out[24] = (step * old).sum(axis=0) / np.maximum(distance * past, 1e-4)
    np.abs((centred[:2] - known[SLOW]) * per_px, out=out[25:27])
    np.sqrt(gap, out=out[28])

    out[29], out[30:32] = score, known[SCORE : TREND + 1]
    np.abs(out[30] + out[31] - score, out=out[32])
    np.minimum(known[HITS], 20, out=out[33])
    out[33] *= 0.05
    np.subtract(found.size.take(detection, axis=1), known[SIZE], out=out[34:36])
    np.abs(out[34:36], out=out[36:38])
    out[38] = out[34] - out[35]
    out[39] = _hidden(overlaps.boxes, now - memory[SEEN_S] < COVERS_FOR_S)[track]
    out[40] = _hidden(found.edges, None)[detection]
    out[41] = overlaps.of_track[track]
    out[42] = overlaps.of_detection[detection]
    return out.astype(np.float32)


def _rivals(fit: F64, shape: tuple[int, ...], track: Rows, detection: Rows) -> tuple[F64, F64]:
    """Of each pair: how well the detection's best other track fits it, and the track's best other detection."""
    dense = np.zeros(shape)
    dense[track, detection] = fit
    by_detection, by_track = dense.max(axis=0)[detection], dense.max(axis=1)[track]
    best_of_detection, best_of_track = fit == by_detection, fit == by_track
    dense[track, detection] = np.where(best_of_detection, 0, fit)
    other_track = np.where(best_of_detection, dense.max(axis=0)[detection], by_detection)
    dense[track, detection] = np.where(best_of_track, 0, fit)
    return other_track, np.where(best_of_track, dense.max(axis=1)[track], by_track)


def _hidden(boxes: F64, counts: NDArray[np.bool_] | None) -> F64:
    """The largest share of each of the boxes (4, n) that is hidden by another with a lower lower edge, a nearer one."""
    share = shared(boxes, boxes)
    share *= boxes[3] > boxes[3, :, None]
    if counts is not None:
        share *= counts
    hidden: F64 = share.max(axis=1) / areas(boxes)
    return hidden

"""A whole table of detections through the tracker."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from engines.track import mot
from engines.track.kalman import F64
from engines.track.kinds import Kind
from engines.track.odds import Odds
from engines.track.tracker import Tracker


def follow(
    table: F64,
    fps: float,
    kind: Kind,
    odds: Odds | None = None,
    *,
    frames: Collection[int] | None = None,
    filled: bool = False,
) -> F64:
    """The confirmed tracks (n, 7) of a MOT `table` of detections: frame, id, left, top, width, height, score.

    Boxes and scores are the detections' own; `filled` adds those that are predicted, with score 0. Of `frames` only these are
    looked at; their times stay true.
    """
    tracker, rows = Tracker(kind, odds), [np.zeros((0, 7))]
    for frame, found in mot.per_frame(table, int(table[:, 0].max(initial=0))):
        if frames is not None and frame not in frames:
            continue
        tracks = tracker.step(mot.detections(found), frame / fps)
        shown = tracks.measured & tracks.confirmed
        seen = found[tracks.detection[shown], :7]
        seen[:, 1] = tracks.ids[shown]
        rows.append(seen)
        lost = ~tracks.measured & tracks.confirmed
        if filled and lost.any():
            boxes = tracks.boxes[lost].astype(np.float64)
            n = len(boxes)
            ids = tracks.ids[lost]
            rows.append(
                np.column_stack((np.full(n, frame), ids, boxes[:, :2], boxes[:, 2:] - boxes[:, :2], np.zeros(n)))
            )
    return np.concatenate(rows)

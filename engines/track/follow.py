"""A whole table of detections through the tracker."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.track import mot
from engines.track.kalman import F64
from engines.track.kinds import Kind
from engines.track.odds import Learnt
from engines.track.tracker import Tracker

FILL_S: Final = 0.5
"""Two looks at one person further apart than this have nothing filled in between: what goes on longer is too often somebody
else."""


def follow(
    table: F64,
    fps: float,
    kind: Kind,
    learnt: Learnt | None = None,
    *,
    frames: Collection[int] | None = None,
    filled: bool = False,
) -> F64:
    """The confirmed tracks (n, 7) of a MOT `table` of detections: frame, id, left, top, width, height, score.

    Boxes and scores are the detections' own; `filled` adds those of `fill`. Of `frames` only these are looked at; their
    times stay true. Where two were exchanged, their ids change places from the middle of the time in which it must have been.
    """
    tracker, rows = Tracker(kind, learnt), [np.zeros((0, 7))]
    looked: list[int] = []
    exchanged: dict[int, float] = {}
    """Of each id, the frame from which it is this track's: before that it was another's."""
    for frame, found in mot.per_frame(table, int(table[:, 0].max(initial=0))):
        if frames is not None and frame not in frames:
            continue
        looked.append(frame)
        tracks = tracker.step(mot.detections(found), frame / fps)
        for exchange in tracker.exchanges:
            since = max(exchange.since_s * fps, *(exchanged.get(one, 0) for one in exchange.ids))
            _exchange(rows, exchange.ids, since)
            exchanged |= dict.fromkeys(exchange.ids, since)
        shown = tracks.measured & tracks.confirmed
        seen = found[tracks.detection[shown], :7]
        seen[:, 1] = tracks.ids[shown]
        rows.append(seen)
    tracked = np.concatenate(rows)
    return fill(tracked, np.array(looked), fps) if filled else tracked


def _exchange(rows: list[F64], ids: tuple[int, int], since: float) -> None:
    """Two ids change places in all `rows` of frames from `since` on."""
    for seen in reversed(rows):
        if not len(seen):
            continue
        if seen[0, 0] < since:
            return
        one, other = seen[:, 1] == ids[0], seen[:, 1] == ids[1]
        seen[one, 1], seen[other, 1] = ids[::-1]


def fill(tracked: F64, frames: NDArray[np.int_], fps: float) -> F64:
    """`tracked` (n, 7), and on the straight line between two looks at one person, at most FILL_S apart, a box of score 0 for
    each of `frames`, which are ascending, without one."""
    rows = tracked[np.lexsort((tracked[:, 0], tracked[:, 1]))]
    before, after = rows[:-1], rows[1:]
    step = after[:, 0] - before[:, 0]
    gap = (before[:, 1] == after[:, 1]) & (step > 1) & (step <= FILL_S * fps)
    added = [tracked]
    for start, end in zip(before[gap], after[gap], strict=True):
        between = frames[np.searchsorted(frames, start[0], "right") : np.searchsorted(frames, end[0])]
        share = (between[:, None] - start[0]) / (end[0] - start[0])
        boxes = start + share * (end - start)
        boxes[:, 0], boxes[:, 6] = between, 0
        added.append(boxes)
    every = np.concatenate(added)
    return every[np.argsort(every[:, 0], kind="stable")]

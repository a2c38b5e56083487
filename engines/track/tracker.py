"""The tracker: detections frame by frame in, people with ids that last out; real seconds, so dropped frames cost nothing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Detections, Tracks
from engines.track.appearance import SIZE, likeness, remember
from engines.track.associate import likelihood, match, overlaps
from engines.track.kalman import F64, BoxFilters, centre_form

LOWEST_SCORE: Final = 0.1
"""Detections from here on may continue a track."""
HIGH_SCORE: Final = 0.5
"""Detections from here on choose their track first, and count towards its confirmation."""
BIRTH_SCORE: Final = 0.4
"""Detections from here on may begin a track: below HIGH_SCORE a faint one, for the redactor's sake."""
SAME_FACE_OVERLAP: Final = 0.3
"""A detection that overlaps a matched one this much (intersection over union) is the same face once more."""
EXPECTED: Final = 3.0
"""Log-odds that a track seen surely just now is seen again, fading within EXPECTED_FADES_S: it keeps a detection from
being handed to a long lost track that happens to lie near."""
EXPECTED_FADES_S: Final = 0.2
ACCEPT: Final = -1.0
"""Log-likelihood ratio from which a sure detection may belong to a track ..."""
ACCEPT_LOW: Final = 4.0
"""... and a doubtful one."""
CONFIRM_HITS: Final = 3
CONFIRM_AT_ONCE_S: Final = 0.2
"""At the start of a stream (and after a cut) there is no past to wait for."""
LOW_SCORE_GAP_S: Final = 0.15
LOW_SCORES_S: Final = 0.5
"""Low scores may continue a track that was seen within LOW_SCORE_GAP_S, and with a high score within LOW_SCORES_S: what is
found where a face was lost is mostly not that face, and would lead its track astray."""
KEEP_S: Final = 4.0
KEEP_UNCONFIRMED_S: Final = 1.0
"""Long enough for the redactor, which goes on covering a face that was seen only once."""
KEEP_FAINT_S: Final = 0.3
"""Of tracks without a single high score."""
NEW_CLOCK_S: Final = 1.0
"""Time that runs back further than this is a clock begun anew."""
LARGEST_PX: Final = 1e5


class Tracker:
    """The tracks of one stream. Not thread-safe.

    A track has a negative id until it is confirmed, so that the ids people see count people and not false alarms.
    Odd input never harms it: boxes that are not finite, empty or absurdly far away are passed over; time that stands
    still or runs backwards counts as no time, and from there the clock goes on.
    """

    def __init__(self) -> None:
        self._filters = BoxFilters()
        self._ids = np.zeros(0, np.int64)
        self._hits = np.zeros(0, np.int64)
        self._confirmed = np.zeros(0, np.bool_)
        self._scores = np.zeros(0)
        self._seen_s = np.zeros(0)
        self._sure_s = np.zeros(0)
        self._looks = np.zeros((0, SIZE), np.float32)
        self._next_id, self._next_unconfirmed_id = 1, -1
        self._now_s: float | None = None
        self._fresh_until_s = 0.0

    def step(self, detections: Detections, time_s: float, *, cut: bool = False, looks: F32 | None = None) -> Tracks:
        """Take in one frame's detections at `time_s` (any clock, seconds) and return all live tracks.

        With `cut`, the picture is another one than before: tracks that nothing in it continues end at once.
        `looks` (n, SIZE): what `appearance.describe` says of each detection, where the picture is at hand.
        """
        index, boxes, scores = _usable(detections)
        measured = centre_form(boxes)
        seen_looks = np.full((len(index), SIZE), np.nan, np.float32) if looks is None else looks[index]
        now = self._advance(time_s)
        track_of = self._associate(boxes, measured, scores, seen_looks)
        found = np.flatnonzero(track_of >= 0)
        rows = track_of[found]
        self._filters.update(rows, measured[found], scores[found])
        self._scores[rows], self._seen_s[rows] = scores[found], now
        sure = found[scores[found] >= HIGH_SCORE]
        rows = track_of[sure]
        self._hits[rows] += 1
        self._looks[rows] = remember(self._looks[rows], seen_looks[sure], now - self._sure_s[rows])
        self._sure_s[rows] = now
        if cut:
            self._fresh_until_s = now + CONFIRM_AT_ONCE_S
        self._confirm(self._hits >= CONFIRM_HITS)
        born = self._births(boxes, scores, track_of)
        track_of[born] = len(self._ids) + np.arange(len(born))
        self._add(measured[born], scores[born], seen_looks[born], now)
        if now <= self._fresh_until_s:
            self._confirm(self._hits > 0)
        detection = np.full(len(self._ids), -1, np.int32)
        seen = np.flatnonzero(track_of >= 0)
        detection[track_of[seen]] = index[seen]

        unsure_s = np.where(self._hits > 0, KEEP_UNCONFIRMED_S, KEEP_FAINT_S)
        limit = 0.0 if cut else np.where(self._confirmed, KEEP_S, unsure_s)
        live = (detection >= 0) | (now - self._seen_s < limit)
        self._keep(live)
        return self._tracks(self._filters, detection[live], now)

    def predict(self, time_s: float) -> Tracks:
        """Where the tracks are expected at `time_s`, nothing measured; the tracker itself does not move."""
        now = max(time_s, self._now_s) if self._now_s is not None and np.isfinite(time_s) else self._now_s or 0.0
        filters = self._filters.copy()
        filters.predict(now - (self._now_s or 0.0))
        return self._tracks(filters, np.full(len(self._ids), -1, np.int32), now)

    def forget(self) -> None:
        """End all tracks, as when the picture changes its size; their ids are not used again."""
        self._keep(np.zeros(len(self._ids), np.bool_))
        self._now_s = None

    def _advance(self, time_s: float) -> float:
        if not np.isfinite(time_s):
            time_s = self._now_s or 0.0
        if self._now_s is None:
            self._now_s, self._fresh_until_s = time_s, time_s + CONFIRM_AT_ONCE_S
        if time_s < self._now_s - NEW_CLOCK_S:
            back = self._now_s - time_s
            self._now_s, self._fresh_until_s = time_s, self._fresh_until_s - back
            self._seen_s -= back
            self._sure_s -= back
        now = max(time_s, self._now_s)
        self._filters.predict(now - self._now_s)
        self._now_s = now
        return now

    def _associate(self, boxes: F64, measured: F64, scores: F64, looks: F32) -> NDArray[np.intp]:
        """(detections,) row of each detection's track, or -1: first the sure detections, then the doubtful ones."""
        track_of = np.full(len(measured), -1, np.intp)
        if not len(self._ids) or not len(measured):
            return track_of
        assert self._now_s is not None
        unseen_s, unsure_s = self._now_s - self._seen_s, self._now_s - self._sure_s
        fit = likelihood(self._filters, unseen_s, measured, scores) + likeness(self._looks, looks)
        expected = fit + EXPECTED * np.exp(-unsure_s / EXPECTED_FADES_S)[:, None]
        high, known = scores >= HIGH_SCORE, self._confirmed
        recent = unseen_s <= LOW_SCORE_GAP_S
        sure = recent & (unsure_s <= LOW_SCORES_S)
        free = np.ones(len(self._ids), np.bool_)
        for rows, columns in ((known, high), (known & sure, ~high), (~known, high), (~known & recent, ~high)):
            open_rows, open_columns = rows & free, columns & (track_of < 0)
            if not open_rows.any() or not open_columns.any():
                continue
            if columns is high:
                row, column = match(expected, np.flatnonzero(open_rows), np.flatnonzero(open_columns), ACCEPT)
            else:
                open_columns &= ~_doubles(boxes, track_of)
                row, column = match(fit, np.flatnonzero(open_rows), np.flatnonzero(open_columns), ACCEPT_LOW)
            track_of[column] = row
            free[row] = False
        return track_of

    def _births(self, boxes: F64, scores: F64, track_of: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.flatnonzero((track_of < 0) & (scores >= BIRTH_SCORE) & ~_doubles(boxes, track_of))

    def _add(self, measured: F64, scores: F64, looks: F32, now: float) -> None:
        n = len(measured)
        self._filters.add(measured, scores)
        self._ids = np.concatenate((self._ids, self._next_unconfirmed_id - np.arange(n)))
        self._hits = np.concatenate((self._hits, (scores >= HIGH_SCORE).astype(np.int64)))
        self._confirmed = np.concatenate((self._confirmed, np.zeros(n, np.bool_)))
        self._scores = np.concatenate((self._scores, scores))
        self._seen_s = np.concatenate((self._seen_s, np.full(n, now)))
        self._sure_s = np.concatenate((self._sure_s, np.full(n, now)))
        self._looks = np.concatenate((self._looks, looks))
        self._next_unconfirmed_id -= n

    def _confirm(self, worthy: NDArray[np.bool_]) -> None:
        """Give those tracks that are `worthy` and not yet confirmed the ids they keep."""
        rows = np.flatnonzero(worthy & ~self._confirmed)
        self._ids[rows] = self._next_id + np.arange(len(rows))
        self._confirmed[rows] = True
        self._next_id += len(rows)

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        if mask.all():
            return
        self._filters.keep(mask)
        for name in ("_ids", "_hits", "_confirmed", "_scores", "_seen_s", "_sure_s", "_looks"):
            setattr(self, name, getattr(self, name)[mask])

    def _tracks(self, filters: BoxFilters, detection: NDArray[np.int32], now: float) -> Tracks:
        return Tracks(
            ids=self._ids.copy(),
            boxes=filters.boxes().astype(np.float32),
            scores=self._scores.astype(np.float32),
            measured=detection >= 0,
            detection=detection,
            unseen_s=(now - self._seen_s).astype(np.float32),
            velocity=filters.velocity[:, :2].astype(np.float32),
            spread=filters.spread().astype(np.float32),
            confirmed=self._confirmed.copy(),
        )


def _doubles(boxes: F64, track_of: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(detections,) whether a detection overlaps one that has its track: the same face once more, not another behind it."""
    taken = boxes[track_of >= 0]
    if not len(taken):
        return np.zeros(len(boxes), np.bool_)
    return overlaps(boxes, taken).max(axis=1) >= SAME_FACE_OVERLAP


def _usable(detections: Detections) -> tuple[NDArray[np.int32], F64, F64]:
    """Index, boxes (n, 4) xyxy and scores of the detections that a filter can take in."""
    boxes, scores = detections.boxes.astype(np.float64), detections.scores.astype(np.float64)
    with np.errstate(invalid="ignore"):
        good = (np.abs(boxes) < LARGEST_PX).all(axis=1) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
        good &= (scores >= LOWEST_SCORE) & (scores <= 1.0)
    index = np.flatnonzero(good)
    return index.astype(np.int32), boxes[index], scores[index]

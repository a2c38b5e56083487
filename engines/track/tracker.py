"""The tracker: detections frame by frame in, people with ids that last out; real seconds, so dropped frames cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Detections, Tracks
from engines.track.appearance import SIZE, likeness, remember
from engines.track.associate import match
from engines.track.hidden import completed
from engines.track.kalman import F64, BoxFilters, centre_form
from engines.track.kinds import FACES, Kind
from engines.track.likelihood import likelihood
from engines.track.memory import HITS, SCORE, SEEN_S, SURE_S, Found, Memory
from engines.track.odds import Learnt, shipped
from engines.track.pairs import EASY_GAP_S, Overlaps, Rows, beyond_doubt, features, overlap, within_reach
from engines.track.partings import NOTHING, Parting, Partings, Weighed

LOWEST_SCORE: Final = 0.1
"""Detections from here on may continue a track."""
CONFIRM_HITS: Final = 3
CONFIRM_AT_ONCE_S: Final = 0.2
"""At the start of a stream (and after a cut) there is no past to wait for."""
KEEP_S: Final = 4.0
KEEP_UNCONFIRMED_S: Final = 1.0
"""Long enough for the redactor, which goes on covering a face that was seen only once, and faintly."""
NEW_CLOCK_S: Final = 1.0
"""Time that runs back further than this is a clock begun anew."""
LARGEST_PX: Final = 1e5
EXCHANGED: Final = 0.0
"""Log-odds from which two tracks that part are taken to have been exchanged."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two ids changed places: the people have been taken for each other since about `since_s`, half of the time from when they
    met to when they parted."""

    ids: tuple[int, int]
    since_s: float


class Tracker:
    """The tracks of one stream, of one `kind` of thing; `learnt` instead of the shipped weights, for a kind that
    has any. Not thread-safe.

    A track has a negative id until it is confirmed, so that the ids people see count people and not false alarms.
    Where pairs are weighed by a network, two who part after their boxes overlapped get their ids back if they seem to
    have been exchanged; `exchanges` says whose ids changed places in the latest step.
    Odd input never harms it: boxes that are not finite, empty or absurdly far away are passed over; time that stands
    still or runs backwards counts as no time, and from there the clock goes on.
    """

    def __init__(self, kind: Kind = FACES, learnt: Learnt | None = None) -> None:
        self.kind = kind
        self.exchanges: list[Exchange] = []
        self._learnt = (learnt or shipped(kind.name)) if kind.learnt else None
        self._partings, self._weighed = Partings(), NOTHING
        self._filters, self._memory = BoxFilters(kind), Memory()
        self._ids = np.zeros(0, np.int64)
        self._confirmed = np.zeros(0, np.bool_)
        self._looks = np.zeros((0, SIZE), np.float32)
        self._next_id, self._next_unconfirmed_id = 1, -1
        self._now_s: float | None = None
        self._stepped_s = 0.0
        self._fresh_until_s = 0.0

    def step(self, detections: Detections, time_s: float, *, cut: bool = False, looks: F32 | None = None) -> Tracks:
        """Take in one frame's detections at `time_s` (any clock, seconds) and return all live tracks.

        With `cut`, the picture is another one than before, and all tracks end: who stands where somebody stood may be anybody,
        and looks as alike as the same person does.
        `looks` (n, SIZE): what `appearance.describe` says of each detection, where the picture is at hand.
        """
        if cut:
            self.forget()
        found = self._usable(detections, looks)
        now = self._advance(time_s)
        track_of = np.full(len(found), -1, np.intp)
        self.exchanges, self._weighed = [], NOTHING
        if len(self._ids) and len(found):
            overlaps = Overlaps.of(self._filters.edges(), found.edges)
            self._associate(found, overlaps, now, track_of)
            self._take_in(found, track_of, now)
            self._exchange(found, overlaps, track_of, now)
        self._confirm(self._memory.table[HITS] >= CONFIRM_HITS)
        born = self._births(found, track_of)
        if len(born):
            track_of[born] = len(self._ids) + np.arange(len(born))
            self._add(found, born, now)
        if now <= self._fresh_until_s:
            self._confirm(self._memory.table[HITS] > 0)
        detection = np.full(len(self._ids), -1, np.int32)
        seen = (track_of >= 0).nonzero()[0]
        detection[track_of[seen]] = found.index[seen]
        live = self._live(detection >= 0, now)
        self._keep(live)
        self._stepped_s = now
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

    def _usable(self, detections: Detections, looks: F32 | None) -> Found:
        """The detections that a filter can take in."""
        edges = np.ascontiguousarray(detections.boxes.T, np.float64)
        scores = detections.scores.astype(np.float64)
        good = (np.abs(edges) < LARGEST_PX).all(axis=0)
        good &= (edges[2:] >= edges[:2] + 1).all(axis=0)
        good &= (scores >= LOWEST_SCORE) & (scores <= 1.0)
        index = good.nonzero()[0]
        if len(index) < len(good):
            edges, scores = edges[:, index], scores[index]
            looks = None if looks is None else looks[index]
        centred = centre_form(edges)
        noise = self._filters.noise(scores)
        return Found(index.astype(np.int32), centred, edges, np.log(centred[2:]), scores, noise, looks)

    def _advance(self, time_s: float) -> float:
        if not np.isfinite(time_s):
            time_s = self._now_s or 0.0
        if self._now_s is None:
            self._now_s, self._fresh_until_s = time_s, time_s + CONFIRM_AT_ONCE_S
        if time_s < self._now_s - NEW_CLOCK_S:
            back = self._now_s - time_s
            self._now_s, self._fresh_until_s = time_s, self._fresh_until_s - back
            self._stepped_s -= back
            self._memory.set_back(back)
            self._partings.set_back(back)
        now = max(time_s, self._now_s)
        self._filters.predict(now - self._now_s)
        self._now_s = now
        return now

    def _associate(self, found: Found, overlaps: Overlaps, now: float, track_of: Rows) -> None:
        """Write the row of each detection's track into `track_of`: first pairs beyond doubt, then the rest by log-odds, the
        sure detections before the doubtful ones."""
        seen_s, sure_s = self._memory.table[SEEN_S], self._memory.table[SURE_S]
        unseen_s, known, high = now - seen_s, self._confirmed, found.scores >= self.kind.high_score
        sure = known & (unseen_s <= self.kind.low_score_gap_s) & (now - sure_s <= self.kind.low_scores_s)
        row, column = beyond_doubt(overlaps, sure & (unseen_s < EASY_GAP_S))
        track_of[column] = row
        open_rows, open_columns = np.ones(len(known), np.bool_), track_of < 0
        open_rows[row] = False
        if not open_columns.any() or not open_rows.any():
            return
        track, detection = within_reach(
            self.kind, self._filters, unseen_s, found, open_rows.nonzero()[0], open_columns.nonzero()[0]
        )
        if not len(track):
            return
        odds = self._weigh(found, overlaps, track, detection, now)
        self._weighed = Weighed(track, detection, odds)
        odds = odds - np.where(high, self.kind.accept, self.kind.accept_low)[detection]
        good = odds > 0
        track, detection, odds = track[good], detection[good], odds[good]
        followed = known | ((seen_s >= self._stepped_s) & (self._memory.table[HITS] > 0))
        recent = ~known & (unseen_s <= self.kind.low_score_gap_s)
        for tracks, detections in ((followed, high), (sure, ~high), (~known, high), (recent, ~high)):
            if not len(track):
                return
            able = tracks[track] & detections[detection]
            if able.any():
                chosen = match(odds[able], track[able], detection[able])
                row, column = track[able][chosen], detection[able][chosen]
                track_of[column] = row
                open_rows[row] = False
                left = open_rows[track] & (track_of[detection] < 0)
                track, detection, odds = track[left], detection[left], odds[left]

    def _weigh(self, found: Found, overlaps: Overlaps, track: Rows, detection: Rows, now: float) -> F64:
        """(n,) log-odds that each pair is one person: by place, and by colours where both are known."""
        filters, memory = self._filters, self._memory.table
        if self._learnt is None:
            odds = likelihood(filters, memory, found, track, detection, self.kind.high_score, now)
        else:
            told = features(filters, memory, found, overlaps, track, detection, now)
            odds = self._learnt.same(told).astype(np.float64)
        if found.looks is None:
            return odds
        return odds + likeness(self._looks[track], found.looks[detection])

    def _take_in(self, found: Found, track_of: Rows, now: float) -> None:
        """The tracks go on with the detections that are theirs."""
        which = (track_of >= 0).nonzero()[0]
        if not len(which):
            return
        rows, sure = track_of[which], found.scores[which] >= self.kind.high_score
        if found.looks is not None:
            since_s = now - self._memory.table[SURE_S, rows[sure]]
            self._looks[rows[sure]] = remember(self._looks[rows[sure]], found.looks[which[sure]], since_s)
        if self._learnt is None:
            measured = completed(found, which, self._memory.table[:, rows])
        else:
            measured = found.centred.take(which, axis=1)
        self._filters.update(rows, measured, found.noise.take(which, axis=1))
        self._memory.update(rows, found, which, sure, now)

    def _exchange(self, found: Found, overlaps: Overlaps, track_of: Rows, now: float) -> None:
        """Give those who part their ids back, if they seem to have been exchanged."""
        if self._learnt is None:
            return
        parted = self._partings.step(
            self._filters, self._memory, overlaps.iou, self._weighed, found, track_of, self._confirmed, now
        )
        judged = [(odds, parting) for parting in parted if (odds := self._exchange_odds(parting)) > EXCHANGED]
        done: set[int] = set()
        for _, parting in sorted(judged, key=lambda one: -one[0]):
            a, b = parting.rows
            if done & {a, b}:
                continue  # judged by what was known before a surer exchange
            done |= {a, b}
            self._ids[[a, b]] = self._ids[[b, a]]
            exchange = Exchange((int(self._ids[a]), int(self._ids[b])), (parting.met_s + now) / 2)
            self._partings.exchange(a, b, exchange.since_s)
            self.exchanges.append(exchange)

    def _exchange_odds(self, parting: Parting) -> float:
        """Log-odds that the two who part had been exchanged."""
        network = self._learnt.exchanged if self._learnt is not None else None
        return float(network(parting.told[:, None])[0]) if network is not None else -np.inf

    def _births(self, found: Found, track_of: Rows) -> Rows:
        """Detections that begin a track: without one, and not another's once more."""
        free = track_of < 0
        born = (free & (found.scores >= self.kind.birth_score)).nonzero()[0]
        taken = (~free).nonzero()[0]
        if not len(born) or not len(taken):
            return born
        doubled = overlap(found.edges[:, born], found.edges[:, taken]).max(axis=1) >= self.kind.same_overlap
        return born[~doubled]

    def _add(self, found: Found, born: Rows, now: float) -> None:
        n, scores = len(born), found.scores[born]
        self._filters.add(found.centred[:, born], scores)
        self._memory.add(found, born, scores >= self.kind.high_score, now)
        self._ids = np.concatenate((self._ids, self._next_unconfirmed_id - np.arange(n)))
        self._confirmed = np.concatenate((self._confirmed, np.zeros(n, np.bool_)))
        unknown = np.full((n, SIZE), np.nan, np.float32)
        self._looks = np.concatenate((self._looks, unknown if found.looks is None else found.looks[born]))
        self._next_unconfirmed_id -= n

    def _confirm(self, worthy: NDArray[np.bool_]) -> None:
        """Give those tracks that are `worthy` and not yet confirmed the ids they keep."""
        rows = (worthy & ~self._confirmed).nonzero()[0]
        if not len(rows):
            return
        self._ids[rows] = self._next_id + np.arange(len(rows))
        self._confirmed[rows] = True
        self._next_id += len(rows)

    def _live(self, measured: NDArray[np.bool_], now: float) -> NDArray[np.bool_]:
        if measured.all():
            return measured
        limit_s = np.where(self._confirmed, KEEP_S, KEEP_UNCONFIRMED_S)
        return measured | (now - self._memory.table[SEEN_S] < limit_s)

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        if mask.all():
            return
        self._filters.keep(mask)
        self._memory.keep(mask)
        self._partings.keep(mask)
        self._ids, self._confirmed, self._looks = self._ids[mask], self._confirmed[mask], self._looks[mask]

    def _tracks(self, filters: BoxFilters, detection: NDArray[np.int32], now: float) -> Tracks:
        return Tracks(
            ids=self._ids.copy(),
            boxes=filters.boxes().astype(np.float32),
            scores=self._memory.table[SCORE].astype(np.float32),
            measured=detection >= 0,
            detection=detection,
            unseen_s=(now - self._memory.table[SEEN_S]).astype(np.float32),
            velocity=filters.velocity[:, :2].astype(np.float32),
            spread=filters.spread().astype(np.float32),
            confirmed=self._confirmed.copy(),
        )

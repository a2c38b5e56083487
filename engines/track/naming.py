"""Which track is which member, for names and fancams: evidence gathered over time, and one answer for all at once.

A plain sum of evidence never recovers when the tracker swaps two people: here it leaks, and tracks that overlap share theirs.
Who may be seen uncovered is not decided here but in `identity`, from the very frame alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from engines.frame import Tracks
from engines.track.associate import match
from engines.track.identity import NOBODY, Claims
from engines.track.kalman import F64
from engines.track.pairs import overlap

State = Literal["confirmed", "unsure", "coasting", "lost"]
"""Of a member: its track is seen and surely theirs; seen, but it might be another; expected; there is none."""

LEAK_S: Final = 10.0
"""What is known of a track fades to nothing over this time."""
MIX_OVERLAP: Final = 0.2
MIX_PER_S: Final = 1.0
"""Tracks that overlap (intersection over union) so much may be each other's: they share what is known at this rate."""
TRUST: Final = 0.95
"""A claim is taken to be right as often as its score says, but no more often than this."""
ALIKE_S: Final = 0.5
"""Looks within this time are about one and the same: each counts for the time since the one before."""
HYSTERESIS: Final = 1.0
"""Nats by which another assignment must be better than what was said before."""
SURE: Final = 2.0
"""Nats between a member and the track's next best from which the track is surely theirs."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A member's name went from one living track to another: claims had spoken against the old one since `since_s`."""

    member: int
    from_track: int
    to_track: int
    since_s: float
    undone_s: float


@dataclass(frozen=True, slots=True)
class Names:
    """`members` (tracks,) int32 or NOBODY; `states`, one a member; `swaps` undone in this very step."""

    members: NDArray[np.int32]
    states: tuple[State, ...]
    swaps: tuple[Swap, ...] = ()

    def of(self, row: int) -> tuple[int, State] | None:
        """The member whose name a track has, and how sure that is."""
        member = int(self.members[row])
        return (member, self.states[member]) if member != NOBODY else None


class Naming:
    """The names of the tracks of one stream, of `count` members. Not thread-safe."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.forget()

    def forget(self) -> None:
        """Nobody is known any more."""
        self._ids = np.zeros(0, np.int64)
        self._odds: F64 = np.zeros((0, self._count + 1))
        """Of each track to be each member or, in the last column, none of them."""
        self._said = np.zeros(0, np.int32)
        self._doubted_s = np.zeros(0)
        self._now_s: float | None = None

    def step(self, tracks: Tracks, claims: Claims, time_s: float) -> Names:
        """Take in a frame's tracks and what its detections are claimed to be."""
        elapsed_s = max(time_s - self._now_s, 0.0) if self._now_s is not None and np.isfinite(time_s) else ALIKE_S
        self._now_s = time_s if np.isfinite(time_s) else self._now_s
        self._take_over(tracks)
        self._fade(tracks, elapsed_s)
        claimed = self._learn(tracks, claims, min(elapsed_s / ALIKE_S, 1.0))
        before = self._said
        self._said = self._assign(tracks)
        swaps = self._swaps(before)
        speaks_against = (claimed != NOBODY) & (self._said != NOBODY) & (claimed != self._said)
        self._doubted_s[claimed == self._said] = np.nan
        self._doubted_s[speaks_against & np.isnan(self._doubted_s)] = self._now_s or 0.0
        return Names(self._said.copy(), self._states(tracks), swaps)

    def _take_over(self, tracks: Tracks) -> None:
        odds, said = np.zeros((len(tracks), self._count + 1)), np.full(len(tracks), NOBODY, np.int32)
        doubted_s = np.full(len(tracks), np.nan)
        now, was = np.nonzero(tracks.ids[:, None] == self._ids)
        odds[now], said[now], doubted_s[now] = self._odds[was], self._said[was], self._doubted_s[was]
        self._ids, self._odds, self._said, self._doubted_s = tracks.ids, odds, said, doubted_s

    def _fade(self, tracks: Tracks, elapsed_s: float) -> None:
        known = np.exp(self._odds - self._odds.max(axis=1, keepdims=True))
        known /= known.sum(axis=1, keepdims=True)
        boxes = tracks.boxes.astype(np.float64).T
        near = overlap(boxes, boxes) > MIX_OVERLAP
        np.fill_diagonal(near, False)
        mix = -np.expm1(-elapsed_s * MIX_PER_S) * near
        mix /= np.maximum(near.sum(axis=1, keepdims=True), 1)
        known += mix @ known - mix.sum(axis=1, keepdims=True) * known
        left = np.exp(-elapsed_s / LEAK_S)
        self._odds = np.log(left * known + (1 - left) / known.shape[1])

    def _learn(self, tracks: Tracks, claims: Claims, weight: float) -> NDArray[np.int32]:
        """(tracks,) whom each track is claimed to be in this frame, or NOBODY."""
        claimed = np.full(len(tracks), NOBODY, np.int32)
        seen = np.flatnonzero(tracks.measured & (tracks.detection >= 0) & (tracks.detection < len(claims.members)))
        members, scores = (
            claims.members[tracks.detection[seen]],
            claims.scores[tracks.detection[seen]].astype(np.float64),
        )
        real = (members >= 0) & (members < self._count) & (scores > 0) & (scores <= 1)
        rows, members, scores = seen[real], members[real], scores[real]
        right = np.clip(scores, 1 / (self._count + 1), TRUST)
        self._odds[rows, members] += weight * np.log(right * self._count / (1 - right))
        claimed[rows] = members
        return claimed

    def _assign(self, tracks: Tracks) -> NDArray[np.int32]:
        """The one-to-one choice with the largest sum; a track is nobody's where all are equally likely."""
        said = np.full(len(tracks), NOBODY, np.int32)
        gain = self._odds[:, :-1] - self._odds.mean(axis=1, keepdims=True)
        had = np.flatnonzero(self._said != NOBODY)
        gain[had, self._said[had]] += HYSTERESIS
        gain[~tracks.confirmed] = 0
        rows, members = (gain > 0).nonzero()
        chosen = match(gain[rows, members], rows, members)
        said[rows[chosen]] = members[chosen]
        return said

    def _swaps(self, before: NDArray[np.int32]) -> tuple[Swap, ...]:
        now = self._now_s or 0.0
        found = []
        for row in np.flatnonzero((before != NOBODY) & (before != self._said)).tolist():
            new = np.flatnonzero(self._said == before[row])
            if len(new):
                since_s = now if np.isnan(self._doubted_s[row]) else float(self._doubted_s[row])
                found.append(Swap(int(before[row]), int(self._ids[row]), int(self._ids[new[0]]), since_s, now))
                self._doubted_s[row] = np.nan
        return tuple(found)

    def _states(self, tracks: Tracks) -> tuple[State, ...]:
        states: list[State] = ["lost"] * self._count
        for row in np.flatnonzero(self._said != NOBODY).tolist():
            member = int(self._said[row])
            others = np.delete(self._odds[row], member)
            sure = self._odds[row, member] - others.max(initial=-np.inf) >= SURE
            states[member] = "coasting" if not tracks.measured[row] else "confirmed" if sure else "unsure"
        return tuple(states)

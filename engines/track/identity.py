"""Who a track is: claims about single looks, gathered over time, until one member is sure; in doubt nobody is.

Where the claims come from does not matter here: a detector whose classes are members, or a comparison of embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Tracks

NOBODY: Final = -1
CLAIM_SCORE: Final = 0.6
"""A claim of this frame must score so much to let its track be sure in this frame."""
RIVAL_SCORE: Final = 0.3
"""A claim from here on counts as evidence, and a second one of the same member in one frame makes both worthless."""
ENOUGH: Final = 4.0
"""The sum of the scores of the claims for a member from which they are enough: five looks at least."""
MARGIN: Final = 4.0
"""A member is sure when there is this many times more evidence for it than for any other."""
MEMORY_S: Final = 2.0
"""Evidence fades to a third in this time."""
GAP_S: Final = 0.3
"""A track that was not measured for longer may have gone on with somebody else: its evidence is void."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who each detection of a frame is taken for: `members` (n,) int32, NOBODY where nobody known; `scores` (n,) float32,
    0 to 1."""

    members: NDArray[np.int32]
    scores: F32


class Identity:
    """What is known of the tracks of one stream, of `count` members. Not thread-safe."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._now_s = 0.0
        self.forget()

    def forget(self) -> None:
        """Nobody is known any more, as after a cut."""
        self._ids = np.zeros(0, np.int64)
        self._evidence = np.zeros((0, self._count))
        self._seen_s = np.zeros(0)

    def step(self, tracks: Tracks, claims: Claims, time_s: float) -> NDArray[np.int32]:
        """(tracks,) int32: the member that each track surely is in this very frame, else NOBODY.

        `claims` are about the detections that `tracks` point to. A track is sure only of a member that it is claimed to
        be in this frame, by a detection of its own, when no other detection claims to be the same.
        """
        if not 0 <= time_s - self._now_s <= GAP_S:  # also when it is not a number
            self.forget()
        faded = np.exp(-(time_s - self._now_s) / MEMORY_S) if len(self._ids) else 1.0
        self._now_s = time_s if np.isfinite(time_s) else 0.0
        self._take_over(tracks, faded)
        member, score, rivalled = self._looks(tracks, claims)

        counts = np.flatnonzero((member != NOBODY) & ~rivalled)
        self._evidence[counts, member[counts]] += score[counts]
        void = np.flatnonzero((member != NOBODY) & rivalled)
        self._evidence[void, member[void]] = 0.0
        return self._sure(tracks, member, score, rivalled)

    def _take_over(self, tracks: Tracks, faded: float) -> None:
        """The evidence for the tracks of this frame: what there was, faded, of those seen without a gap."""
        evidence, seen_s = np.zeros((len(tracks), self._count)), np.full(len(tracks), -np.inf)
        same = tracks.ids[:, None] == self._ids[None]
        now, before = np.nonzero(same)
        evidence[now], seen_s[now] = self._evidence[before] * faded, self._seen_s[before]
        evidence[~(self._now_s - seen_s <= GAP_S)] = 0.0
        seen_s[tracks.measured] = self._now_s
        self._ids, self._evidence, self._seen_s = tracks.ids, evidence, seen_s

    def _looks(self, tracks: Tracks, claims: Claims) -> tuple[NDArray[np.int32], F32, NDArray[np.bool_]]:
        """Of each track in this frame: the member it is claimed to be or NOBODY, the claim's score, and whether another
        detection claims the same."""
        with np.errstate(invalid="ignore"):
            real = (claims.members >= 0) & (claims.members < self._count) & (claims.scores >= RIVAL_SCORE)
        member = np.full(len(tracks), NOBODY, np.int32)
        score = np.zeros(len(tracks), np.float32)
        at = np.flatnonzero(tracks.measured & (tracks.detection >= 0) & (tracks.detection < len(real)))
        at = at[real[tracks.detection[at]]]
        member[at], score[at] = claims.members[tracks.detection[at]], claims.scores[tracks.detection[at]]
        claimed = np.bincount(claims.members[real], minlength=self._count + 1)
        return member, np.minimum(score, 1.0), claimed[member] > 1

    def _sure(
        self, tracks: Tracks, member: NDArray[np.int32], score: F32, rivalled: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        sure = np.full(len(tracks), NOBODY, np.int32)
        able = tracks.confirmed & (member != NOBODY) & ~rivalled & (score >= CLAIM_SCORE)
        for track in np.flatnonzero(able).tolist():
            own = self._evidence[track, member[track]]
            others = np.delete(self._evidence[track], member[track])
            if own >= ENOUGH and own >= MARGIN * others.max(initial=0.0):
                sure[track] = member[track]
        return sure

"""Learn to tell whether two tracks that part were exchanged: from the tracker's own runs over sequences with their truth."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engines.frame import F32
from engines.track.kinds import Kind
from engines.track.odds import Learnt, Odds
from engines.track.partings import FEATURES, Parting
from engines.track.tracker import Tracker
from engines.train.layers import Adam, Weights, backward, first_weights, forward, scale_of, scaled
from engines.train.tracker_data import KEPT_SHARES, NOBODY, Look, Sequence

log = logging.getLogger(__name__)

SIZES: Final = (FEATURES, 32, 1)
STEPS: Final = 1500
DECAY: Final = 0.5
RUNS: Final = 13
"""Over each sequence: the first with all frames, the others with a share of them dropped at random."""
LOOKS: Final = 8
"""The last looks before a crossing tell whom a track followed ..."""
AFTER_S: Final = 0.25
"""... and those so long after it whom it follows now; ..."""
MOST_OF: Final = 0.6
"""... if so much of them agrees."""
DOUBT_WEIGHT: Final = 0.3
"""What a parting counts of which the truth does not tell that it was right or wrong; half of it is known in HALF_WEIGHT."""
HALF_WEIGHT: Final = 0.5
NEVER: Final = np.array([-10.0], np.float32)
"""Log-odds of what has never been seen."""


@dataclass(slots=True)
class Case:
    """A parting: what the network is told, of which tracks, when; whom both had followed when they met, and whom each follows
    `after` it."""

    told: F32
    ids: tuple[int, int]
    time_s: float
    before: tuple[int, int]
    after: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))

    def judged(self) -> tuple[bool, float]:
        """Whether the tracks were exchanged, and what that counts."""
        was, now = self.before, [_most(seen) for seen in self.after]
        right = sum(was[k] == now[k] != NOBODY for k in (0, 1))
        exchanged = sum(was[k] == now[1 - k] != NOBODY for k in (0, 1))
        return exchanged > right, (DOUBT_WEIGHT, HALF_WEIGHT, 1.0)[abs(exchanged - right)]


class Watcher(Tracker):
    """A tracker that notes every parting and exchanges nobody."""

    def __init__(self, kind: Kind, same: Odds) -> None:
        super().__init__(kind, Learnt(same))
        self.cases: list[Case] = []
        self._open: list[Case] = []
        self._followed: dict[int, list[tuple[float, int]]] = {}
        """Of each track, when it was seen, and whom the truth has there."""

    def watch(self, look: Look) -> None:
        tracks = self.step(look.detections, look.time_s)
        shown = tracks.measured & tracks.confirmed
        who = look.who[tracks.detection[shown]].tolist()
        here = dict(zip(tracks.ids[shown].tolist(), who, strict=True))
        for track, person in here.items():
            self._followed.setdefault(track, []).append((look.time_s, person))
        for case in self._open:
            for track, seen in zip(case.ids, case.after, strict=True):
                seen += [here[track]] if track in here else []
        self._open = [case for case in self._open if look.time_s < case.time_s + AFTER_S]

    def _exchange_odds(self, parting: Parting) -> float:
        a, b = (int(self._ids[row]) for row in parting.rows)
        case = Case(parting.told, (a, b), parting.time_s, (self._before(a, parting), self._before(b, parting)))
        self.cases.append(case)
        self._open.append(case)
        return -np.inf

    def _before(self, track: int, parting: Parting) -> int:
        looks = self._followed.get(track, [])
        met = bisect_left(looks, parting.met_s, key=lambda look: look[0])
        return _most([person for _, person in looks[max(met - LOOKS, 0) : met]])


def _most(people: list[int]) -> int:
    """The one person that most of these are, NOBODY where they are not agreed."""
    counts = Counter(person for person in people if person != NOBODY)
    person, count = counts.most_common(1)[0] if counts else (NOBODY, 0)
    return person if count >= MOST_OF * counts.total() else NOBODY


def cases(sequences: Several[Sequence], kind: Kind, same: Odds, random: np.random.Generator) -> list[Case]:
    """All partings of RUNS runs over the sequences."""
    found: list[Case] = []
    for run in range(RUNS):
        for sequence in sequences:
            watcher = Watcher(kind, same)
            for look in sequence:
                if run == 0 or random.random() < KEPT_SHARES[run % len(KEPT_SHARES)]:
                    watcher.watch(look)
            found += watcher.cases
    return found


def learn_partings(sequences: Several[Sequence], kind: Kind, same: Odds, seed: int = 0) -> Weights:
    """The weights of a network that says how likely it is that two who part were exchanged. Where nobody is ever exchanged, it
    always says no."""
    random = np.random.default_rng(seed)
    weights = first_weights(SIZES, random)
    every = cases(sequences, kind, same, random)
    judged = np.array([case.judged() for case in every], np.float32).reshape(-1, 2)
    exchanged, counts = judged.T
    if not exchanged.any():
        return {name: np.zeros_like(value) for name, value in weights.items()} | {"b1": NEVER}
    told = np.stack([case.told for case in every])
    mean, scale = scale_of(told)
    told = (told - mean) * scale
    adam = Adam(weights, STEPS, DECAY)
    for _ in range(STEPS):
        values = forward(weights, told)
        likely = 1 / (1 + np.exp(-values[-1][:, 0]))
        slope = ((likely - exchanged) * counts / len(every)).astype(np.float32)
        adam.step(backward(weights, values, slope[:, None]))
    wrong = ((likely > 0.5) != (exchanged > 0.5)) @ counts / counts.sum()
    log.info("%d partings, %d of exchanged tracks: %.1f %% judged wrongly", len(every), exchanged.sum(), 100 * wrong)
    return scaled(weights, mean, scale)

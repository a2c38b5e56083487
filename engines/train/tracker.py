"""Learn the log-odds that a track and a detection are one person, from sequences with their truth; numpy alone.

First the tracks are driven by the truth, so that their state is what a good run would have; then twice by the tracker itself with
what was learnt, mistakes included. Every sequence is seen at its own rate and with frames dropped at random, which teaches
gaps and uneven times. What is learnt last is to tell whether two who part were exchanged (`partings`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
from engines.track.kalman import F64
from engines.track.kinds import Kind
from engines.track.memory import HITS, SEEN_S, Found
from engines.track.odds import PREFIX, Learnt, Odds
from engines.track.pairs import FEATURES, Overlaps, Rows, features
from engines.track.tracker import Tracker
from engines.train.layers import Adam, Weights, backward, first_weights, forward, scale_of, scaled
from engines.train.partings import learn_partings
from engines.train.tracker_data import KEPT_SHARES, NOBODY, Look, Sequence

log = logging.getLogger(__name__)

SIZES: Final = (FEATURES, 48, 24, 1)
EPOCHS: Final = 8
BATCH_FRAMES: Final = 48
DECAY: Final = 1e-4
OWN_RUNS: Final = 2
STRANGER: Final = -2
"""Owner of a track that follows nobody of the truth."""


@dataclass(frozen=True, slots=True)
class Example:
    """The pairs of one frame: features (n, FEATURES), whether each is one person (n,), and its track and detection (n,), numbered
    from 0 without gaps."""

    told: F32
    same: NDArray[np.bool_]
    track: Rows
    detection: Rows


class Pupil(Tracker):
    """A tracker that notes every pair it weighs; until it has weights the truth leads its tracks.

    A track belongs to the person that it followed last; of two tracks of one person the one seen last counts.
    """

    def __init__(self, kind: Kind, odds: Odds | None) -> None:
        self._weights = odds or Odds(first_weights(SIZES, np.random.default_rng(0)))
        super().__init__(kind, Learnt(self._weights))
        self.examples: list[Example] = []
        self._led = odds is None
        self._owner: dict[int, int] = {}
        self._look: Look | None = None

    def watch(self, look: Look) -> None:
        """Take in a frame and note its pairs."""
        self._look = look
        tracks = self.step(look.detections, look.time_s)
        for track_id, who in zip(tracks.ids[tracks.measured], look.who[tracks.detection[tracks.measured]], strict=True):
            if who != NOBODY:
                self._owner[int(track_id)] = int(who)

    def _owners(self) -> Rows:
        """(tracks,) whom each track belongs to, or STRANGER."""
        owners = np.array([self._owner.get(i, STRANGER) for i in self._ids.tolist()], np.intp)
        table, last = self._memory.table, dict[int, int]()
        for row in np.lexsort((table[HITS], table[SEEN_S])).tolist():
            last[int(owners[row])] = row
        mine = np.zeros(len(owners), np.bool_)
        mine[list(last.values())] = True
        return np.where(mine, owners, STRANGER)

    def _associate(self, found: Found, overlaps: Overlaps, now: float, track_of: Rows) -> None:
        if not self._led:
            super()._associate(found, overlaps, now, track_of)
            return
        super()._associate(found, overlaps, now, track_of.copy())  # notes the pairs
        assert self._look is not None
        rows = {owner: row for row, owner in enumerate(self._owners().tolist()) if owner != STRANGER}
        track_of[:] = [rows.get(who, -1) for who in self._look.who[found.index].tolist()]

    def _weigh(self, found: Found, overlaps: Overlaps, track: Rows, detection: Rows, now: float) -> F64:
        assert self._look is not None
        told = features(self._filters, self._memory.table, found, overlaps, track, detection, now)
        owner, who = self._owners()[track], self._look.who[found.index[detection]]
        same = (owner == who) & (who != NOBODY)
        dense = (np.unique(numbers, return_inverse=True)[1] for numbers in (track, detection))
        self.examples.append(Example(told.T.copy(), same, *dense))
        return self._weights(told).astype(np.float64)


def examples(sequences: Several[Sequence], kind: Kind, odds: Odds | None, random: np.random.Generator) -> list[Example]:
    """What a run over all sequences weighs, at their own rate and with frames dropped; led by the truth without `odds`."""
    found: list[Example] = []
    for number, sequence in enumerate(sequences):
        for share in (1.0, KEPT_SHARES[number % len(KEPT_SHARES)]):
            pupil = Pupil(kind, odds)
            for look in sequence:
                if share == 1 or random.random() < share:
                    pupil.watch(look)
            found += pupil.examples
    return found


def learn(frames: Several[Example], seed: int = 0) -> Weights:
    """Listwise: a softmax over the tracks of each detection and one over the detections of each track, each with a none of
    log-odds 0 beside the pairs. What wins is what the assignment maximises; 0 is where it may refuse."""
    random = np.random.default_rng(seed)
    mean, scale = scale_of(np.concatenate([frame.told for frame in frames]))
    weights = first_weights(SIZES, random)
    batches = max(len(frames) // BATCH_FRAMES, 1)
    adam = Adam(weights, EPOCHS * batches, DECAY)
    for epoch in range(EPOCHS):
        order, loss, wrong, seen = random.permutation(len(frames)), 0.0, 0, 0
        for part in np.array_split(order, batches):
            batch = [frames[i] for i in part]
            told = (np.concatenate([frame.told for frame in batch]) - mean) * scale
            gradient, batch_loss, batch_wrong, count = _pass(weights, told.astype(np.float32), batch)
            loss, wrong, seen = loss + batch_loss, wrong + batch_wrong, seen + count
            adam.step(gradient)
        log.info(
            "epoch %d: loss %.4f, %.2f %% of detections to a wrong track", epoch + 1, loss / seen, 100 * wrong / seen
        )
    return scaled(weights, mean, scale)


def _pass(weights: Weights, told: F32, batch: list[Example]) -> tuple[Weights, float, int, int]:
    """Gradients, and loss, wrong choices and number of the pairs that are one person."""
    same = np.concatenate([frame.same for frame in batch])
    track = _apart([frame.track for frame in batch])
    detection = _apart([frame.detection for frame in batch])
    values = forward(weights, told)
    odds = np.exp(np.clip(values[-1][:, 0], -30, 30).astype(np.float64))
    by_track = odds / (1 + np.bincount(track, odds))[track]
    by_detection = odds / (1 + np.bincount(detection, odds))[detection]
    loss = -float(np.log(by_track[same] + 1e-12).sum() + np.log(by_detection[same] + 1e-12).sum())
    count = max(int(same.sum()), 1)
    slope = ((by_track + by_detection - 2 * same) / count).astype(np.float32)[:, None]
    return backward(weights, values, slope), loss, int((by_detection[same] < 0.5).sum()), count


def _apart(numbers: list[Rows]) -> Rows:
    """Numbers of several frames, moved so that no two frames share one."""
    starts = np.cumsum([0, *(part.max() + 1 for part in numbers[:-1])])
    return np.concatenate([part + start for part, start in zip(numbers, starts, strict=True)])


def train(sequences: Several[Sequence], kind: Kind, seed: int = 0) -> Weights:
    """Learn from `sequences`, which nothing but these should be judged on afterwards.

    Raises:
        ValueError: there is nothing to learn from: no pair is ever in doubt.
    """
    random = np.random.default_rng(seed)
    frames = examples(sequences, kind, None, random)
    if not any(frame.same.any() for frame in frames):
        raise ValueError("nothing to learn from: no pair of a track and a detection is ever in doubt")
    weights = learn(frames, seed)
    for run in range(OWN_RUNS):
        frames += examples(sequences, kind, Odds(weights), random)
        log.info("run %d of its own: %d frames with pairs in doubt", run + 1, len(frames))
        weights = learn(frames, seed)
    parted = learn_partings(sequences, kind, Odds(weights), seed)
    return weights | {PREFIX + name: value for name, value in parted.items()}

"""What a person has decided about the covers of a video: pure values, and what they make of each frame's covers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
from engines.render.covers import GROW
from engines.review.lives import Life, Moment
from engines.track.associate import overlaps

MATCH: float = 0.5
"""Intersection over union with what the person has seen, from which a cover is the one that was removed."""

Box = tuple[float, float, float, float]
Key = tuple[int, Box]


@dataclass(frozen=True, slots=True)
class Add:
    """A cover more, the ellipse in its box: `keys` say where it is in some frames, which rise; between two of them it moves
    evenly. `stretches` names the life whose beginning or end it prolongs."""

    keys: tuple[Key, ...]
    stretches: int | None = None

    @property
    def first(self) -> int:
        return self.keys[0][0]

    @property
    def last(self) -> int:
        return self.keys[-1][0]

    def at(self, frame: int) -> Box | None:
        """Its box in a frame, None before its first and after its last key."""
        if not self.first <= frame <= self.last:
            return None
        after = bisect_right(self.keys, frame, key=lambda key: key[0])
        start, box = self.keys[after - 1]
        if frame == start:
            return box
        end, next_box = self.keys[after]
        share = (frame - start) / (end - start)
        x0, y0, x1, y1 = (a + (b - a) * share for a, b in zip(box, next_box, strict=True))
        return x0, y0, x1, y1

    def with_key(self, frame: int, box: Box) -> Add:
        """The same, but in that box in that frame."""
        keys = {**dict(self.keys), frame: box}
        return replace(self, keys=tuple(sorted(keys.items())))

    def within(self, first: int, last: int) -> Add:
        """The same from `first` to `last`: beyond its keys it stands still."""
        held = [key for key in self.keys if first < key[0] < last]
        ends = {edge: self.at(min(max(edge, self.first), self.last)) for edge in (first, last)}
        return replace(self, keys=tuple(sorted({**dict(held), **ends}.items())))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Remove:
    """A life's covers are taken away from frame `first` to `last`: those that lie where they lay when a person looked,
    `seen` (frame, x0, y0, x1, y1). `score` is the best of the life's."""

    life: int
    first: int
    last: int
    score: float
    seen: tuple[tuple[int, int, int, int, int], ...]

    @classmethod
    def of(cls, life: Life, first: int, last: int, moments: Sequence[Moment]) -> Remove:
        """Raises ValueError: no frame of the life lies there."""
        first, last = max(first, life.first), min(last, life.last)
        if first > last:
            raise ValueError(f"cover {life.ident} is not there")
        seen = [(n, *box) for n in range(first, last + 1) for box in moments[n].of(life.ident).tolist()]
        return cls(life.ident, first, last, round(life.score, 3), tuple(seen))


Decision = Add | Remove
Decisions = tuple[Decision, ...]


def bounded(decisions: Decisions, life: Life, first: int, last: int, moments: Sequence[Moment]) -> Decisions:
    """The life is covered from `first` to `last`, in place of whatever was decided about its beginning and end.

    Where it becomes longer, its first or last cover stands still; where it becomes shorter, its covers are taken away.
    """
    kept = [one for one in decisions if not _about_ends(one, life)]
    sides = (first, min(last, life.first - 1), life.first), (max(first, life.last + 1), last, life.last)
    for start, end, edge in sides:
        if start <= end:
            x0, y0, x1, y1 = (float(value) for value in _hull(moments[edge].of(life.ident)))
            box = x0, y0, x1, y1
            kept.append(Add(((start, box),), life.ident).within(start, end))
    for start, end in ((life.first, min(first - 1, life.last)), (max(last + 1, life.first), life.last)):
        if start <= end:
            kept.append(Remove.of(life, start, end, moments))
    return tuple(kept)


def _about_ends(decision: Decision, life: Life) -> bool:
    if isinstance(decision, Add):
        return decision.stretches == life.ident
    return decision.life == life.ident and (decision.first == life.first or decision.last == life.last)


def _hull(boxes: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))


class Plan:
    """The decisions, ready to be asked about one frame after the other."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._added: list[tuple[int, Add]] = []
        self._seen: dict[int, list[tuple[int, NDArray[np.int32]]]] = {}
        for number, decision in enumerate(decisions):
            if isinstance(decision, Add):
                self._added.append((number, decision))
                continue
            for frame, *box in decision.seen:
                self._seen.setdefault(frame, []).append((decision.life, np.array(box, np.int32)))

    def added(self, frame: int) -> list[tuple[int, Box]]:
        """Which of the decisions add a cover to a frame, by their number, and its box."""
        boxes = ((number, add.at(frame)) for number, add in self._added)
        return [(number, box) for number, box in boxes if box is not None]

    def extra_boxes(self, frame: int) -> F32:
        """(n, 4) xyxy px for `choose_covers`, whose covers then hold the added ones."""
        return uncovered(np.array([box for _, box in self.added(frame)], np.float32).reshape(-1, 4))

    def removed(self, frame: int, moment: Moment) -> NDArray[np.bool_]:
        """(n,): which of a frame's covers are taken away."""
        away = np.zeros(len(moment.lives), np.bool_)
        for life, box in self._seen.get(frame, ()):
            near = overlaps(moment.boxes.astype(float), box[None].astype(float))[:, 0] >= MATCH
            away |= near & (moment.lives == life)
        return away


def uncovered(covers: F32) -> F32:
    """(n, 4): the boxes for which `choose_covers` gives covers that hold these."""
    centre, half = (covers[:, :2] + covers[:, 2:]) / 2, (covers[:, 2:] - covers[:, :2]) / 2
    return np.concatenate((centre - half / GROW, centre + half / GROW), axis=1).astype(np.float32)


def unmatched(decisions: Iterable[Decision], moments: Sequence[Moment]) -> int:
    """How many of the covers that were removed are not found in this analysis; what lies there instead stays covered."""
    plan = Plan(decisions)
    asked = sum(len(one.seen) for one in decisions if isinstance(one, Remove))
    return asked - sum(int(plan.removed(frame, moment).sum()) for frame, moment in enumerate(moments))

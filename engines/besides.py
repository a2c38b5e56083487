"""What is covered besides faces: things of other classes, and the heads of persons whose face is not seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engines.frame import F32, Detections, Tracks, centres
from engines.models.networks import PERSON, check_known
from engines.render.covers import GROW, boxes_to_cover
from engines.track.tracker import Tracker

HEAD_WIDTH: Final = 0.7
"""Of a person's width: wherever in the middle the head is."""
HEAD_REACH: Final = 0.6
"""Of a person's width, down from the top: where the head of one seen whole ends ..."""
CLOSE_REACH: Final = 1.0
"""... and of one whose box is wider than CLOSE times its height, since the picture shows but the upper part."""
CLOSE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Seen:
    """`boxes` (n, 4) xyxy px to be covered in this frame; `tracks` of what was found, for the delay line."""

    boxes: F32
    tracks: Tracks
    shot: int
    time_s: float

    @classmethod
    def nothing(cls, shot: int, time_s: float) -> Seen:
        return cls(np.zeros((0, 4), np.float32), Tracks.empty(), shot, time_s)


class Besides:
    """Chooses and tracks it in one stream, frame by frame. `classes` and `heads` may be set from any thread."""

    def __init__(self, classes: Collection[str] = (), heads: bool = False) -> None:
        self.classes = frozenset(classes)
        """Those of the network's classes that are covered, besides faces."""
        self.heads = heads
        """Persons without a visible face have their head covered."""
        self._tracker = Tracker()

    def forget(self) -> None:
        self._tracker.forget()

    def step(
        self, found: Detections, faces: Detections, tracks: Tracks, shot: int, time_s: float, *, cut: bool, wary: bool
    ) -> Seen | None:
        """Take in all that was `found` in a frame, beside its `faces` and their tracks; None where nothing more is covered.

        Raises:
            ValueError: the network does not find what is to be covered.
        """
        classes, heads = self.classes.difference(found.face_names), self.heads
        if not classes and not heads:
            return None
        check_known(classes, heads, found.names)
        wanted = found.of(classes)
        if heads:
            persons = found.of((PERSON,))
            wanted = _together(wanted, unseen_heads(persons, boxes_to_cover(faces, tracks, wary=wary)[0]))
        seen = self._tracker.step(wanted, time_s, cut=cut)
        return Seen(boxes_to_cover(wanted, seen, wary=wary)[0], seen, shot, time_s)


def head_boxes(persons: F32) -> F32:
    """(n, 4) xyxy px: where the head of each person (n, 4) must be, generously."""
    x0, y0, x1, y1 = persons.T
    width, height = x1 - x0, y1 - y0
    reach = np.where(width > CLOSE * height, CLOSE_REACH, HEAD_REACH) * width
    middle, half = (x0 + x1) / 2, width * (HEAD_WIDTH / 2)
    return np.stack((middle - half, y0, middle + half, y0 + np.minimum(reach, height)), axis=1).astype(np.float32)


def unseen_heads(persons: Detections, faces: F32) -> Detections:
    """The heads of `persons` but of those to whom one of `faces` (m, 4) belongs: each face to the nearest of the heads around
    its centre."""
    heads = head_boxes(persons.boxes)
    seen = np.zeros(len(heads), np.bool_)
    if len(heads) and len(faces):
        size = np.maximum(heads[:, 2:] - heads[:, :2], 1)
        away = np.abs(centres(faces)[:, None] - centres(heads)[None]) / size
        away = away.max(axis=2)
        nearest = away.argmin(axis=1)
        seen[nearest[away.min(axis=1) <= GROW / 2]] = True
    kept = np.flatnonzero(~seen)
    return replace(
        persons,
        boxes=heads[kept],
        scores=persons.scores[kept],
        classes=persons.classes[kept],
        landmarks=persons.landmarks[kept],
    )


def _together(a: Detections, b: Detections) -> Detections:
    return replace(
        a,
        boxes=np.concatenate((a.boxes, b.boxes)),
        scores=np.concatenate((a.scores, b.scores)),
        classes=np.concatenate((a.classes, b.classes)),
        landmarks=np.concatenate((a.landmarks, b.landmarks)),
    )

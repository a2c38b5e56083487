"""Whose body is whose face's: where a model finds persons, a fancam holds through turns in which no face is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.besides import head_boxes
from engines.frame import F32, Detections, Tracks, centres
from engines.models.networks import PERSON
from engines.track.kinds import PERSONS
from engines.track.tracker import Exchange, Tracker

NEAR: Final = 0.65
"""Of the head's size: so far may a face's centre be from that of the head."""
TURNED_S: Final = 8.0
"""A body tells for so long where a face is that nobody sees."""


@dataclass(slots=True)
class Bound:
    """A face's track on a body: `face` (4,) is the face's centre, from the middle of the body's top, and its size, px."""

    track: int
    face: NDArray[np.float64]
    seen_s: float
    before: frozenset[int] = frozenset()
    """Earlier tracks of the same body's face."""


class Bodies:
    """Tracks the persons of one stream, and binds faces to them. Not thread-safe."""

    def __init__(self) -> None:
        self._tracker = Tracker(PERSONS)
        self._bound: dict[int, Bound] = {}

    def forget(self) -> None:
        self._tracker.forget()
        self._bound.clear()

    def step(self, found: Detections, faces: Detections, tracks: Tracks, time_s: float, *, cut: bool) -> dict[int, F32]:
        """Take in all that was `found` in a frame, beside its `faces` and their tracks. Returns, for tracks of faces that are not
        seen while their body is, where the face must be (4,) xyxy px."""
        persons = found.of((PERSON,))
        if cut:
            self._bound.clear()
        bodies = self._tracker.step(persons, time_s, cut=cut)
        for exchange in self._tracker.exchanges:
            self._exchange(exchange)
        rows = np.flatnonzero(bodies.measured & bodies.confirmed)
        boxes = persons.boxes[bodies.detection[rows]]
        self._bind(bodies.ids[rows], boxes, faces, tracks, time_s)
        live = set(bodies.ids.tolist())
        self._bound = {
            body: bound for body, bound in self._bound.items() if body in live and time_s - bound.seen_s <= TURNED_S
        }
        seen = set(tracks.ids[tracks.measured].tolist())
        turned = {}
        for body, box in zip(bodies.ids[rows].tolist(), boxes.astype(np.float64), strict=True):
            bound = self._bound.get(body)
            if bound is not None:
                x, y = (box[0] + box[2]) / 2 + bound.face[0], box[1] + bound.face[1]
                w, h = bound.face[2:] / 2
                face = np.array((x - w, y - h, x + w, y + h), np.float32)
                turned.update(dict.fromkeys({bound.track, *bound.before} - seen, face))
        return turned

    def _exchange(self, exchange: Exchange) -> None:
        """Faces seen on bodies while these had each other's ids go along with the bodies."""
        had = [(body, self._bound.pop(body)) for body in exchange.ids if body in self._bound]
        place = dict(zip(exchange.ids, exchange.ids[::-1], strict=True))
        for body, bound in sorted(had, key=lambda one: one[1].seen_s):
            self._bound[place[body] if bound.seen_s >= exchange.since_s else body] = bound

    def _bind(self, ids: NDArray[np.int64], boxes: F32, faces: Detections, tracks: Tracks, time_s: float) -> None:
        """Each face to the body whose head it is nearest to, where it is the nearest to that head too."""
        rows = np.flatnonzero(tracks.measured & tracks.confirmed)
        if not len(rows) or not len(ids):
            return
        seen, heads = faces.boxes[tracks.detection[rows]], head_boxes(boxes)
        size = np.maximum(heads[:, 2:] - heads[:, :2], 1)
        away = (np.abs(centres(seen)[:, None] - centres(heads)[None]) / size).max(axis=2)
        for face, body in enumerate(away.argmin(axis=1)):
            if away[face, body] > NEAR or away[:, body].argmin() != face:
                continue
            track, box, (x0, y0, x1, y1) = int(tracks.ids[rows[face]]), boxes[body], seen[face]
            middle = (box[0] + box[2]) / 2
            place = np.array(((x0 + x1) / 2 - middle, (y0 + y1) / 2 - box[1], x1 - x0, y1 - y0), np.float64)
            self._take(int(ids[body]), track, place, time_s)

    def _take(self, body: int, track: int, place: NDArray[np.float64], time_s: float) -> None:
        """A body has a face now, which no other has."""
        for other, bound in list(self._bound.items()):
            if other != body and bound.track == track:
                del self._bound[other]
            bound.before -= {track}
        last = self._bound.get(body)
        before = (last.before | {last.track}) - {track} if last is not None else frozenset[int]()
        self._bound[body] = Bound(track, place, time_s, before)

"""Recognises members by a detector whose classes they are: what it claims of the faces of a frame, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Detections, Tracks
from engines.track.associate import overlaps
from engines.track.identity import NOBODY, Claims, Identity
from engines.track.naming import Names, Naming

SAME_FACE: Final = 0.5
"""Detections that overlap so much (intersection over union) are one face, found by several networks or as several classes."""
TWICE: Final = 2.0
"""A face is claimed to be the one that scores so many times more than any other it is claimed to be."""


class Recogniser:
    """Recognises `members` in one stream by a detector whose classes they are: all of them, else nobody is recognised.

    Two answers from the same claims: who surely is a member in this very frame, which decides who may be seen, and what
    each track is called, which holds through turns and decides nothing.
    """

    def __init__(self, members: Sequence[str]) -> None:
        self._members = tuple(members)
        self._identity, self._naming = Identity(len(members)), Naming(len(members))
        self._classes: tuple[str, ...] = ()
        self._member_of_class = np.zeros(0, np.int32)

    def recognise(
        self, detections: Detections, tracks: Tracks, time_s: float, *, cut: bool
    ) -> tuple[NDArray[np.int32], Names]:
        """(tracks,) int32: the member that each track surely is in this very frame, else NOBODY; and their names. After a `cut`
        nobody is known."""
        if cut:
            self._identity.forget()
            self._naming.forget()
        claims = self.claims(detections, tracks)
        return self._identity.step(tracks, claims, time_s), self._naming.step(tracks, claims, time_s)

    def claims(self, detections: Detections, tracks: Tracks) -> Claims:
        """What the classes of one frame's detections say of who they are, one claim a face."""
        if detections.names != self._classes:
            self._classes = detections.names
            numbers = {member: number for number, member in enumerate(self._members)}
            known = numbers if numbers.keys() <= set(self._classes) else {}
            self._member_of_class = np.array([known.get(name, NOBODY) for name in self._classes], np.int32)
        named = (detections.classes >= 0) & (detections.classes < len(self._member_of_class))
        members = np.full(len(detections), NOBODY, np.int32)
        members[named] = self._member_of_class[detections.classes[named]]
        claims = Claims(members, detections.scores)
        return gather(claims, detections.boxes, tracks.detection[tracks.measured])


def gather(claims: Claims, boxes: F32, tracked: NDArray[np.int32]) -> Claims:
    """Claims about one face, found by several networks or as several classes, as one claim: that of its track's detection,
    which is one of the indices `tracked` into `boxes` (n, 4) xyxy.

    A face that is claimed to be two people, or that two tracks share, is claimed to be nobody.
    """
    members, scores = claims.members.copy(), claims.scores.copy()
    with np.errstate(all="ignore"):  # boxes that are not finite overlap none
        same = overlaps(boxes[tracked].astype(np.float64), boxes.astype(np.float64)) >= SAME_FACE
    for own, face in zip(tracked.tolist(), same, strict=True):
        face[own] = True
        members[face] = NOBODY
    for own, face in zip(tracked.tolist(), same, strict=True):
        about = np.flatnonzero(face & (claims.members >= 0) & (claims.scores > 0))
        if not len(about) or face[tracked].sum() > 1:
            continue
        best = about[np.argmax(claims.scores[about])]
        others = about[claims.members[about] != claims.members[best]]
        if claims.scores[best] >= TWICE * claims.scores[others].max(initial=0.0):
            members[own], scores[own] = claims.members[best], claims.scores[best]
    return Claims(members, scores)

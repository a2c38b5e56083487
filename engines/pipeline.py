"""The order of the stages, the same live and offline: detect, track, then render each feed.

Live and offline differ in where frames come from, where they go and which clock drives them, in nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.besides import Besides, Seen
from engines.bodies import Bodies
from engines.detect.nms import suppress
from engines.frame import F32, RTP_CLOCK_HZ, Detections, Frame, Picture, PicturePool, RedactedFrame, Tracks
from engines.models.networks import PERSON
from engines.render.camera import DEFAULT_PRESET, Camera, output_size
from engines.render.crop import crop
from engines.render.followed import Follower, Place
from engines.render.overlay import draw
from engines.render.redact import Redactor, Style
from engines.render.slate import draw_slate
from engines.track.appearance import describe
from engines.track.cuts import Change, CutDetector
from engines.track.lookahead import Lookahead
from engines.track.naming import Names
from engines.track.recognise import Recogniser
from engines.track.tracker import Tracker

if TYPE_CHECKING:
    from engines.detect.detector import Detector

WARY_FRAMES: Final = 10
"""After a cut, doubtful detections count as faces for this many frames."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """A frame and all that is known of it.

    `detections` are the faces, which `tracks` are of; `others` what else the networks know and found (persons, plates).
    `shot` counts the pictures that go on from one another: it rises at the first frame, at each cut, flash and change of size.
    `wary`: within WARY_FRAMES of that. `tracks` are predictions when the detections are not complete.
    """

    frame: Frame
    detections: Detections
    tracks: Tracks
    shot: int
    wary: bool
    others: Detections | None = None
    besides: Seen | None = None
    """What is covered besides faces."""
    turned: dict[int, F32] = field(default_factory=dict)
    """Of tracks whose face is not seen, but whose body is: where the face must be (4,) xyxy px."""
    names: Names | None = None
    """What the tracks are called, for those who may know it; None where nobody was looked for. Decides nothing."""

    @property
    def time_s(self) -> float:
        return self.frame.rtp_time / RTP_CLOCK_HZ

    def with_besides(self, extra_boxes: F32 | None) -> F32 | None:
        """`extra_boxes` (m, 4) xyxy px and those that are covered besides faces."""
        if self.besides is None:
            return extra_boxes
        boxes = self.besides.boxes
        return boxes if extra_boxes is None else np.concatenate((extra_boxes, boxes))


class Pipeline:
    """Analyses the frames of one stream, in order. `detector` is needed for `analyse` alone. Not thread-safe, but that
    `recogniser` may be set from any thread."""

    def __init__(
        self, detector: Detector | None = None, tracker: Tracker | None = None, besides: Besides | None = None
    ) -> None:
        self.detector = detector
        self.tracker = tracker or Tracker()
        self.recogniser: Recogniser | None = None
        """Says who the tracks are; None where the networks know nobody."""
        self.besides = besides or Besides()
        self._bodies = Bodies()
        self._cuts = CutDetector()
        self._size = (0, 0)
        self._shot = 0
        self._since_cut = 0
        self._names: Names | None = None
        """Of the tracks of the last complete detections; predicted tracks are the same ones."""
        self._change = Change.NONE
        """The largest since the last complete detections."""

    def analyse(self, frame: Frame) -> Analysed:
        """Detect and track."""
        if self.detector is None:
            raise ValueError("this pipeline has no detector")
        (detections,) = self.detector.detect([frame])
        frame.ledger.detected = time.monotonic_ns()
        return self.track(frame, detections)

    def track(self, frame: Frame, detections: Detections) -> Analysed:
        """Take in the detections of the next frame; when they are not complete, the tracks are predicted."""
        size = frame.width, frame.height
        if size != self._size:
            self._size, self._cuts = size, CutDetector()
            self.tracker.forget()
            self.besides.forget()
            self._bodies.forget()
            self._names = None
        change = self._cuts.step(frame.y)
        if change:  # one of light might be a cut after all
            self._shot += 1
            self._since_cut = 0
        self._change = max(self._change, change)
        time_s = frame.rtp_time / RTP_CLOCK_HZ
        found, besides = detections, None
        turned: dict[int, F32] = {}
        detections, others = found.faces(), found.others()
        if detections.belong_to(frame):
            self._since_cut += 1
            change, self._change = self._change, Change.NONE
            cut = change is Change.CUT
            tracks = self._follow(frame, detections, time_s, cut)
            recogniser = self.recogniser
            if recogniser is None:
                self._names = None
            else:
                members, self._names = recogniser.recognise(detections, tracks, time_s, cut=change > Change.NONE)
                tracks = replace(tracks, members=members)
            if PERSON in found.names:
                turned = self._bodies.step(found, detections, tracks, time_s, cut=cut)
            wary = self._since_cut <= WARY_FRAMES
            besides = self.besides.step(found, detections, tracks, self._shot, time_s, cut=cut, wary=wary)
        else:
            tracks = self.tracker.predict(time_s)
        frame.ledger.tracked = time.monotonic_ns()
        wary = self._since_cut <= WARY_FRAMES
        return Analysed(frame, detections, tracks, self._shot, wary, others, besides, turned, self._names)

    def _follow(self, frame: Frame, faces: Detections, time_s: float, cut: bool) -> Tracks:
        """The tracks of faces, each of which may have been found more than once where the networks have several names for it."""
        looks = describe(frame, faces.boxes)
        if len(faces.face_names) < 2:
            return self.tracker.step(faces, time_s, cut=cut, looks=looks)
        once = np.sort(suppress(faces.boxes, faces.scores))
        tracks = self.tracker.step(faces.at(once), time_s, cut=cut, looks=looks[once])
        detection = np.full(len(tracks), -1, np.int32)
        detection[tracks.measured] = once[tracks.detection[tracks.measured]]
        return replace(tracks, detection=detection)


class DelayLine(Lookahead[Analysed]):
    """Holds analysed frames back; what later frames tell of what is covered besides faces is in them when they come out."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self._besides = Lookahead[Seen](**limits)

    def push(self, item: Analysed) -> list[tuple[Analysed, F32]]:
        seen = item.besides or Seen.nothing(item.shot, item.time_s)
        return self._joined(super().push(item), self._besides.push(seen))

    def flush(self) -> list[tuple[Analysed, F32]]:
        return self._joined(super().flush(), self._besides.flush())

    @staticmethod
    def _joined(items: list[tuple[Analysed, F32]], seen: list[tuple[Seen, F32]]) -> list[tuple[Analysed, F32]]:
        joined = []
        for (item, extra), (now, later) in zip(items, seen, strict=True):
            if len(now.boxes) or len(later):
                item = replace(item, besides=replace(now, boxes=np.concatenate((now.boxes, later))))
            joined.append((item, extra))
        return joined


class Feed(Protocol):
    """One outgoing video of a stream. What `render` returns is given back with `release` once it is encoded."""

    name: str
    size: tuple[int, int]
    """Width and height of its pictures."""

    def render(self, analysed: Analysed, extra_boxes: F32 | None = None) -> RedactedFrame | Picture | None:
        """The feed's picture of this frame, or None when the feed has nothing to show (any more)."""

    def release(self, result: RedactedFrame | Picture) -> None: ...


class RedactedFeed:
    """Everyone covered. Raises `Unsafe` for frames that were not analysed."""

    def __init__(self, size: tuple[int, int], style: Style = "solid") -> None:
        self.name, self.size = "redacted", size
        self.redactor = Redactor(style)

    def render(
        self, analysed: Analysed, extra_boxes: F32 | None = None, *, removed: NDArray[np.int32] | None = None
    ) -> RedactedFrame:
        """`removed` (m, 4) are the covers that a person has looked at and taken away."""
        return self.redactor.redact(
            analysed.frame,
            analysed.detections,
            analysed.tracks,
            extra_boxes=analysed.with_besides(extra_boxes),
            wary=analysed.wary,
            removed=removed,
        )

    def release(self, result: RedactedFrame | Picture) -> None:
        assert isinstance(result, RedactedFrame)
        result.release()


class PictureFeed:
    """What the feeds that show people have in common: pictures of one size, used again."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self.name, self.size = name, size
        self._pool = PicturePool(*size)

    def release(self, result: RedactedFrame | Picture) -> None:
        assert isinstance(result, Picture)
        self._pool.give_back(result)


class RawFeed(PictureFeed):
    """The source as it is; None for frames of another size than the feed's."""

    def render(self, analysed: Analysed, extra_boxes: F32 | None = None) -> Picture | None:
        if (analysed.frame.width, analysed.frame.height) != self.size:
            return None
        picture = self._pool.take()
        picture.copy_from(analysed.frame)
        return picture


class OverlayFeed(RawFeed):
    """The source with boxes, ids, scores and other classes' names drawn on it."""

    def render(self, analysed: Analysed, extra_boxes: F32 | None = None) -> Picture | None:
        picture = super().render(analysed)
        if picture is not None:
            draw(picture, analysed.detections, analysed.tracks, analysed.others)
        return picture


@dataclass(frozen=True, slots=True)
class Due:
    """A frame that a fancam shows now, with what belongs to it: what is covered besides, whom it follows and where."""

    analysed: Analysed
    extra_boxes: F32 | None
    track_id: int
    place: Place | None
    """None when the person is not there."""


class FancamFeed(PictureFeed):
    """A virtual camera that follows one track, live `delay` frames late, so that it moves smoothly.

    With `redactor` all others are covered; `show` raises `Unsafe` then for frames that were not analysed.
    """

    def __init__(self, track_id: int, size: tuple[int, int], preset: str = DEFAULT_PRESET, delay: int = 0) -> None:
        super().__init__(f"fancam/{track_id}", size)
        self.preset, self.delay = preset, delay
        self.redactor: Redactor | None = None
        self._follower = Follower(track_id, delay)
        self._waiting: deque[tuple[Analysed, F32 | None, int]] = deque()
        self._camera: Camera | None = None
        self._frame_size = (0, 0)

    @property
    def ended(self) -> bool:
        """The track has ended, and nobody knows who that was, who could come back."""
        return not self._follower.there and self._follower.member is None

    @property
    def next_time(self) -> int | None:
        """RTP time of the frame that is shown next; None while none waits."""
        return self._waiting[0][0].frame.rtp_time if self._waiting else None

    def render(self, analysed: Analysed, extra_boxes: F32 | None = None) -> Picture | None:
        """What `show` makes of the frame that is due when this one has come."""
        due = self.take_in(analysed, extra_boxes)
        return self.show(due) if due is not None else None

    def take_in(self, analysed: Analysed, extra_boxes: F32 | None = None) -> Due | None:
        """Take in the next frame and return the one `delay` before it; None while there is none."""
        follower = self._follower
        place = follower.push(analysed.detections, analysed.tracks, analysed.time_s, analysed.turned)
        self._waiting.append((analysed, extra_boxes, follower.track_id))
        if len(self._waiting) <= self.delay:
            return None
        return Due(*self._waiting.popleft(), place)

    def slate(self, reason: str) -> Picture:
        """A picture of nobody that says why."""
        picture = self._pool.take()
        draw_slate(picture, reason)
        return picture

    def show(self, due: Due) -> Picture | None:
        """The picture of a frame, None where the person is not; from where they are back the camera begins anew."""
        if due.place is None:
            self._camera = None
            return None
        frame = due.analysed.frame
        covered = self._covered(due)
        if self._camera is None or self._frame_size != (frame.width, frame.height):
            self._frame_size = frame.width, frame.height
            self._camera = Camera(*self._frame_size, *self.size, self.preset)
        place = due.place
        window = self._camera.step(place.face, place.seen, due.analysed.time_s, place.velocity)
        picture = self._pool.take()
        crop(covered or frame, window, picture)
        if self.redactor is not None and covered is not None:
            self.redactor.give_back(covered)
        return picture

    def _covered(self, due: Due) -> Picture | None:
        """The frame with all others covered; None where a policy lets them be seen."""
        if self.redactor is None:
            return None
        analysed = due.analysed
        return self.redactor.cover_others(
            analysed.frame,
            analysed.detections,
            analysed.tracks,
            due.track_id,
            extra_boxes=analysed.with_besides(due.extra_boxes),
            wary=analysed.wary,
        )


def make_feed(
    name: str, width: int, height: int, preset: str = DEFAULT_PRESET, style: Style = "solid", delay: int = 0
) -> RedactedFeed | RawFeed | FancamFeed:
    """The feed `redacted`, `overlay`, `raw` or `fancam/{track}` of a stream whose frames are `width` × `height`; a fancam
    `delay` frames late.

    Raises:
        ValueError: no feed has that name.
    """
    if name == "redacted":
        return RedactedFeed((width, height), style)
    if name == "raw":
        return RawFeed(name, (width, height))
    if name == "overlay":
        return OverlayFeed(name, (width, height))
    kind, _, track = name.partition("/")
    if kind == "fancam" and track.isdecimal():
        return FancamFeed(int(track), output_size(width, height, preset), preset, delay)
    raise ValueError(f"no feed {name!r}: one of redacted, overlay, raw, fancam/TRACK")

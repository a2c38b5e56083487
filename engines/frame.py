"""What a frame is and what is known of it: planes, time, detections, tracks, and the redacted picture as a type of its own."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

RTP_CLOCK_HZ: Final = 90_000

STAGES: Final = (
    "arrived", "decoded", "batched", "detected", "tracked", "waited", "rendered", "encoded", "sent",
)  # fmt: skip
"""The ledger's stamps, in the order of a frame's way."""


def plane_view(plane: Any, width: int, height: int) -> U8:
    """An (height, width) uint8 view of an `av` video plane, without its line padding; writable when the plane is."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[:height, :width]


class Picture:
    """A writable I420 picture in memory that an encoder takes as it is.

    `y` is (height, width), `u` and `v` are (ceil(height / 2), ceil(width / 2)), all uint8 views of `video_frame`.
    """

    __slots__ = ("height", "u", "v", "video_frame", "width", "y")

    def __init__(self, width: int, height: int) -> None:
        from av import VideoFrame  # not at the top: training and measuring do without PyAV

        self.width, self.height = width, height
        self.video_frame = VideoFrame(width, height, "yuv420p")
        half_w, half_h = (width + 1) // 2, (height + 1) // 2
        y, u, v = self.video_frame.planes
        self.y = plane_view(y, width, height)
        self.u = plane_view(u, half_w, half_h)
        self.v = plane_view(v, half_w, half_h)

    def copy_from(self, frame: Frame | Picture) -> None:
        """Take over the pixels of a frame of the same size."""
        np.copyto(self.y, frame.y)
        np.copyto(self.u, frame.u)
        np.copyto(self.v, frame.v)

    def fill(self, y: int, u: int = 128, v: int = 128) -> None:
        self.y[:], self.u[:], self.v[:] = y, u, v


class PicturePool:
    """Pictures of one size, taken and given back; a picture is never in two hands. Thread-safe."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._free: list[Picture] = []
        self._lock = threading.Lock()

    def take(self) -> Picture:
        with self._lock:
            if self._free:
                return self._free.pop()
        return Picture(self.width, self.height)

    def give_back(self, picture: Picture) -> None:
        with self._lock:
            self._free.append(picture)


@dataclass(slots=True)
class Ledger:
    """A frame's stamps in ns of the monotonic clock; 0 where a stage has not been passed."""

    arrived: int = 0
    decoded: int = 0
    batched: int = 0
    detected: int = 0
    tracked: int = 0
    waited: int = 0
    rendered: int = 0
    encoded: int = 0
    sent: int = 0

    def stages_ms(self) -> dict[str, float]:
        """Milliseconds each stage took since the stamp before it; stages not passed are left out."""
        passed = [(name, stamp) for name in STAGES if (stamp := getattr(self, name))]
        return {name: (stamp - before) / 1e6 for (_, before), (name, stamp) in pairwise(passed)}


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture, I420, limited range: read-only planes that belong to the decoder, never painted on.

    `y` (height, width), `u` and `v` (ceil(height / 2), ceil(width / 2)) uint8. `rtp_time`: 90 kHz, unwrapped.
    `arrival_ns`: monotonic clock. `owner` keeps the decoder's memory alive.
    """

    y: U8
    u: U8
    v: U8
    rtp_time: int
    arrival_ns: int
    ledger: Ledger = field(default_factory=Ledger)
    owner: Any = None

    @property
    def width(self) -> int:
        return self.y.shape[1]

    @property
    def height(self) -> int:
        return self.y.shape[0]

    @classmethod
    def from_video_frame(
        cls, video: av.VideoFrame, rtp_time: int, arrival_ns: int, ledger: Ledger | None = None
    ) -> Frame:
        """View a decoded `yuv420p` picture; the caller converts other formats first."""
        if video.format.name not in ("yuv420p", "yuvj420p"):
            raise ValueError(f"expected yuv420p, got {video.format.name}")
        width, height = video.width, video.height
        half_w, half_h = (width + 1) // 2, (height + 1) // 2
        views = []
        for plane, (w, h) in zip(video.planes, ((width, height), (half_w, half_h), (half_w, half_h)), strict=True):
            view = plane_view(plane, w, h)
            view.flags.writeable = False
            views.append(view)
        y, u, v = views
        return cls(y, u, v, rtp_time, arrival_ns, ledger or Ledger(arrived=arrival_ns), video)


def centres(boxes: F32) -> F32:
    """(n, 2) px of boxes (n, 4) xyxy."""
    return ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Detections:
    """What the network found in one frame.

    `boxes` (n, 4) float32 xyxy in pixels of the frame, `scores` (n,) float32, `classes` (n,) int32, indices into `names`, of
    which `face_names` are faces, `landmarks` (n, 5, 2) float32 px, NaN where unknown: eye, eye, nose, mouth corner, mouth
    corner from the picture's left. `complete` is true only when the network has run on the very frame whose `rtp_time` and
    size these are.
    """

    boxes: F32
    scores: F32
    classes: NDArray[np.int32]
    landmarks: F32
    rtp_time: int
    width: int
    height: int
    complete: bool
    names: tuple[str, ...] = ("face",)
    face_names: tuple[str, ...] = ("face",)

    def __len__(self) -> int:
        return len(self.boxes)

    def of(self, names: Collection[str]) -> Detections:
        """Those of the named classes; itself when that is all there are."""
        wanted = [index for index, name in enumerate(self.names) if name in names]
        if len(wanted) == len(self.names):
            return self
        return self.at(np.flatnonzero(np.isin(self.classes, wanted)))

    def at(self, kept: NDArray[np.intp]) -> Detections:
        """Some of them, by their indices."""
        return replace(
            self,
            boxes=self.boxes[kept],
            scores=self.scores[kept],
            classes=self.classes[kept],
            landmarks=self.landmarks[kept],
        )

    def faces(self) -> Detections:
        """What is tracked, and covered unless a policy says otherwise."""
        return self.of(self.face_names)

    def others(self) -> Detections | None:
        """What is no face; None where the network knows faces alone."""
        others = set(self.names).difference(self.face_names)
        return self.of(others) if others else None

    def belong_to(self, frame: Frame) -> bool:
        return (
            self.complete
            and self.rtp_time == frame.rtp_time
            and (self.width, self.height) == (frame.width, frame.height)
        )

    @classmethod
    def none_for(cls, frame: Frame, *, complete: bool) -> Detections:
        """Nothing found (`complete`) or nothing known (not `complete`)."""
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32),
            np.zeros((0, 5, 2), np.float32), frame.rtp_time, frame.width, frame.height, complete,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tracks:
    """All live tracks at one instant, as arrays over tracks.

    `ids` (n,) int64, negative until confirmed, never reused; `boxes` (n, 4) float32 xyxy px, smoothed; `scores` (n,) float32 of the
    last measurement; `measured` (n,) bool: a detection of this frame belongs to it, else predicted; `detection` (n,) int32
    index into the frame's detections or -1; `unseen_s` (n,) float32 seconds since the last measurement; `velocity` (n, 2)
    float32 px/s of the centre; `spread` (n,) float32 px, one standard deviation of the centre; `confirmed` (n,) bool;
    `members` (n,) int32: the member that a track surely is in this very frame, or -1; None where nobody was looked for.
    """

    ids: NDArray[np.int64]
    boxes: F32
    scores: F32
    measured: NDArray[np.bool_]
    detection: NDArray[np.int32]
    unseen_s: F32
    velocity: F32
    spread: F32
    confirmed: NDArray[np.bool_]
    members: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def index_of(self, track_id: int) -> int | None:
        found = np.flatnonzero(self.ids == track_id)
        return int(found[0]) if len(found) else None

    @classmethod
    def empty(cls) -> Tracks:
        return cls(
            np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.bool_),
            np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32),
            np.zeros(0, np.bool_),
        )  # fmt: skip


class RedactedFrame:
    """A picture in which nobody can be recognised; only `engines.render.redact` makes one, and only it is encoded as redacted.

    It owns `picture` until `release()`, which the encoder's caller invokes once the encoder has returned.
    """

    __slots__ = ("_pool", "picture", "rtp_time")

    def __init__(self, picture: Picture, pool: PicturePool, rtp_time: int, *, seal: object) -> None:
        if seal is not REDACTOR_SEAL:
            raise TypeError("only the redactor makes a RedactedFrame")
        self.picture, self._pool, self.rtp_time = picture, pool, rtp_time

    def release(self) -> None:
        self._pool.give_back(self.picture)


REDACTOR_SEAL: Final = object()
"""Held by the redactor alone; a test walks the code for any other use of it."""

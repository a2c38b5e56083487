"""A studio to be tried: a door that speaks the link over a real socket pair, a drawn clip, a detector that knows its faces."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import numpy as np

from engines.codecs.decode import Codec, VideoDecoder
from engines.codecs.encode import Encoded, Encoder
from engines.frame import Detections, Frame, Ledger, Picture
from engines.scene.demo import demo_scene
from engines.scene.marker import draw_marker, read_marker
from engines.scene.truth import Face
from server.link import NO_FLAGS, Flag, Kind, Message, Parser, json_body
from server.studio.studio import Studio

EPOCH = 7
WIDTH, HEIGHT = 640, 480
FRAMES = 60
PAN_PX = 64
PATIENT_MS = 2000
TICKS = 3000
"""Of the 90 kHz clock between two frames."""


@dataclass
class Clip:
    """`units`: (data, key) of FRAMES frames that may be repeated without end, each with its number, from `first` on, drawn into
    it; `luma` and `faces` of each."""

    codec: str
    width: int
    height: int
    units: list[tuple[bytes, bool]]
    luma: list[np.ndarray]
    faces: list[np.ndarray]
    first: int = 0


class OddEncoder:
    """VP8 of a size that our own encoder does not make, as a publisher may send it."""

    def __init__(self, width: int, height: int) -> None:
        self._context = av.CodecContext.create("libvpx", "w")
        self._context.width, self._context.height, self._context.pix_fmt = width, height, "yuv420p"
        self._context.time_base, self._context.bit_rate = Fraction(1, 90_000), 1_000_000
        self._context.options = {"deadline": "realtime", "lag-in-frames": "0"}

    def encode(self, picture: av.VideoFrame, pts: int, key: bool) -> list[Encoded]:
        picture.pts, picture.time_base = pts, Fraction(1, 90_000)
        return [Encoded(bytes(packet), packet.is_keyframe, pts) for packet in self._context.encode(picture)]

    def close(self) -> None:
        del self._context


@cache
def _drawn() -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[Face]]:
    return demo_scene(WIDTH + PAN_PX, HEIGHT).render(0.0)


def pan(
    codec: Codec, width: int, height: int, frames: int = FRAMES, negative: bool = False, mirrored: bool = False,
    key_every: int = FRAMES, first: int = 0,
) -> Clip:  # fmt: skip
    """A pan over one drawn picture: the faces move, their boxes are known exactly, drawing costs a moment. A `negative` of
    it is as good as another scene; `mirrored`, the faces are elsewhere."""
    planes, faces = _drawn()
    boxes = np.array([face.xyxy_px for face in faces], np.float32)
    encoder = OddEncoder(width, height) if width % 2 else Encoder(codec, width, height)
    clip = Clip(codec, width, height, [], [], [], first)
    picture = Picture(width, height)
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    for n in range(frames):
        x = 2 * min(n, frames - n) % PAN_PX
        picture.y[:] = planes[0][:height, x : x + width]
        for plane, source in ((picture.u, planes[1]), (picture.v, planes[2])):
            plane[:] = source[:half_h, x // 2 : x // 2 + half_w]
        if negative:
            np.subtract(255, picture.y, out=picture.y)
        if mirrored:
            for plane in (picture.y, picture.u, picture.v):
                plane[:] = plane[:, ::-1].copy()
        draw_marker((picture.y, picture.u, picture.v), first + n)
        (unit,) = encoder.encode(picture.video_frame, n * TICKS, n % key_every == 0)
        clip.units.append((unit.data, unit.key))
        clip.luma.append(picture.y.copy())
        moved = boxes - np.array([x, 0, x, 0], np.float32)
        if mirrored:
            moved[:, [0, 2]] = width - moved[:, [2, 0]]
        inside = (moved[:, 0] >= 4) & (moved[:, 2] <= width - 4) & (moved[:, 3] <= height - 4)
        clip.faces.append(moved[inside])
    encoder.close()
    return clip


@dataclass
class KnowingDetector:
    """Finds the clip's faces by the frame's number. `fault` is called for each frame first, and may raise or hang; `spoil`
    may change what was found."""

    clip: Clip
    fault: Callable[[], None] = lambda: None
    spoil: Callable[[Detections], Detections] = lambda found: found
    warm: threading.Event = field(default_factory=threading.Event)
    blind: bool = False
    calls: int = 0
    names: tuple[str, ...] = ("face",)
    batches: tuple[int, ...] = (1,)
    """How many frames go together."""

    def warm_up(self, width: int, height: int) -> None:
        assert self.warm.wait(30)

    def describe(self) -> dict[str, Any]:
        return {"runtime": "none", "model": "known boxes"}

    def detect(self, frames: list[Frame]) -> list[Detections]:
        self.calls += 1
        self.fault()
        return [self.spoil(self._one(frame)) for frame in frames]

    def _one(self, frame: Frame) -> Detections:
        number = read_marker(frame.y)
        assert number is not None
        boxes = self.clip.faces[number][: 0 if self.blind else None]
        n = len(boxes)
        return Detections(
            boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), np.full((n, 5, 2), np.nan, np.float32),
            frame.rtp_time, frame.width, frame.height, True,
            names=self.names, face_names=self.names,
        )  # fmt: skip


class Door:
    """Reads all the studio says on a thread of its own; waits for it with deadlines."""

    def __init__(self, link: socket.socket, reads: bool = True) -> None:
        self.link = link
        self.messages: list[Message] = []
        self.closed = False
        self._changed = threading.Condition()
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        parser = Parser()
        try:
            while data := self.link.recv(1 << 18):
                with self._changed:
                    self.messages += parser.feed(data)
                    self._changed.notify_all()
        except OSError:
            pass
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def send(self, kind: Kind, ident: int = 0, value: Any = None, **more: Any) -> None:
        body = more.pop("body", b"") if value is None else json_body(value)
        self.link.sendall(Message(kind, ident, body, epoch=EPOCH, **more).pack())

    def seen(self, kind: Kind, ident: int | None = None, start: int = 0) -> list[Message]:
        return [m for m in self.messages[start:] if m.kind is kind and ident in (None, m.ident)]

    def wait(
        self,
        kind: Kind,
        ident: int | None = None,
        *,
        start: int = 0,
        count: int = 1,
        where: Callable[[Message], bool] = lambda m: True,
        timeout_s: float = 15.0,
    ) -> list[Message]:
        """The messages of a kind from number `start` on, once there are `count` for which `where` holds."""

        def matching() -> list[Message]:
            return [m for m in self.seen(kind, ident, start) if where(m)]

        with self._changed:
            done = self._changed.wait_for(lambda: len(matching()) >= count or self.closed, timeout_s)
        found = matching()
        assert done, f"{len(found)} of {count} {kind.name} within {timeout_s} s; last: {self.messages[-5:]}"
        assert len(found) >= count, f"the studio closed the link; {len(found)} of {count} {kind.name}"
        return found

    def hello(self, **settings: Any) -> None:
        self.send(Kind.HELLO, 0, settings)

    def open_stream(self, ident: int, codec: str = "h264", **policy: Any) -> None:
        policy = {"budget_ms": PATIENT_MS, **policy}  # most questions are not about time, and a machine may be busy
        self.send(Kind.STREAM_OPEN, ident, {"name": f"stream-{ident}", "codec": codec, "policy": policy})

    def open_feed(self, ident: int, feed: str = "redacted", stream: int = 1, codec: str = "h264") -> None:
        self.send(Kind.FEED_OPEN, ident, {"stream": stream, "feed": feed, "codec": codec, "bit_rate": None})

    def mark(self) -> int:
        """The number of messages so far, once the studio has read all that was sent to it."""
        before = len(self.seen(Kind.PONG))
        self.send(Kind.PING)
        self.wait(Kind.PONG, count=before + 1)
        return len(self.messages)


class Publisher:
    """Sends a clip round and round at 30 frames a second until stopped; what it is late with, at no more than 100."""

    def __init__(self, door: Door, clip: Clip, stream: int = 1, first: int = 0) -> None:
        self.door, self.clip, self.stream = door, clip, stream
        self.sent = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.01, due - time.monotonic())):
            self.send_one()
            due += 1 / 30

    def send_one(self) -> None:
        data, key = self.clip.units[self.sent % len(self.clip.units)]
        now_ns = time.monotonic_ns()
        flags = Flag.KEY if key else NO_FLAGS
        try:
            self.door.send(
                Kind.ACCESS_UNIT, self.stream, body=data, flags=flags, rtp_time=self.sent * TICKS, arrival_ns=now_ns
            )
        except OSError:
            self._stop.set()
        self.sent += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)


def decoded(units: list[Message], codec: Codec = "h264") -> list[Frame]:
    """All ENCODED messages of one feed, from a key frame on, as a viewer decodes them; every one must give a picture."""
    assert units, "nothing was encoded"
    assert units[0].flags & Flag.KEY, "a viewer cannot start here"
    decoder = VideoDecoder(codec)
    frames = []
    for unit in units:
        got = decoder.decode(bytes(unit.body), unit.rtp_time, unit.arrival_ns, Ledger())
        assert len(got) == 1
        frames += got
    return frames


def likeness(clip: Clip, frame: Frame) -> float:
    """How much of the source's faces is in a picture of the same size: the largest of `likenesses`, in the source frame whose
    number the picture shows, or in any of them when it shows none."""
    shown = read_marker(frame.y)
    numbers = range(0, len(clip.luma), 7) if shown is None else [shown]
    return max((value for n in numbers for value in likenesses(clip, n, frame)), default=0.0)


def likenesses(clip: Clip, number: int, frame: Frame) -> list[float]:
    """For each face of source frame `number`, the correlation of its inner part with what is in its place."""
    found = []
    for x0, y0, x1, y1 in clip.faces[number].tolist():
        in_x, in_y = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
        part = np.s_[round(y0 + in_y) : round(y1 - in_y), round(x0 + in_x) : round(x1 - in_x)]
        a, b = clip.luma[number][part].astype(float), frame.y[part].astype(float)
        a, b = a - a.mean(), b - b.mean()
        # less is the encoder's noise on a flat cover
        found.append(abs(float((a * b).mean() / (a.std() * b.std()))) if b.std() > 3 else 0.0)
    return found


class Bench:
    """A studio on a thread, the door before it, and what ends them."""

    decoded = staticmethod(decoded)
    likeness = staticmethod(likeness)

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.fatal: list[str] = []
        self.detectors: list[KnowingDetector] = []
        self._publishers: list[Publisher] = []
        self._ends: list[Callable[[], None]] = []

    def start(
        self,
        make: Callable[[], KnowingDetector] | None = None,
        canary: Callable[[Any], bool] = lambda detector: True,
        ready: bool = True,
        reads: bool = True,
        renewed: threading.Event | None = None,
        **settings: Any,
    ) -> Door:
        ours, theirs = socket.socketpair()
        if not reads:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        make = make or self.detector

        def tracked(settings: dict[str, Any]) -> KnowingDetector:
            detector = make()
            self.detectors.append(detector)
            return detector

        studio = Studio(theirs, cast(Any, tracked), canary, self.fatal.append, renewed=renewed)
        thread = threading.Thread(target=studio.run, daemon=True)
        thread.start()
        door = Door(ours, reads)

        def end() -> None:
            door.link.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            assert not thread.is_alive()
            theirs.close()
            ours.close()

        self._ends.append(end)
        door.hello(**settings)
        if ready and reads:
            door.wait(Kind.READY)
        return door

    def detector(self, **more: Any) -> KnowingDetector:
        detector = KnowingDetector(self.clip, **more)
        detector.warm.set()
        return detector

    def publish(self, door: Door, clip: Clip | None = None, **more: Any) -> Publisher:
        publisher = Publisher(door, clip or self.clip, **more)
        self._publishers.append(publisher)
        return publisher

    def end(self) -> None:
        for publisher in self._publishers:
            publisher.stop()
        for end in self._ends:
            end()

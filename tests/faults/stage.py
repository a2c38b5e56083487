"""A publisher of numbered frames, viewers who search all that they are shown for the faces in them, and the door between."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.pipeline_leaks import LEAK
from benchmarks.rig import TICKS, Clip, likenesses
from benchmarks.wire import Wire
from client.publish import Session
from client.session import Refused
from client.watch import Watcher
from engines.codecs.decode import Codec, DecodeError, VideoDecoder
from engines.frame import Frame, Ledger
from engines.scene.marker import read_marker
from server.door.broadcast import AccessUnit
from tests.server.door.rtc import until
from tests.server.door.running import Running

CONNECT_S = 30
SLATE_STD = 30
"""A plain card with a line of text has less contrast than any of the scene's pictures."""


@dataclass(frozen=True)
class House:
    """A door that serves, with a wire before it and studios behind it whose detectors do what the file `fault` says."""

    door: Running
    wire: Wire
    clips: list[Clip]
    fault: Path

    def break_detector(self, how: str) -> int:
        """Frames sent from now on meet this fault; the time, ns of the monotonic clock."""
        aside = self.fault.with_suffix(".part")
        aside.write_text(how)
        aside.replace(self.fault)
        return time.monotonic_ns()

    def mend_detector(self) -> None:
        self.fault.unlink(missing_ok=True)

    def studio(self) -> int:
        """The process that serves."""
        return int(self.door.ask("GET", "/healthz").json()["studio"]["pid"])


class Camera:
    """What `client.publish` sends: one of the clips over and over, 30 frames a second, a key frame every half second."""

    codec: Codec = "h264"
    has_audio = False

    def __init__(self, clips: list[Clip], showing: int = 0) -> None:
        self._clips = clips
        self.showing = showing
        """Which of the clips, from the next key frame on."""
        self.damage: Callable[[bytes], bytes] | None = None
        """Done to the next frame that is no key frame."""
        self.stopped = threading.Event()
        self.sent: list[tuple[int, int]] = []
        """When (ns of the monotonic clock) which number was sent."""

    def want_key(self) -> None:
        pass

    def close(self) -> None:
        pass

    def run(self, on_video: Callable[[bytes, int, bool, int], None], on_audio: object) -> None:
        started_s, sent, clip = time.monotonic(), 0, self._clips[self.showing]
        while not self.stopped.wait(max(0.0, started_s + sent / 30 - time.monotonic())):
            at = sent % len(clip.units)
            if clip.units[at][1]:
                clip = self._clips[self.showing]
            data, key = clip.units[at]
            if self.damage is not None and not key:
                data, self.damage = self.damage(data), None
            self.sent.append((time.monotonic_ns(), clip.first + at))
            on_video(data, sent * TICKS, key, time.monotonic_ns())
            sent += 1

    def sent_ns(self, number: int, before_ns: int) -> int:
        """When a number was last sent before it was shown."""
        return next(ns for ns, sent in reversed(self.sent) if sent == number and ns <= before_ns)


@dataclass(frozen=True)
class Shown:
    """One picture that a viewer saw."""

    at_ns: int
    size: tuple[int, int]
    number: int | None
    """Of the source's frame; none on a slate."""
    slate: bool


@dataclass
class View:
    """What came of one feed, and how much of the source's faces was in it."""

    clips: list[Clip]
    shown: list[Shown] = field(default_factory=list)
    likest: list[float] = field(default_factory=list)
    """For each face that might have been seen, how much of it was."""
    watcher: Watcher | None = None
    _decoder: VideoDecoder | None = None

    def on_unit(self, unit: AccessUnit) -> None:
        assert self.watcher is not None
        self._decoder = self._decoder or VideoDecoder(cast(Codec, self.watcher.codec))
        try:
            frames = self._decoder.decode(unit.data, unit.rtp_time, unit.arrival_ns, Ledger())
        except DecodeError:
            return
        for frame in frames:
            self._look(frame, unit.arrival_ns)

    def _look(self, frame: Frame, at_ns: int) -> None:
        number = read_marker(frame.y)
        slate = number is None and float(frame.y.std()) < SLATE_STD
        self.shown.append(Shown(at_ns, (frame.width, frame.height), number, slate))
        for clip in [] if slate else self.clips:
            if (clip.width, clip.height) == (frame.width, frame.height):
                for n in _candidates(clip, number):
                    self.likest += likenesses(clip, n, frame)

    @property
    def pictures(self) -> list[Shown]:
        return [one for one in self.shown if one.number is not None]

    @property
    def slates(self) -> list[Shown]:
        return [one for one in self.shown if one.slate]

    @property
    def seen(self) -> float:
        """The share of faces that were there and could be seen."""
        return float(np.mean(np.array(self.likest) > LEAK))

    def assert_nobody_was_seen(self) -> None:
        assert len(self.likest) > 30, "next to nothing was shown"
        assert max(self.likest) < LEAK

    async def more(self, pictures: int, what: str = "pictures", deadline_s: float = 30) -> list[Shown]:
        """Wait for so many more pictures of the source."""
        start = len(self.pictures)
        try:
            await until(lambda: len(self.pictures) >= start + pictures, f"{pictures} {what}", deadline_s)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; {len(self.pictures) - start} came, the last shown {self.shown[-5:]}"
            ) from None
        return self.pictures[start:]

    async def slate(self, deadline_s: float = 15) -> Shown:
        """Wait for a slate that was not there yet."""
        start = len(self.slates)
        await until(lambda: len(self.slates) > start, "a slate", deadline_s)
        return self.slates[start]


def _candidates(clip: Clip, number: int | None) -> Iterable[int]:
    """Which frames of a clip a picture may show."""
    if number is None:
        return range(0, len(clip.luma), 5)
    return [number - clip.first] if clip.first <= number < clip.first + len(clip.luma) else []


@asynccontextmanager
async def published(house: House, stream: str, showing: int = 0) -> AsyncIterator[Camera]:
    """While inside, our own client publishes."""
    camera = Camera(house.clips, showing)
    session = Session(cast(Any, camera), f"{house.door.url}/whip/{stream}", None, [])
    publishing = asyncio.ensure_future(session.run(lambda: None))
    try:
        yield camera
        assert not publishing.done(), "the publisher has given up"
    finally:
        camera.stopped.set()
        await asyncio.gather(publishing, return_exceptions=True)


@asynccontextmanager
async def watched(house: House, stream: str, feed: str = "redacted") -> AsyncIterator[View]:
    """While inside, our own client watches a feed; from when there is one, until a first picture of the source has been seen."""
    view = View(house.clips)
    url = f"{house.door.url}/whep/{stream}/{feed}"
    async with AsyncExitStack() as stack, asyncio.timeout(CONNECT_S) as limit:
        while view.watcher is None:
            watcher = Watcher(url, on_unit=view.on_unit)
            view.watcher = watcher
            try:
                await stack.enter_async_context(watcher)
            except Refused as error:
                view.watcher = None
                if error.final:
                    raise
                await asyncio.sleep(0.1)
        limit.reschedule(None)
        await view.more(1, "picture")
        yield view

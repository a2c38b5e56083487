"""Does a known face ever reach the redacted feed, whatever goes wrong? Scripted detections, faults one by one, output searched.

`fancam bench pipeline-leaks` sends a drawn clip whose faces are known to a studio, with a detector that knows them too, and
searches every decoded picture of the redacted feed for the faces of the very frame it shows (its number is drawn into it).
With covering stubbed out the same search finds nearly all of them: tests/benchmarks/test_pipeline_leaks.py.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from benchmarks.report import write_result
from benchmarks.rig import TICKS, Bench, Clip, Door, KnowingDetector, likenesses, pan
from benchmarks.scripted_studio import Studios
from engines.codecs.decode import DecodeError, VideoDecoder
from engines.frame import Frame, Ledger
from engines.scene.marker import read_marker
from server.link import NO_FLAGS, Flag, Kind, Message

KEY_EVERY: Final = 15
LEAK: Final = 0.5
"""A face in view correlates with its source by more than this, what covers it by less."""
STREAM, FEED = 1, 10


@dataclass
class Run:
    """What a fault may do: change what is sent, and how the detector is. `t` counts seconds since the start."""

    door: Door
    detectors: list[KnowingDetector]
    clips: list[Clip]
    t: float = 0.0
    sent: int = 0
    """Frames, those that were lost among them."""
    showing: int = 0
    """Which of the clips."""
    random: random.Random = field(default_factory=lambda: random.Random(1))
    lost: bool = False
    """Units are kept back until the next key frame, as the door does after a loss."""
    studios: Studios | None = None
    """When they are processes."""

    def within(self, period_s: float, share: float) -> bool:
        """True for the last `share` of every period."""
        return self.t % period_s > period_s * (1 - share)


Send = Callable[[Run, bytes, bool], bytes | None]
"""Gets a unit and whether it is a key frame; gives what the studio gets instead, or None."""
Hurt = Callable[[Run], None]
"""Called in the detector's thread before each frame."""


def as_it_is(run: Run, data: bytes, key: bool) -> bytes | None:
    return data


def losing(share: float) -> Send:
    """Whole frames are lost, and all that refers to them."""

    def send(run: Run, data: bytes, key: bool) -> bytes | None:
        if run.random.random() < 1 - (1 - share) ** 5:  # about five packets a frame
            if not run.lost:
                run.door.send(Kind.GAP, STREAM)
            run.lost = True
            return None
        run.lost = run.lost and not key
        return None if run.lost else data

    return send


def damaging(run: Run, data: bytes, key: bool) -> bytes | None:
    if run.random.random() < 0.1:
        at = run.random.randrange(len(data) // 2, len(data))
        return data[:at] + bytes(run.random.randrange(256) for _ in range(min(20, len(data) - at))) + data[at + 20 :]
    return data


def switching(run: Run, data: bytes, key: bool) -> bytes | None:
    if key and run.within(0.9, 0.6):
        run.showing = (run.showing + 1) % len(run.clips)
        return run.clips[run.showing].units[run.sent % len(run.clips[0].units)][0]
    return data


def beginning_anew(run: Run, data: bytes, key: bool) -> bytes | None:
    if key and run.random.random() < 0.3:
        run.door.send(Kind.STREAM_CLOSE, STREAM)
        open_feed(run.door)
    return data


def panicking(run: Run, data: bytes, key: bool) -> bytes | None:
    if key:
        run.door.send(Kind.POLICY, STREAM, {"panic": run.within(2.0, 0.5)})
    return data


def losing_studio(how: signal.Signals) -> Send:
    """Every three seconds the studio is lost, and the spare takes its place."""

    def send(run: Run, data: bytes, key: bool) -> bytes | None:
        assert run.studios is not None
        if key and run.t > 3 * run.studios.lost + 3:
            run.door = run.studios.lose(how)
            open_feed(run.door)
        return data

    return send


def raising(run: Run) -> None:
    if run.within(1.5, 0.3):
        raise RuntimeError("a fault of the detector's")


def blinking(run: Run) -> None:
    for detector in run.detectors:
        detector.blind = run.within(2.0, 0.3)


def slow(run: Run) -> None:
    if run.within(3.0, 0.4):
        time.sleep(0.5)


def overloaded(run: Run) -> None:
    time.sleep(2 / 30)


def hanging(run: Run) -> None:
    if run.within(14.0, 0.36):
        time.sleep(5)


def unhurt(run: Run) -> None:
    pass


FAULTS: Final[dict[str, tuple[Send, Hurt]]] = {
    "none": (as_it_is, unhurt),
    "detector raises": (as_it_is, raising),
    "detector finds nothing for 0.6 s": (as_it_is, blinking),
    "detector hangs 5 s": (as_it_is, hanging),
    "detector 500 ms late": (as_it_is, slow),
    "twice the load": (as_it_is, overloaded),
    "damaged frames": (damaging, unhurt),
    "5 % of packets lost": (losing(0.05), unhurt),
    "20 % of packets lost": (losing(0.2), unhurt),
    "cuts and changes of size": (switching, unhurt),
    "first frames": (beginning_anew, unhurt),
    "panic": (panicking, unhurt),
    "studio killed": (losing_studio(signal.SIGKILL), unhurt),
    "studio stands still": (losing_studio(signal.SIGSTOP), unhurt),
}


@dataclass
class Count:
    """What was searched: pictures shown, slates, faces that should be covered in them, those found, and the worst match."""

    pictures: int = 0
    slates: int = 0
    faces: int = 0
    leaks: int = 0
    worst: float = 0.0
    unnumbered: int = 0
    """Pictures that show no frame's number, searched for the faces of all frames."""


def make_clips() -> list[Clip]:
    """The clip, another scene, and another size."""
    return [
        pan("h264", 640, 480, key_every=KEY_EVERY),
        pan("h264", 640, 480, negative=True, key_every=KEY_EVERY),
        pan("h264", 480, 360, key_every=KEY_EVERY),
    ]


def search(clips: list[Clip], units: list[Message]) -> Count:
    """Look for the faces of the frame that each picture shows, in any of the clips of its size."""
    count, decoder = Count(), VideoDecoder("h264")
    for unit, frame in _decoded(decoder, units):
        if unit.flags & Flag.IS_SLATE:
            count.slates += 1
            continue
        count.pictures += 1
        number = read_marker(frame.y)
        alike = [clip for clip in clips if (clip.width, clip.height) == (frame.width, frame.height)]
        if number is None or number >= len(alike[0].luma):
            count.unnumbered += 1
            numbers = range(0, len(alike[0].luma), 5)
        else:
            numbers = range(number, number + 1)
        # a face found in any clip of this size counts once
        best = [
            max(values) for n in numbers for values in zip(*(likenesses(clip, n, frame) for clip in alike), strict=True)
        ]
        count.faces += len(alike[0].faces[numbers[0]])
        count.leaks += sum(value > LEAK for value in best)
        count.worst = max(count.worst, *best) if best else count.worst
    return count


def _decoded(decoder: VideoDecoder, units: list[Message]) -> Iterator[tuple[Message, Frame]]:
    for unit in units:
        try:
            frames = decoder.decode(bytes(unit.body), unit.rtp_time, unit.arrival_ns, Ledger())
        except DecodeError:
            continue
        for frame in frames:
            yield unit, frame


def try_fault(name: str, clips: list[Clip], seconds: float) -> Count:
    """Run one fault for a while and search what came out."""
    send, hurt = FAULTS[name]
    bench = Bench(clips[0])
    run: Run | None = None

    def fault() -> None:
        if run is not None:
            hurt(run)

    with ExitStack() as stack:
        stack.callback(bench.end)
        if name.startswith("studio"):
            studios = stack.enter_context(Studios(clips[0]))
            run = Run(studios.serve(), [], clips, studios=studios)
        else:
            run = Run(bench.start(lambda: Scripted(clips, fault)), bench.detectors, clips)  # type: ignore[arg-type]
        open_feed(run.door)
        _publish(run, send, seconds)
        doors = run.studios.doors if run.studios is not None else [run.door]
        units = [unit for door in doors for unit in door.seen(Kind.ENCODED, FEED)]
    return search(clips, units)


def open_feed(door: Door) -> None:
    door.open_stream(STREAM)
    door.open_feed(FEED, stream=STREAM)


class Scripted(KnowingDetector):
    """Knows the faces of all clips: which one a frame is of is told by its size and its light."""

    def __init__(self, clips: list[Clip], fault: Callable[[], None]) -> None:
        super().__init__(clips[0], fault)
        self._clips = clips
        self.warm.set()

    def _one(self, frame: Frame) -> Any:
        number = read_marker(frame.y)
        for clip in self._clips:
            if (
                (clip.width, clip.height) == (frame.width, frame.height)
                and number is not None
                and number < len(clip.luma)
            ):
                self.clip = clip
                break
        return super()._one(frame)


def _publish(run: Run, send: Send, seconds: float) -> None:
    started = time.monotonic()
    while run.t < seconds:
        data, key = run.clips[run.showing].units[run.sent % len(run.clips[0].units)]
        instead = send(run, data, key)
        if instead is not None:
            flags = Flag.KEY if key else NO_FLAGS
            now_ns, rtp_time = time.monotonic_ns(), run.sent * TICKS
            run.door.send(Kind.ACCESS_UNIT, STREAM, body=instead, flags=flags, rtp_time=rtp_time, arrival_ns=now_ns)
        run.sent += 1
        time.sleep(max(0.0, started + run.sent / 30 - time.monotonic()))
        run.t = time.monotonic() - started


def command(
    seconds: Annotated[float, typer.Option(min=1, help="How long each fault is tried.")] = 22.0,
    fault: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
) -> None:
    logging.disable(logging.WARNING)  # the faults are meant
    clips = make_clips()
    counts = {}
    for name in fault or FAULTS:
        if name not in FAULTS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(FAULTS)}")
        count = counts[name] = try_fault(name, clips, seconds)
        print(
            f"{name:<34} {count.pictures:5} pictures, {count.slates:3} slates, {count.faces:6} faces, "
            f"{count.leaks} leaks, nearest match {count.worst:.2f}",
            flush=True,
        )
    faces, leaks = (sum(getattr(count, what) for count in counts.values()) for what in ("faces", "leaks"))
    # with no leak in n looks, the rate is below 3 / n with 95 % confidence (the rule of three)
    bound = f", so below {300 / faces:.3f} % at 95 % confidence" if faces and not leaks else ""
    print(f"in all {leaks} leaks of {faces} faces{bound} (aim: 0 of 20,000 or more)")
    write_result("pipeline_leaks", {"faults": {name: vars(count) for name, count in counts.items()}})

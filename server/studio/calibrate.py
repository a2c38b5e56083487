"""Times the studio's own stages on this machine, before it serves anybody."""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Final

import scipy.optimize  # noqa: F401 (the tracker takes it when people meet: .3 s that no frame is to wait for)

from engines.codecs.decode import Codec, VideoDecoder
from engines.codecs.encode import Encoder
from engines.detect.detector import DEFAULT_LONG_SIDE, Detector
from engines.disk import cache_folder, sha256_of
from engines.frame import Frame, Ledger, RedactedFrame
from engines.pipeline import Pipeline, make_feed
from engines.scene.demo import demo_scene
from server.studio.costs import (
    DECODE,
    DETECT,
    RENDER,
    TRACK,
    Cost,
    Stopwatch,
    detect_stage,
    encode_stage,
    keep,
    load,
    network_pixels,
)

WIDTH: Final = 640
HEIGHT: Final = 480
PAN_PX: Final = 64
TICKS: Final = 3000
SECONDS: Final = 1.2
LEAST_ROUNDS: Final = 5
LOW_SHARE: Final = 0.3
"""Of the rounds that a figure is taken from, so that what else the machine did meanwhile does not count."""
ENCODERS: Final[tuple[tuple[Codec, str], ...]] = (("h264", "superfast"), ("h264", "ultrafast"), ("vp8", ""))


def known_or_measured(detector: Detector, folder: Path | None = None) -> dict[str, Cost]:
    """The costs on this machine with this model: those kept in `folder` (the user's cache), else measured now and kept.

    Either way each stage has run when it returns, so that no stream's first frames pay for what is set up once.
    """
    folder = folder or cache_folder()
    key = machine() | detector.describe() | {"sha256": [sha256_of(path) for path in detector.files]}
    known = load(key, folder)
    measured = measure(detector, SECONDS if known is None else 0)
    if known is None:
        keep(key, measured, folder)
    return known or measured


def machine() -> dict[str, Any]:
    """What the costs depend on besides the model."""
    names = [line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in ("fancam", "av", "opencv-python-headless", "numpy")},
    }


def _cpu_info() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def measure(detector: Detector, seconds: float = SECONDS) -> dict[str, Cost]:
    """Take a drawn scene through every stage, again and again for so long."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    stages = _Stages(samples)
    detector.warm_up(WIDTH, HEIGHT)
    until = time.monotonic() + seconds
    for number, picture in enumerate(_pan()):
        if number >= LEAST_ROUNDS and time.monotonic() >= until:
            break
        stages.take(picture, number * TICKS, detector)
    stages.close()
    _time_batches(detector, samples)
    return {stage: _typical(taken[1:]) for stage, taken in samples.items()}


def _time_batches(detector: Detector, samples: dict[str, list[tuple[float, float]]]) -> None:
    """Where pictures go together, each size of batch."""
    frame = next(_pan())
    for batch in detector.batches[1:]:
        for _ in range(LEAST_ROUNDS):
            watch = Stopwatch()
            detector.detect([frame] * batch)
            cpu_ns, wall_ns = watch.read_ns()
            pixels = network_pixels(WIDTH, HEIGHT, DEFAULT_LONG_SIDE)
            samples[detect_stage(batch)].append((cpu_ns / pixels, wall_ns / pixels))


class _Stages:
    """The stages of one stream whose redacted feed is encoded in every way, each of them timed."""

    def __init__(self, samples: dict[str, list[tuple[float, float]]]) -> None:
        self._samples = samples
        self._pipeline, self._feed = Pipeline(), make_feed("redacted", WIDTH, HEIGHT)
        self._encoders = {
            encode_stage(codec, preset): Encoder(codec, WIDTH, HEIGHT, preset=preset or "ultrafast")
            for codec, preset in ENCODERS
        }
        self._decoder = VideoDecoder("h264")

    def take(self, picture: Frame, pts: int, detector: Detector) -> None:
        frame = replace(picture, rtp_time=pts, ledger=Ledger())
        watch = Stopwatch()
        (found,) = detector.detect([frame])
        self._note(DETECT, network_pixels(WIDTH, HEIGHT, DEFAULT_LONG_SIDE), watch)
        watch = Stopwatch()
        analysed = self._pipeline.track(frame, found)
        self._note(TRACK, WIDTH * HEIGHT, watch)
        watch = Stopwatch()
        covered = self._feed.render(analysed)
        self._note(RENDER, WIDTH * HEIGHT, watch)
        assert isinstance(covered, RedactedFrame)
        data = b""
        for stage, encoder in self._encoders.items():
            watch = Stopwatch()
            (unit,) = encoder.encode(covered.picture.video_frame, pts, pts == 0)
            self._note(stage, WIDTH * HEIGHT, watch)
            data = data or unit.data
        self._feed.release(covered)
        watch = Stopwatch()
        self._decoder.decode(data, pts, 0, Ledger())
        self._note(DECODE, WIDTH * HEIGHT, watch)

    def close(self) -> None:
        for encoder in self._encoders.values():
            encoder.close()

    def _note(self, stage: str, pixels: float, watch: Stopwatch) -> None:
        cpu_ns, wall_ns = watch.read_ns()
        self._samples[stage].append((cpu_ns / pixels, wall_ns / pixels))


def _pan() -> Iterator[Frame]:
    """A drawn picture that moves by two pixels a frame, to and fro."""
    (y, u, v), _ = demo_scene(WIDTH + PAN_PX, HEIGHT).render(0.0)
    for number in count():
        x = abs(PAN_PX - 2 * number % (2 * PAN_PX)) // 2 * 2
        planes = y[:, x : x + WIDTH], u[:, x // 2 : (x + WIDTH) // 2], v[:, x // 2 : (x + WIDTH) // 2]
        yield Frame(*planes, 0, 0)


def _typical(samples: list[tuple[float, float]]) -> Cost:
    cpu, wall = (sorted(column) for column in zip(*samples, strict=True))
    at = int(LOW_SHARE * len(samples))
    return Cost(cpu[at], wall[at])

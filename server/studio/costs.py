"""What the stages cost on this machine: measured when the studio starts, kept, and followed while it runs.

A figure is nanoseconds a pixel, of CPU time and of the clock. Pixels are those of the picture that a stage works on, of the
network's input for `detect`. Stages run on one thread each, so CPU time is what a frame takes from the machine's cores,
however busy they are; the clock's time is what a deadline is planned with.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.codecs.decode import Codec

logger = logging.getLogger(__name__)

WEIGHT: Final = 1 / 16
"""Of a new measurement in the running figure."""
MOST_TIMES: Final = 3.0
"""A measurement counts for at most so many times the figure: a process that stood still once says nothing about a stage."""
MARGIN: Final = 2.0
"""A deadline is planned with the mean and so many mean deviations."""

DECODE: Final = "decode"
DETECT: Final = "detect"
TRACK: Final = "track"
RENDER: Final = "render"


def detect_stage(batch: int) -> str:
    """A run of the network on so many pictures; its pixels are those of the largest of them."""
    return DETECT if batch == 1 else f"{DETECT} x{batch}"


def encode_stage(codec: Codec, preset: str) -> str:
    """libvpx has no presets of ours."""
    return f"encode {codec} {preset}" if codec == "h264" else f"encode {codec}"


def network_pixels(width: int, height: int, long_side: int) -> float:
    """Of a frame of this size when its longer side is scaled to `long_side`."""
    return width * height * (long_side / max(width, height)) ** 2


@dataclass(frozen=True, slots=True)
class Cost:
    """ns a pixel: of CPU time, of the clock, and the clock's mean deviation."""

    cpu: float
    wall: float
    spread: float = 0.0

    def follow(self, cpu: float, wall: float) -> Cost:
        """This figure with one more measurement in it."""
        cpu, wall = min(cpu, MOST_TIMES * self.cpu), min(wall, MOST_TIMES * self.wall)
        return Cost(
            self.cpu + WEIGHT * (cpu - self.cpu),
            self.wall + WEIGHT * (wall - self.wall),
            self.spread + WEIGHT * (abs(wall - self.wall) - self.spread),
        )


class Stopwatch:
    """Times one stage of one frame, on the thread that made it."""

    def __init__(self) -> None:
        self._cpu_ns, self._wall_ns = time.thread_time_ns(), time.monotonic_ns()

    def read_ns(self) -> tuple[int, int]:
        """CPU time and the clock's since it was made; at least 1 ns each."""
        return max(1, time.thread_time_ns() - self._cpu_ns), max(1, time.monotonic_ns() - self._wall_ns)


class Costs:
    """The running figures by stage; one that was never measured is 0. Thread-safe."""

    def __init__(self) -> None:
        self._costs: dict[str, Cost] = {}
        self._lock = threading.Lock()

    def begin_with(self, measured: Mapping[str, Cost]) -> None:
        with self._lock:
            self._costs = dict(measured)

    def note(self, stage: str, pixels: float, watch: Stopwatch) -> None:
        """A stage has worked on so many pixels since `watch` was made."""
        cpu_ns, wall_ns = watch.read_ns()
        cpu, wall = cpu_ns / pixels, wall_ns / pixels
        with self._lock:
            known = self._costs.get(stage)
            self._costs[stage] = known.follow(cpu, wall) if known is not None else Cost(cpu, wall)

    def cpu_ns(self, stage: str, pixels: float) -> float:
        """CPU time for a picture of so many pixels."""
        cost = self._costs.get(stage)
        return cost.cpu * pixels if cost is not None else 0.0

    def wall_ns(self, stage: str, pixels: float) -> int:
        """The time to allow for a picture of so many pixels."""
        cost = self._costs.get(stage)
        return round((cost.wall + MARGIN * cost.spread) * pixels) if cost is not None else 0


def load(key: Mapping[str, Any], folder: Path) -> dict[str, Cost] | None:
    """What was measured under the very same `key`, or None."""
    path = _path(key, folder)
    try:
        kept = json.loads(path.read_text())
        return {str(stage): Cost(float(cpu), float(wall)) for stage, (cpu, wall) in kept["costs"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be used (%r): the costs are measured again", path, error)
        return None


def keep(key: Mapping[str, Any], costs: Mapping[str, Cost], folder: Path) -> None:
    """Write them where `load` finds them; a folder that cannot be written to is no more than a warning."""
    path = _path(key, folder)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    body = {"key": dict(key), "costs": {stage: (cost.cpu, cost.wall) for stage, cost in costs.items()}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(body, indent=1))
        beside.replace(path)
    except OSError as error:
        logger.warning("%s cannot be written (%s): the costs are measured at each start", path, error)


def _path(key: Mapping[str, Any], folder: Path) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder / f"costs-{digest[:16]}.json"

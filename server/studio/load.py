"""What the streams take of the machine, from the studio's report of the last second and the measured costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from server.studio.costs import DECODE, DETECT, RENDER, TRACK, Costs, encode_stage, network_pixels
from server.studio.ladder import CALM_LOAD, LOWEST, RUNGS, Demand, Rung

STREAM_MISSES: Final = ("decode_late", "detect_late", "detect_no_time")
FEED_MISSES: Final = ("encode_late", "encode_no_time")
LEAST_FRAMES: Final = 10
"""A share of fewer frames says nothing."""
UNKNOWN_ROOM: Final = 1000
DOOR_WEIGHT: Final = 0.3
MACHINE_WEIGHT: Final = 0.3
LEAST_PASSED_S: Final = 0.5
"""The kernel counts in hundredths of a second."""
LEAST_CORES: Final = 0.5
USUAL_STREAM: Final[dict[str, Any]] = {"fps": 30, "width": 640, "height": 480, "counts": {}, "drops": {}}
USUAL_FEED: Final[dict[str, Any]] = {
    "feed": "redacted", "codec": "h264", "width": 640, "height": 480, "counts": {}, "drops": {},
}  # fmt: skip


def cores(root: Path = Path("/sys/fs/cgroup")) -> float:
    """How many this process may use at a time: those it may run on, or what its control group leaves it."""
    usable = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return usable
    return usable if quota == "max" else min(usable, int(quota) / int(period))


class DoorShare:
    """How much of a core the door takes, which the studio does not have. Read from /proc; where there is none it counts as
    nothing."""

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid, self._clock = pid, clock
        self._share = 0.0
        self._before = self._cpu_s(), clock()

    def read(self) -> float:
        """Smoothed over a few calls, one a second."""
        cpu_s, now_s = self._cpu_s(), self._clock()
        then_cpu_s, then_s = self._before
        if now_s > then_s:
            taken = min(1.0, max(0.0, (cpu_s - then_cpu_s) / (now_s - then_s)))  # its event loop is one thread
            self._share += DOOR_WEIGHT * (taken - self._share)
            self._before = cpu_s, now_s
        return self._share

    def _cpu_s(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Machine:
    """How many cores are there for this process: while they work for it, are idle, or work for what gives way (a niceness above
    0). Read from /proc/stat; where there is none, all of them."""

    def __init__(self, stat: Path = Path("/proc/stat"), own_s: Callable[[], float] = time.process_time) -> None:
        self._stat, self._own_s = stat, own_s
        self._left = cores()
        self._before = self._times()

    def read(self) -> float:
        """Smoothed over a few calls, one a second."""
        (all_s, free_s, own_s), then = self._times(), self._before
        passed_s = all_s - then[0]
        if passed_s >= LEAST_PASSED_S:
            share = min(1.0, (free_s - then[1] + own_s - then[2]) / passed_s)
            self._left += MACHINE_WEIGHT * (len(os.sched_getaffinity(0)) * share - self._left)
            self._before = all_s, free_s, own_s
        return self._left

    def _times(self) -> tuple[float, float, float]:
        """Seconds of all usable cores together, those of them that were free, and this process's own."""
        try:
            lines = self._stat.read_text().splitlines()
        except OSError:
            return 0.0, 0.0, 0.0
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        rows = [list(map(int, words[1:9])) for line in lines if (words := line.split()) and words[0] in usable]
        a_second = os.sysconf("SC_CLK_TCK")
        free = sum(nice + idle + waits for _, nice, _, idle, waits, *_ in rows)
        return sum(map(sum, rows)) / a_second, free / a_second, self._own_s()


def demand(stream: Mapping[str, Any], feeds: Iterable[Mapping[str, Any]], costs: Costs, cores: float) -> Demand:
    """Of one stream and its open feeds, as STATS tells of them.

    Its share is of the cores or of the one thread that detects, whichever is scarcer.
    """
    feeds = list(feeds)
    shares = []
    for rung in RUNGS:
        detect_s = stream["fps"] / rung.every * _detect_ns(stream, rung, costs) / 1e9
        other_s = _other_ns(stream, feeds, rung, costs) / 1e9
        shares.append(max(detect_s, (detect_s + other_s) / cores))
    return Demand(tuple(shares), max(_missed(stream, STREAM_MISSES), *(_missed(f, FEED_MISSES) for f in feeds), 0.0))


def room(demands: Iterable[Demand], costs: Costs, cores: float) -> int:
    """How many more streams there is room for when all are on the lowest rung: streams like those that are there, else usual
    ones. There is room for one, however slow the machine."""
    lowest = [demand.shares[LOWEST] for demand in demands]
    like = sum(lowest) / len(lowest) if lowest else demand(USUAL_STREAM, [USUAL_FEED], costs, cores).shares[LOWEST]
    if not like:  # nothing has been measured
        return UNKNOWN_ROOM
    return max(0 if lowest else 1, int((CALM_LOAD - sum(lowest)) / like))


def shown_fps(feed: str, fps: float, rung: Rung, *, analysed_only: bool) -> float:
    """Frames a second of a feed whose stream has `fps`; the redacted feed and those that cover people show only frames that
    were analysed."""
    return fps if rung.between and not (analysed_only or feed == "redacted") else fps / rung.every


def _detect_ns(stream: Mapping[str, Any], rung: Rung, costs: Costs) -> float:
    width, height = stream["width"], stream["height"]
    return costs.cpu_ns(DETECT, network_pixels(width, height, rung.long_side)) if width else 0.0


def _other_ns(stream: Mapping[str, Any], feeds: list[Mapping[str, Any]], rung: Rung, costs: Costs) -> float:
    """CPU time in a second of everything but the detector."""
    fps, pixels = stream["fps"], stream["width"] * stream["height"]
    tracked_fps = fps if rung.between and feeds else fps / rung.every
    total = fps * costs.cpu_ns(DECODE, pixels) + tracked_fps * costs.cpu_ns(TRACK, pixels)
    for feed in feeds:
        encode = encode_stage(feed["codec"], rung.preset)
        once = costs.cpu_ns(RENDER, pixels) + costs.cpu_ns(encode, feed["width"] * feed["height"])
        total += once * shown_fps(feed["feed"], fps, rung, analysed_only=feed.get("analysed_only", False))
    return total


def _missed(entry: Mapping[str, Any], reasons: Iterable[str]) -> float:
    """The share of frames that were late, or let go because they would have been."""
    dropped = sum(entry["drops"].get(reason, 0) for reason in reasons)
    counts = entry["counts"]
    done = counts.get("encoded", 0) + counts.get("detected", 0)
    return float((dropped + counts.get("late", 0)) / max(LEAST_FRAMES, dropped + done))

"""What /proc says of a server's processes: memory, threads, file descriptors, CPU time."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

QUANTITIES = ("rss_mb", "threads", "fds")


@dataclass(frozen=True, slots=True)
class Sample:
    """The door and the studio that serves, `at_s` seconds after the beginning."""

    at_s: float
    studio_pid: int
    door_rss_mb: float
    door_threads: int
    door_fds: int
    studio_rss_mb: float
    studio_threads: int
    studio_fds: int

    def as_dict(self) -> dict[str, float]:
        return {key: value for key, value in asdict(self).items() if key not in ("at_s", "studio_pid")}


def look(server: Any, at_s: float) -> Sample:
    """`server`: a `benchmarks.browser.Server` that runs."""
    studio = int(server.get("/healthz")["studio"]["pid"])
    return Sample(at_s, studio, *_process(parent(studio)), *_process(studio))


def parent(pid: int) -> int:
    return _status(pid, "PPid")


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken; 0 once it has gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _process(pid: int) -> tuple[float, int, int]:
    rss_mb = round(_status(pid, "VmRSS") / 1024, 1)
    return rss_mb, _status(pid, "Threads"), len(os.listdir(f"/proc/{pid}/fd"))


def _status(pid: int, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def summary(samples: Sequence[Sample], process: str) -> dict[str, dict[str, float]]:
    """Of each quantity: the medians of the first and of the last tenth, the largest, and the slope of the least squares."""
    at_h = np.array([sample.at_s for sample in samples]) / 3600
    part = max(1, len(samples) // 10)
    found = {}
    for quantity in QUANTITIES:
        values = np.array([getattr(sample, f"{process}_{quantity}") for sample in samples], float)
        slope = np.polyfit(at_h, values, 1)[0] if len(values) > 1 else 0.0
        found[quantity] = {
            "start": round(float(np.median(values[:part])), 1),
            "end": round(float(np.median(values[-part:])), 1),
            "max": round(float(values.max()), 1),
            "slope_per_hour": round(float(slope), 1),
        }
    return found

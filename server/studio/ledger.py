"""What is counted and timed between two STATS messages: histograms per stage, drops by reason, events.

The body of STATS is one JSON object; all counts are since the last one, histograms are over `buckets_ms` (upper bounds, the
last count is what lies above):

    {"pid", "rss_bytes", "buckets_ms": [...],
     "detector": {"counts": {...}},
     "load", "room",
     "streams": {ident: {"name", "fps", "width", "height", "rung", "rung_number", "swaps_s": [...], "counts": {"decoded", "detected", ...},
                         "drops": {reason: n}, "stages": {stage: {"counts": [...], "sum_ms"}}}},
     "feeds": {ident: {"stream", "feed", "codec", "width", "height", "bit_rate", "analysed_only", "fps",
                       "counts": {"encoded", "slates", "bytes"}, "drops": {reason: n}, "stages": {...}}}}

`load` is the share of the machine's capacity that the streams take, `room` how many more there is room for on the lowest rung.
Stages are those of `engines.frame.STAGES` (the time since the stamp before) and `total` (arrived → encoded).
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any, Final

BUCKETS_MS: Final = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 250.0, 500.0, 1000.0)


class Tally:
    """Counts of one stream, feed or detector since the last `take`. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._counts: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._stages: dict[str, tuple[list[int], float]] = {}

    def count(self, what: str, n: int = 1) -> None:
        with self._lock:
            self._counts[what] += n

    def drop(self, reason: str, n: int = 1) -> None:
        with self._lock:
            self._drops[reason] += n

    def time(self, stages_ms: dict[str, float]) -> None:
        with self._lock:
            for stage, ms in stages_ms.items():
                counts, total = self._stages.get(stage) or ([0] * (len(BUCKETS_MS) + 1), 0.0)
                counts[bisect_left(BUCKETS_MS, ms)] += 1
                self._stages[stage] = counts, total + ms

    def take(self) -> dict[str, Any]:
        """All counts since the last call, ready for JSON."""
        with self._lock:
            counts, drops, stages = self._counts, self._drops, self._stages
            self._clear()
        return {
            "counts": dict(counts),
            "drops": dict(drops),
            "stages": {name: {"counts": c, "sum_ms": round(total, 3)} for name, (c, total) in stages.items()},
        }


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

"""Where the latest frames' milliseconds went, which of them missed their budget, and which were dropped and why."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engines.frame import STAGES

KEPT_S: Final = 60
DEFAULT_S: Final = 10
MOST_FPS: Final = 60
DELAYED: Final = "delayed"
"""On purpose, before the studio got the frame."""
TOTAL: Final = "total"
NO_WORK: Final = ("arrived", DELAYED, "waited")
"""Not part of the total: the way here, and waiting that was asked for."""
NO_MISS: Final = ("not_yet_safe", "covered by the operator", "policy_changed", "before_key")
"""Drops that no faster machine would have avoided."""


@dataclass(frozen=True, slots=True)
class _Second:
    """What the studio told of one second: drops by reason, and how many of them are frames that viewers missed."""

    at_ns: int
    drops: Mapping[str, int]
    missed: int


def total_ms(ledger: Mapping[str, float]) -> float:
    """From arrival until sent, without what the frame waited on purpose."""
    return sum(ms for stage, ms in ledger.items() if stage not in NO_WORK)


class LatencyLog:
    """One stream's last minute. Its times are those of the monotonic clock, in ns."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, dict[str, float]]] = deque(maxlen=KEPT_S * MOST_FPS)
        self._seconds: deque[_Second] = deque(maxlen=KEPT_S)

    def add_frame(self, ledger: dict[str, float], now_ns: int) -> None:
        """A frame has been sent: its ledger, ms by stage."""
        self._frames.append((now_ns, ledger))

    def add_drops(self, stream: Mapping[str, int], feeds: list[Mapping[str, int]], now_ns: int) -> None:
        """Drops of the last second: the stream's own, and those of each feed, the leading one first."""
        drops = Counter(stream)
        for feed in feeds:
            drops.update(feed)
        missed = [*stream.items(), *(feeds[0].items() if feeds else ())]
        count = sum(n for reason, n in missed if reason not in NO_MISS)
        self._seconds.append(_Second(now_ns, dict(drops), count))

    def summary(self, seconds: int, budget_ms: int, now_ns: int) -> dict[str, Any]:
        """Of the last `seconds`: frames, their rate, misses, drops, and quantiles of the ms by stage."""
        since_ns = now_ns - seconds * 1_000_000_000
        ledgers = [ledger for at_ns, ledger in self._frames if at_ns >= since_ns]
        told = [second for second in self._seconds if second.at_ns >= since_ns]
        times = {stage: sorted(one[stage] for one in ledgers if stage in one) for stage in (DELAYED, *STAGES)}
        times = {stage: sample for stage, sample in times.items() if sample}
        if ledgers:
            times[TOTAL] = sorted(map(total_ms, ledgers))
        late = sum(ms > budget_ms for ms in times.get(TOTAL, ()))
        drops: Counter[str] = Counter()
        for second in told:
            drops.update(second.drops)

        def at(share: float) -> dict[str, float]:
            return {stage: round(quantile(sample, share), 2) for stage, sample in times.items()}

        return {
            "seconds": seconds,
            "budget_ms": budget_ms,
            "frames": len(ledgers),
            "fps": round(self._rate(since_ns), 1),
            "late": late,
            "missed": late + sum(second.missed for second in told),
            "drops": dict(sorted(drops.items())),
            "last_ms": ledgers[-1] if ledgers else {},
            "p50_ms": at(0.5),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
        }

    def _rate(self, since_ns: int) -> float:
        """Frames a second, from the first to the last of them."""
        at = [at_ns for at_ns, _ in self._frames if at_ns >= since_ns]
        return (len(at) - 1) * 1e9 / (at[-1] - at[0]) if len(at) > 1 and at[-1] > at[0] else 0.0


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of a sorted sample."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

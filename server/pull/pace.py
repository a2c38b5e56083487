"""When a picture goes out: a file's at its time, a live one at once. Times in s; the clock is an argument."""

from __future__ import annotations

from typing import Final

MAX_AHEAD_S: Final = 2.0
CATCH_UP: Final = 2.0
MAX_LATE_S: Final = 1.0


class FilePace:
    """Real time from the first picture on."""

    def __init__(self) -> None:
        self._start_s: float | None = None

    def wait_s(self, placed_s: float, now_s: float) -> float:
        """How long the picture at `placed_s` has to wait."""
        if self._start_s is None:
            self._start_s = now_s - placed_s
        return max(0.0, self._start_s + placed_s - now_s)

    def is_late(self, placed_s: float, now_s: float) -> bool:
        return False


class LivePace:
    """What has piled up at the source goes out at once up to 2 s of it, and from there on at twice its pace: no flood."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._last: tuple[float, float] | None = None
        self._least_delay_s: float | None = None

    def wait_s(self, placed_s: float, now_s: float) -> float:
        """How long the picture at `placed_s` has to wait."""
        if self._last is not None:
            step_s, passed_s = placed_s - self._last[0], now_s - self._last[1]
            self._ahead_s = max(0.0, self._ahead_s + step_s - CATCH_UP * passed_s)
        self._last = placed_s, now_s
        return max(0.0, (self._ahead_s - MAX_AHEAD_S) / CATCH_UP)

    def is_late(self, placed_s: float, now_s: float) -> bool:
        """Whether pictures leave more than a second later than the earliest did: the machine does not keep up.

        True once; what is late then is the measure for what follows.
        """
        delay_s = now_s - placed_s
        if self._least_delay_s is None or delay_s < self._least_delay_s:
            self._least_delay_s = delay_s
        if delay_s - self._least_delay_s <= MAX_LATE_S:
            return False
        self._least_delay_s = None
        return True

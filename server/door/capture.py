"""When a frame was captured, on our own clock: what the ledger calls *arrived* counts from there.

A sender may say when: by abs-capture-time in a packet's header, or by its sender reports (RFC 3550 §6.4.1), both by its wall clock.
Where that agrees with ours, it is taken. Where it does not, or nothing is said, a frame is taken to have been captured
as long before it came as the fastest frame of late needed, which is not known and counts as nothing: then *arrived* is the
delay above that of the fastest frame, and a clock that runs fast or slow cannot make it grow.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from engines.frame import RTP_CLOCK_HZ

WINDOW_NS: Final = 5_000_000_000
"""Of this long ago is the fastest frame. At 200 ppm two clocks part by 1 ms in it."""
AGREE_NS: Final = 2_000_000_000
"""Nothing is that long under way: the clocks do not agree."""
JUMP_NS: Final = 2_000_000_000
"""An RTP time that leaves the clock by more than this has begun anew."""


class CaptureClock:
    """Of one video of one sender. Times are ns of a monotonic clock, RTP times 90 kHz."""

    def __init__(self) -> None:
        self._said: tuple[int, int] | None = None
        self._by_header = False
        self._least: deque[tuple[int, int]] = deque()
        """Arrival, and arrival minus RTP time, of frames of which none after was faster; the fastest comes first."""

    def say(self, ntp_ns: int, rtp_time: int, *, by_header: bool = False) -> None:
        """The sender says that `rtp_time` (32 bit) was captured at `ntp_ns` of its wall clock (ns of the NTP era). What headers
        say counts more than reports."""
        if by_header or not self._by_header:
            self._said, self._by_header = (ntp_ns, rtp_time), by_header

    def captured_ns(self, rtp_time: int, arrival_ns: int, arrival_ntp_ns: int) -> int:
        """When the frame of `rtp_time` (unwrapped) that came at `arrival_ns`, by our wall clock `arrival_ntp_ns`, was
        captured; never later than it came."""
        offset_ns = arrival_ns - rtp_time * 1_000_000_000 // RTP_CLOCK_HZ
        if self._least and abs(offset_ns - self._least[0][1]) > JUMP_NS:
            self._least.clear()
        while self._least and self._least[-1][1] >= offset_ns:
            self._least.pop()
        self._least.append((arrival_ns, offset_ns))
        while self._least[0][0] < arrival_ns - WINDOW_NS:
            self._least.popleft()
        excess_ns = offset_ns - self._least[0][1]
        if self._said is not None:
            ntp_ns, at = self._said
            ticks = ((rtp_time - at + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            age_ns = arrival_ntp_ns - ntp_ns - ticks * 1_000_000_000 // RTP_CLOCK_HZ
            if excess_ns <= age_ns < AGREE_NS:  # else the fastest frame would have come before it was captured
                return arrival_ns - age_ns
        return arrival_ns - excess_ns

"""How much one viewer's path takes: from its reports, and from its own estimates where the reports bear them out.

A receiver's estimate (REMB) says no more than what has come of late: it falls to 85 % of that at a hiccup and is never above
150 % (draft-ietf-rmcat-gcc-02 §5.5), and of a quiet picture that is little. So it counts only while packets are lost or late.
Pure: it is told the time in ns of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SECOND_NS: Final = 1_000_000_000
LOSSY, CLEAN = 0.1, 0.02
"""Shares of packets lost (draft-ietf-rmcat-gcc-02 §6): from the one on the path is held to take less, below the other more."""
SLOW_RTT_NS, QUICK_RTT_NS = 400_000_000, 200_000_000
BACK_OFF: Final = 0.85
GROWTH: Final = 1.08
"""A second."""
REMB_LIFE_NS: Final = 2 * SECOND_NS
PROVEN: Final = 1.5
"""Times what is sent: more the limit does not grow to, since nothing shows that the path takes it."""
REPORT_NS: Final = 300_000_000
"""Reports come with every request too: what happens within this time is one."""
DECREASE_NS: Final = SECOND_NS
"""A lower limit needs so long to tell."""
DOUBT_NS: Final = 10 * SECOND_NS
"""How long after trouble the viewer's estimates count."""
LEAST_BIT_S: Final = 30_000
RESEND_SHARE, QUEUED_RESEND_SHARE = 1 / 3, 0.05
"""Of all that is sent may be sent again, and where packets queue for the line: more would keep it full of what is old."""
RESEND_BURST_BYTES: Final = 48 << 10
RESEND_NS: Final = 20_000_000
"""A packet is sent again once in this time at most, or in a round trip where that is longer."""
MAX_RESENDS: Final = 1024


class Path:
    """One viewer's path."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()
        self._sent_bytes = 0
        self._rembs: deque[tuple[int, int]] = deque()
        self._limit: float | None = None
        self._reported_ns = self._trouble_ns = 0
        self._rtt_ns = 0
        self._counted: tuple[int, int] | None = None
        self._resent: dict[int, int] = {}
        self._credit_bytes, self._credited_ns = float(RESEND_BURST_BYTES), 0

    def sent(self, size: int, now_ns: int) -> None:
        """So many bytes have gone out."""
        self._sent.append((now_ns, size))
        self._sent_bytes += size
        self._forget(now_ns)

    def sent_bit_s(self, now_ns: int) -> int:
        """Of the last second."""
        self._forget(now_ns)
        return 8 * self._sent_bytes

    def estimated(self, bit_s: int, now_ns: int) -> None:
        """The viewer's own estimate."""
        self._rembs.append((now_ns, bit_s))
        self._lowest_remb(now_ns)

    def reported(self, lost: int, highest: int, rtt_s: float, now_ns: int) -> None:
        """The viewer's report (RFC 3550 §6.4.1): packets lost so far, the highest sequence number, extended, and the round trip,
        0 while it is not known."""
        counted = self._counted or (lost, highest)
        if self._counted is not None and (now_ns - self._reported_ns < REPORT_NS or highest == counted[1]):
            return
        seconds = min(2.0, (now_ns - self._reported_ns) / SECOND_NS)
        share = (lost - counted[0]) / max(1, highest - counted[1])
        self._rtt_ns = round(rtt_s * SECOND_NS) or self._rtt_ns
        slow, quick = self._rtt_ns >= SLOW_RTT_NS, self._rtt_ns < QUICK_RTT_NS
        self._counted, self._reported_ns = (lost, highest), now_ns
        if share >= LOSSY or slow:
            if now_ns - self._trouble_ns >= DECREASE_NS:
                self._lower(share, now_ns)
        elif (limit := self.limit(now_ns)) is not None and share <= CLEAN and quick:
            self._limit = max(limit, min(limit * GROWTH**seconds, PROVEN * self.sent_bit_s(now_ns)))

    def _lower(self, share: float, now_ns: int) -> None:
        """By the loss; but not below the estimate of a viewer that has noticed by itself how full its line is."""
        self._trouble_ns = now_ns
        sent, estimate = self.sent_bit_s(now_ns), self._lowest_remb(now_ns)
        lowered = (self._limit or sent) * (1 - share / 2 if share >= LOSSY else BACK_OFF)
        noticed = estimate if estimate is not None and estimate < sent else LEAST_BIT_S
        self._limit = max(lowered, noticed)

    def limit(self, now_ns: int) -> int | None:
        """What the path takes, bit/s; None while nothing speaks against what is sent."""
        if self._limit is None:
            return None
        doubtful = now_ns - self._trouble_ns < DOUBT_NS
        estimate = self._lowest_remb(now_ns) if doubtful else None
        return round(self._limit if estimate is None else max(LEAST_BIT_S, min(self._limit, estimate)))

    def may_resend(self, number: int, size: int, now_ns: int) -> bool:
        """Whether a packet that is asked for again may go out again; when true, it is taken as sent."""
        share = RESEND_SHARE if self._rtt_ns < QUICK_RTT_NS else QUEUED_RESEND_SHARE
        rate = share * self.sent_bit_s(now_ns) / 8
        gained = rate * (now_ns - self._credited_ns) / SECOND_NS
        self._credit_bytes = min(float(RESEND_BURST_BYTES), self._credit_bytes + gained)
        self._credited_ns = now_ns
        last_ns = self._resent.get(number)
        if last_ns is not None and now_ns - last_ns < max(RESEND_NS, self._rtt_ns):
            return False
        if self._credit_bytes < size:
            return False
        self._credit_bytes -= size
        self._resent.pop(number, None)
        self._resent[number] = now_ns
        if len(self._resent) > MAX_RESENDS:
            del self._resent[next(iter(self._resent))]
        self.sent(size, now_ns)
        return True

    def _lowest_remb(self, now_ns: int) -> int | None:
        """The lowest estimate of the last 2 s, or the last one there was."""
        while len(self._rembs) > 1 and now_ns - self._rembs[0][0] > REMB_LIFE_NS:
            self._rembs.popleft()
        return min((rate for _, rate in self._rembs), default=None)

    def _forget(self, now_ns: int) -> None:
        while self._sent and now_ns - self._sent[0][0] > SECOND_NS:
            self._sent_bytes -= self._sent.popleft()[1]

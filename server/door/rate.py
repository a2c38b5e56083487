"""How much a publisher may send: packets and bytes of each second."""

from __future__ import annotations

from typing import Final

MAX_PACKETS: Final = 10_000
MAX_BYTES: Final = 8 << 20
SECOND_NS: Final = 1_000_000_000


class Rate:
    """Told the time in ns of a monotonic clock."""

    def __init__(self) -> None:
        self.over_s = 0
        """Seconds in a row in which more came than may."""
        self._second = -1
        self._packets = self._bytes = 0

    def allows(self, size: int, now_ns: int) -> bool:
        """Count a packet of `size` bytes; False when its second is full."""
        second = now_ns // SECOND_NS
        if second != self._second:
            follows = second == self._second + 1
            self.over_s = self.over_s + 1 if self._is_over and follows else 0
            self._second, self._packets, self._bytes = second, 0, 0
        self._packets += 1
        self._bytes += size
        return not self._is_over

    @property
    def _is_over(self) -> bool:
        return self._packets > MAX_PACKETS or self._bytes > MAX_BYTES

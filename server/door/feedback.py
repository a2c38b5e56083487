"""Transport-wide feedback: when each packet arrived, so that the sender can find its bit rate.

Format: draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1, two-bit status vectors. Without it Chromium stays at 320×240.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

TICK_NS: Final = 250_000
REFERENCE_NS: Final = 64_000_000
MAX_STATUSES: Final = 700
SYMBOLS: Final = 7


class Feedback:
    """Notes arrivals, and turns them into RTCP packets."""

    def __init__(self) -> None:
        self.seen = False
        self._ssrc = 0
        self._arrivals: dict[int, int] = {}
        self._last: int | None = None
        self._reported: int | None = None
        self._count = 0

    def note(self, sequence: int, arrival_ns: int, ssrc: int) -> None:
        """`sequence`: the 16-bit transport-wide number."""
        if self._last is None:
            self._last = sequence
        number = self._last + ((sequence - self._last + 0x8000) & 0xFFFF) - 0x8000
        self._last = max(self._last, number)
        self.seen, self._ssrc = True, ssrc
        self._arrivals.setdefault(number, arrival_ns)

    def packets(self) -> Iterator[bytes]:
        """RTCP packets for what was noted since the last call."""
        numbers = sorted(self._arrivals)
        while numbers:
            # What is missing since the last report is a loss too, which only a report that begins there tells.
            if self._reported is not None and 0 < numbers[0] - self._reported - 1 < MAX_STATUSES // 2:
                numbers.insert(0, self._reported + 1)
            batch = [number for number in numbers if number < numbers[0] + MAX_STATUSES]
            yield self._packet(batch)
            self._reported = max(batch[-1], self._reported or 0)
            numbers = numbers[len(batch) :]
        self._arrivals.clear()

    def _packet(self, numbers: list[int]) -> bytes:
        reference = next(self._arrivals[number] for number in numbers if number in self._arrivals) // REFERENCE_NS
        before = reference * (REFERENCE_NS // TICK_NS)
        symbols, deltas = [], []
        for number in range(numbers[0], numbers[-1] + 1):
            arrival_ns = self._arrivals.get(number)
            if arrival_ns is None:
                symbols.append(0)
                continue
            ticks = arrival_ns // TICK_NS
            delta = max(-0x8000, min(0x7FFF, ticks - before))
            before += delta
            small = 0 <= delta <= 0xFF
            symbols.append(1 if small else 2)
            deltas.append(struct.pack("!B" if small else "!h", delta))
        body = struct.pack("!HH", numbers[0] & 0xFFFF, len(symbols))
        body += (reference & 0xFFFFFF).to_bytes(3, "big") + bytes([self._count & 0xFF])
        for at in range(0, len(symbols), SYMBOLS):
            chunk = symbols[at : at + SYMBOLS]
            word = 0b11 << 14
            for place, symbol in enumerate(chunk):
                word |= symbol << (12 - 2 * place)
            body += struct.pack("!H", word)
        body += b"".join(deltas)
        body += bytes(-len(body) % 4)
        self._count += 1
        return struct.pack("!BBHII", 0x80 | 15, 205, 2 + len(body) // 4, 1, self._ssrc) + body

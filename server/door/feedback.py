"""Transport-wide feedback: tells the sender when each of its packets arrived, by which it chooses its bit rate.

The format is that of draft-holmer-rmcat-transport-wide-cc-extensions-01, with two-bit status vectors throughout.
"""

from __future__ import annotations

from typing import Final

from server.door.tap import Unwrapper

INTERVAL_S: Final = 0.05
MAX_PACKETS: Final = 1000
RTPFB: Final = 205
TRANSPORT_CC: Final = 15
TICK_NS: Final = 250_000
REFERENCE_NS: Final = 64_000_000
VECTOR: Final = 7
"""Statuses in a chunk."""


class Feedback:
    """Collects arrivals; `report` makes one RTCP packet of those since the last."""

    def __init__(self) -> None:
        self._numbers = Unwrapper(16)
        self._arrivals: dict[int, int] = {}
        self._reported = -1
        self._count = 0

    def add(self, number: int, arrival_ns: int) -> None:
        """Note that the packet with this transport-wide number (16 bits) has arrived."""
        unwrapped = self._numbers.unwrap(number)
        if len(self._arrivals) < MAX_PACKETS:
            self._arrivals.setdefault(unwrapped, arrival_ns)

    def report(self, sender_ssrc: int, media_ssrc: int) -> bytes | None:
        """The RTCP packet, or None when nothing has arrived since the last."""
        if not self._arrivals:
            return None
        last = max(self._arrivals)
        first = min(self._arrivals)
        if first > self._reported >= 0 and last - self._reported <= MAX_PACKETS:
            first = self._reported + 1  # what is missing in between is reported as such
        first = max(first, last - MAX_PACKETS)
        reference = min(self._arrivals.values()) // REFERENCE_NS
        symbols, deltas = self._encode(first, last, reference * REFERENCE_NS)
        body = sender_ssrc.to_bytes(4, "big") + media_ssrc.to_bytes(4, "big")
        body += (first & 0xFFFF).to_bytes(2, "big") + len(symbols).to_bytes(2, "big")
        body += (reference & 0xFFFFFF).to_bytes(3, "big") + bytes((self._count & 0xFF,))
        body += _vectors(symbols) + deltas
        body += bytes(-len(body) % 4)
        self._count += 1
        self._reported = max(self._reported, last)
        self._arrivals.clear()
        return bytes((0x80 | TRANSPORT_CC, RTPFB)) + (len(body) // 4).to_bytes(2, "big") + body

    def _encode(self, first: int, last: int, reference_ns: int) -> tuple[list[int], bytes]:
        """A status for each number: 0 missing, 1 a delta of one byte, 2 of two (signed); and the deltas."""
        symbols, deltas = [], bytearray()
        before = 0
        for number in range(first, last + 1):
            arrival_ns = self._arrivals.get(number)
            if arrival_ns is None:
                symbols.append(0)
                continue
            ticks = (arrival_ns - reference_ns) // TICK_NS
            delta = max(-32768, min(32767, ticks - before))
            before += delta
            if 0 <= delta <= 255:
                symbols.append(1)
                deltas.append(delta)
            else:
                symbols.append(2)
                deltas += delta.to_bytes(2, "big", signed=True)
        return symbols, bytes(deltas)


def _vectors(symbols: list[int]) -> bytes:
    chunks = bytearray()
    for at in range(0, len(symbols), VECTOR):
        chunk = 0b11 << 14
        for position, symbol in enumerate(symbols[at : at + VECTOR]):
            chunk |= symbol << (12 - 2 * position)
        chunks += chunk.to_bytes(2, "big")
    return bytes(chunks)

"""Puts access units together from RTP packets, and hands each out at its last packet, in order and whole.

A frame ends at the marker bit. A hole is asked for at once and again (RFC 4585 NACK); when it is not filled in time, all
that depends on it is dropped and a key frame asked for. Pure: packets and the time in, what is to be done out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.door.bitstream import NAL_IDR, NAL_PPS, NAL_SPS, Codec, begins_key, is_key, nal_types, parameter_sets

MS: Final = 1_000_000
FIRST_REPEAT_NS: Final = 40 * MS
REPEAT_NS: Final = 30 * MS
MAX_REQUESTS: Final = 12
PATIENCE_NS: Final = 150 * MS
MAX_PATIENCE_NS: Final = 1000 * MS
KEY_SPACING_NS: Final = 200 * MS
KEY_REPEAT_NS: Final = 500 * MS
MAX_UNIT_BYTES: Final = 2 << 20
MAX_WAITING: Final = 2048
MAX_JUMP: Final = 1024
"""A sequence number further off than this belongs to a sender that started anew."""
MAX_NACK: Final = 128


@dataclass(frozen=True, slots=True)
class Packet:
    """An RTP packet of the track, its payload taken out: H.264 with start codes, VP8 without its descriptor."""

    sequence: int
    timestamp: int
    marker: bool
    data: bytes
    """Empty: padding."""
    begins: bool
    """A NAL unit (H.264) or the frame (VP8) begins here."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A whole access unit; `rtp_time` unwrapped, `arrival_ns` that of its last packet."""

    data: bytes
    rtp_time: int
    key: bool
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Units are lost; the next one is a key frame."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Packets to be sent again, as 16-bit sequence numbers."""

    sequences: list[int]


@dataclass(frozen=True, slots=True)
class AskForKey:
    """A key frame is needed."""


Event = Unit | Gap | AskAgain | AskForKey


@dataclass(slots=True)
class TapCounts:
    packets: int = 0
    late: int = 0
    units: int = 0
    gaps: int = 0
    asked_again: int = 0
    keys_asked: int = 0
    oversize: int = 0


class Unwrapper:
    """Makes a counter of `bits` bits one that never wraps: each value lies within half a turn of the one before."""

    def __init__(self, bits: int) -> None:
        self._turn = 1 << bits
        self.last: int | None = None

    def peek(self, value: int) -> int:
        if self.last is None:
            return value
        ahead = (value - self.last) % self._turn
        return self.last + ahead - (self._turn if ahead >= self._turn // 2 else 0)

    def unwrap(self, value: int) -> int:
        self.last = self.peek(value)
        return self.last


@dataclass(slots=True)
class _Hole:
    since_ns: int
    asked_ns: int
    asked: int = 1


class Tap:
    """One track's packets; `due_ns` is when `poll` is next to be called, None while nothing is awaited."""

    def __init__(self, codec: Codec, max_unit_bytes: int = MAX_UNIT_BYTES) -> None:
        self.counts = TapCounts()
        self.due_ns: int | None = None
        self.rtt_ns = 0
        """Of resends; 0 before the first."""
        self._codec, self._max_unit_bytes = codec, max_unit_bytes
        self._highest = Unwrapper(16)
        self._next = 0
        self._stray: int | None = None
        self._waiting: dict[int, tuple[Packet, int]] = {}
        self._holes: dict[int, _Hole] = {}
        self._times = Unwrapper(32)
        self._whole = False
        """What has been handed out can be decoded: no unit is missing since a key frame."""
        self._key_wanted = False
        self._key_asked_ns: int | None = None
        self._parts: list[bytes] = []
        self._size = self._unit_time = self._unit_arrival_ns = 0
        self._sets = b""
        self._events: list[Event] = []

    def add(self, packet: Packet, now_ns: int) -> list[Event]:
        """Take a packet."""
        self.counts.packets += 1
        sequence = self._place(packet, now_ns)
        if sequence is None:
            self.counts.late += 1
        else:
            self._waiting[sequence] = packet, now_ns
            self._advance()
            if len(self._waiting) > MAX_WAITING:
                self._skip()
        return self.poll(now_ns)

    def request_key(self, now_ns: int) -> list[Event]:
        """Ask for a key frame, at once or as soon as the last request is 200 ms old."""
        self._key_wanted = True
        return self.poll(now_ns)

    def poll(self, now_ns: int) -> list[Event]:
        """What the passing of time makes necessary; `add` does this too."""
        patience_ns = min(max(PATIENCE_NS, 3 * self.rtt_ns), MAX_PATIENCE_NS)
        while (hole := self._holes.get(self._next)) is not None and now_ns - hole.since_ns >= patience_ns:
            self._skip()
        self._ask_again(now_ns)
        self._ask_for_key(now_ns)
        self._set_due(now_ns, patience_ns)
        events, self._events = self._events, []
        return events

    def _place(self, packet: Packet, now_ns: int) -> int | None:
        """The packet's unwrapped number; None when it is too late or here already. Notes the holes before it."""
        highest = self._highest.last
        sequence = self._highest.peek(packet.sequence)
        if highest is None:
            self._next = sequence
        elif abs(sequence - highest) > MAX_JUMP:
            if packet.sequence != self._stray:  # believed only when the next one follows it
                self._stray = (packet.sequence + 1) & 0xFFFF
                return None
            self._restart(sequence)
        elif sequence < self._next or sequence in self._waiting:
            return None
        else:
            hole = self._holes.pop(sequence, None)
            if hole is not None and hole.asked == 1:
                sample_ns = now_ns - hole.asked_ns
                self.rtt_ns = sample_ns if not self.rtt_ns else (7 * self.rtt_ns + sample_ns) // 8
            for missing in range(highest + 1, sequence):
                self._holes[missing] = _Hole(now_ns, 0, 0)
        self._stray = None
        if highest is None or sequence > highest:
            self._highest.last = sequence
        return sequence

    def _restart(self, sequence: int) -> None:
        self._waiting.clear()
        self._holes.clear()
        self._break()
        self._highest.last = self._next = sequence

    def _advance(self) -> None:
        while (entry := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            if entry[0].data:
                self._take(*entry)

    def _take(self, packet: Packet, arrival_ns: int) -> None:
        if self._parts and self._times.peek(packet.timestamp) != self._unit_time:
            self._finish()  # a sender that sets no marker
        if not self._parts:
            if not self._whole and not (packet.begins and begins_key(self._codec, packet.data)):
                return
            if not packet.begins:
                self._break()
                return
            self._whole = True
            self._unit_time = self._times.unwrap(packet.timestamp)
            self._size = self._unit_arrival_ns = 0
        self._parts.append(packet.data)
        self._size += len(packet.data)
        self._unit_arrival_ns = max(self._unit_arrival_ns, arrival_ns)
        if self._size > self._max_unit_bytes:
            self.counts.oversize += 1
            self._break()
        elif packet.marker:
            self._finish()

    def _finish(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        if self._codec == "h264":
            data, key = self._complete(data)
        else:
            key = is_key("vp8", data)
        self.counts.units += 1
        self._key_wanted = self._key_wanted and not key
        self._events.append(Unit(data, self._unit_time, key, self._unit_arrival_ns))

    def _complete(self, data: bytes) -> tuple[bytes, bool]:
        """Put the parameter sets before a key frame that came without; senders may send them apart."""
        types = nal_types(data)
        key = NAL_IDR in types
        if types & {NAL_SPS, NAL_PPS}:
            self._sets = parameter_sets(data)
        elif key:
            data = self._sets + data
        return data, key

    def _break(self) -> None:
        """Nothing can be decoded before the next key frame."""
        self._parts.clear()
        if self._whole:
            self._whole = False
            self.counts.gaps += 1
            self._events.append(Gap())

    def _skip(self) -> None:
        """Give up the packets missing at the front."""
        self._break()
        following = min(self._waiting)
        for missing in range(self._next, following):
            self._holes.pop(missing, None)
        self._next = following
        self._advance()

    def _ask_again(self, now_ns: int) -> None:
        due = []
        for sequence, hole in self._holes.items():
            wait_ns = 0 if not hole.asked else FIRST_REPEAT_NS if hole.asked == 1 else REPEAT_NS
            if hole.asked < MAX_REQUESTS and now_ns - hole.asked_ns >= wait_ns and len(due) < MAX_NACK:
                hole.asked += 1
                hole.asked_ns = now_ns
                due.append(sequence & 0xFFFF)
        if due:
            self.counts.asked_again += len(due)
            self._events.append(AskAgain(due))

    def _ask_for_key(self, now_ns: int) -> None:
        if self._highest.last is None or (self._whole and not self._key_wanted):
            return
        spacing_ns = KEY_SPACING_NS if self._key_wanted else KEY_REPEAT_NS
        if self._key_asked_ns is None or now_ns - self._key_asked_ns >= spacing_ns:
            self._key_asked_ns, self._key_wanted = now_ns, False
            self.counts.keys_asked += 1
            self._events.append(AskForKey())

    def _set_due(self, now_ns: int, patience_ns: int) -> None:
        due = [now_ns + REPEAT_NS] if self._holes else []
        if (hole := self._holes.get(self._next)) is not None:
            due.append(hole.since_ns + patience_ns)
        if self._highest.last is not None and self._key_asked_ns is not None:
            if self._key_wanted:
                due.append(self._key_asked_ns + KEY_SPACING_NS)
            elif not self._whole:
                due.append(self._key_asked_ns + KEY_REPEAT_NS)
        self.due_ns = min(due, default=None)

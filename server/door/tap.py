"""The tap: RTP packets of one video in, whole access units out, at once; what to ask the sender for when packets are missing.

It stands where a jitter buffer would, and waits for nothing: a frame ends at its marker bit (RFC 6184 §5.1, RFC 7741 §4.1).
Pure: it is told the time in ns of a monotonic clock. A hole is asked for again while there is hope; then the frames
that need it are given up, and nothing passes before the next key frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engines.bitstream import has_headers, is_key, starts_frame

MS: Final = 1_000_000
FIRST_REPEAT_NS: Final = 40 * MS
"""aiortc asks for a hole once, when it appears; from then on this repeats it."""
REPEAT_NS: Final = 30 * MS
GIVE_UP_NS: Final = 150 * MS
LONGEST_PATIENCE_NS: Final = 600 * MS
"""Later than this nobody wants the frame."""
PLI_INTERVAL_NS: Final = 200 * MS
TAIL_NS: Final = 60 * MS
"""A frame whose last packet is this late may have lost it, which no later packet shows."""
MAX_UNIT_BYTES: Final = 2 << 20
MAX_WAITING: Final = 1024
MAX_ASKED: Final = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """One whole access unit: `rtp_time` unwrapped; `arrival_ns` is when its last packet came."""

    data: bytes
    rtp_time: int
    key: bool
    arrival_ns: int


@dataclass(slots=True)
class Outcome:
    """What one call of the tap leads to."""

    units: list[Unit] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    """Sequence numbers (16 bit) to ask for again: a NACK."""
    key_wanted: bool = False
    """Ask for a key frame: a PLI."""
    gap: bool = False
    """Frames have been given up just now."""


@dataclass(slots=True)
class _Packet:
    timestamp: int
    marker: bool
    data: bytes
    starts: bool


class Unwrapper:
    """Numbers of `bits` bits that wrap around, as ones that do not."""

    def __init__(self, bits: int) -> None:
        self._size, self._half = 1 << bits, 1 << (bits - 1)
        self._last: int | None = None

    def __call__(self, number: int) -> int:
        if self._last is None:
            self._last = number
        else:
            self._last += (number - self._last + self._half) % self._size - self._half
        return self._last


class Tap:
    """One video of one SSRC, packets in any order."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._sequence, self._time = Unwrapper(16), Unwrapper(32)
        self._packets: dict[int, _Packet] = {}
        self._next: int | None = None
        """First number of the next frame."""
        self._reached = 0
        """First number after `_next` that is not there yet."""
        self._highest = 0
        self._missing: dict[int, tuple[int, int]] = {}
        """Holes: when they appeared, when they were last asked for."""
        self._latest: int | None = None
        """The latest number; two in a row that lie far back are the sender's new beginning (RFC 3550 A.1)."""
        self._last_ns = 0
        self._pli_ns = -PLI_INTERVAL_NS
        self._needs_key = True
        self._joined = True
        """Whether the frame at `_next` may have begun before it."""
        self._spoilt: int | None = None
        """RTP timestamp of a frame that was given up in its middle."""
        self._too_late: dict[int, int] = {}
        """Holes that were given up: when they appeared."""
        self.lost_frames = 0
        self.rtt_ns = 0
        """How long it takes from asking for a packet until it is there: at once when that grows, slowly when it falls."""

    def add(self, sequence: int, timestamp: int, marker: bool, payload: bytes, data: bytes, now_ns: int) -> Outcome:
        """Take in a packet: its numbers as on the wire, its RTP payload, and the same without the codec's RTP framing."""
        outcome = Outcome()
        number = self._sequence(sequence)
        if self._next is None:
            self._next = self._reached = number
            self._highest = number - 1
        self._measure(number, now_ns)
        begins_anew = number < self._next - MAX_WAITING and number - 1 == self._latest
        self._latest = number
        if not begins_anew and (number < self._next or number in self._packets):
            return outcome
        if begins_anew or number > self._highest + MAX_WAITING or len(self._packets) > MAX_WAITING:
            self._start_over(number, outcome)
        for hole in range(self._highest + 1, number):
            self._missing[hole] = (now_ns, now_ns + FIRST_REPEAT_NS - REPEAT_NS)
        self._missing.pop(number, None)
        self._highest = max(self._highest, number)
        self._last_ns = now_ns
        self._packets[number] = _Packet(timestamp, marker, data, starts_frame(self._codec, payload, data))
        self._release(now_ns, outcome)
        self._ask(now_ns, outcome)
        return outcome

    def _measure(self, number: int, now_ns: int) -> None:
        """A packet that was missing tells the round trip, be it too late to be of use."""
        since_ns = self._missing[number][0] if number in self._missing else self._too_late.pop(number, None)
        if since_ns is not None:
            took_ns = now_ns - since_ns
            self.rtt_ns = max(took_ns, self.rtt_ns - (self.rtt_ns - took_ns) // 8)

    def tick(self, now_ns: int) -> Outcome:
        """To be called every 10–20 ms: the last packet of a burst may be the one that is lost."""
        outcome = Outcome()
        if self._next is not None:
            self._ask(now_ns, outcome)
            self._release(now_ns, outcome)
        return outcome

    def reject(self) -> None:
        """The key frame just passed on is not taken: nothing that builds on it passes either."""
        self._needs_key = True

    def want_key(self, now_ns: int) -> bool:
        """Whether a PLI may go out now, at most five a second; when true, it is taken as sent."""
        if now_ns - self._pli_ns < PLI_INTERVAL_NS:
            return False
        self._pli_ns = now_ns
        return True

    def _release(self, now_ns: int, outcome: Outcome) -> None:
        """Pass on every frame that is whole, in order."""
        while (packet := self._packets.get(self._reached)) is not None:
            assert self._next is not None
            if self._reached > self._next and packet.timestamp != self._packets[self._next].timestamp:
                self._pass(self._reached, now_ns, outcome)  # the sender sets no marker
            self._reached += 1
            if packet.marker:
                self._pass(self._reached, now_ns, outcome)
            elif self._reached == self._next + 1 and not packet.data:
                del self._packets[self._next]  # padding between frames
                self._next = self._reached

    def _pass(self, end: int, now_ns: int, outcome: Outcome) -> None:
        """The frame from `_next` up to `end` is whole: emit it, unless nothing can be made of it."""
        assert self._next is not None
        packets = [self._packets.pop(number) for number in range(self._next, end)]
        self._next = end
        first = packets[0]
        rtp_time = self._time(first.timestamp)
        joined, self._joined = self._joined, False
        data = b"".join(packet.data for packet in packets)
        if not first.starts or first.timestamp == self._spoilt or (joined and not has_headers(self._codec, data)):
            self._lose(now_ns, outcome)
            return
        self._spoilt = None
        if not data:
            return
        if len(data) > MAX_UNIT_BYTES:
            self._lose(now_ns, outcome)
            return
        key = is_key(self._codec, data)
        if self._needs_key and not key:
            outcome.key_wanted |= self.want_key(now_ns)
            return
        self._needs_key = False
        outcome.units.append(Unit(data, rtp_time, key, now_ns))

    def _ask(self, now_ns: int, outcome: Outcome) -> None:
        patience_ns = min(max(GIVE_UP_NS, 3 * self.rtt_ns), LONGEST_PATIENCE_NS)
        overdue = [number for number, (since_ns, _) in self._missing.items() if now_ns - since_ns > patience_ns]
        if overdue:
            self._give_up(max(overdue), now_ns, outcome)
        for number, (since_ns, asked_ns) in self._missing.items():
            if now_ns - asked_ns >= REPEAT_NS and len(outcome.asked) < MAX_ASKED:
                outcome.asked.append(number & 0xFFFF)
                self._missing[number] = (since_ns, now_ns)
        assert self._next is not None
        begun = self._reached > self._next and self._reached > self._highest
        if begun and now_ns - self._last_ns > TAIL_NS:
            self._highest += 1
            self._missing[self._highest] = (now_ns - FIRST_REPEAT_NS, now_ns)
            outcome.asked.append(self._highest & 0xFFFF)

    def _give_up(self, hole: int, now_ns: int, outcome: Outcome) -> None:
        """Step past `hole` and the frame around it."""
        end = hole + 1
        while (packet := self._packets.get(end)) is not None and not packet.marker:
            end += 1
        # Where nothing has come after the hole, it belongs to the frame that has begun before it.
        around = self._packets.get(end) or self._packets.get(end - 1) or self._packets.get(hole - 1)
        self._spoilt = around.timestamp if around is not None else self._spoilt
        if packet is not None:
            end += 1
        for number in [number for number in self._packets if number < end]:
            del self._packets[number]
        self._too_late = {number: since_ns for number, (since_ns, _) in self._missing.items() if number < end}
        self._missing = {number: asked for number, asked in self._missing.items() if number >= end}
        self._next = self._reached = end
        self._highest = max(self._highest, end - 1)
        self._lose(now_ns, outcome)
        self._release(now_ns, outcome)

    def _start_over(self, number: int, outcome: Outcome) -> None:
        self._packets.clear()
        self._missing.clear()
        self._next = self._reached = number
        self._highest = number - 1
        self._needs_key = outcome.gap = self._joined = True
        self.lost_frames += 1

    def _lose(self, now_ns: int, outcome: Outcome) -> None:
        self.lost_frames += 1
        outcome.gap |= not self._needs_key
        self._needs_key = True
        outcome.key_wanted |= self.want_key(now_ns)

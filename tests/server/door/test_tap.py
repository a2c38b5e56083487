"""The tap, told packets and times: what comes out, when, and what it asks for. Nothing here sleeps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from hypothesis import given, settings
from hypothesis import strategies as st

from server.door.senders import packetise
from server.door.tap import GIVE_UP_NS, MS, PLI_INTERVAL_NS, Outcome, Tap, Unit, Unwrapper

FRAME_TICKS = 3000
CODECS = ("h264", "vp8")


@dataclass(frozen=True)
class Sent:
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


class Sender:
    """Makes frames and puts them into packets as on the wire."""

    def __init__(self, codec: str = "h264", sequence: int = 100, timestamp: int = 9000) -> None:
        self.codec, self.sequence, self.timestamp = codec, sequence, timestamp
        self.frames: list[bytes] = []

    def frame(self, key: bool = False, size: int = 3000, parts: int = 1) -> list[Sent]:
        """The packets of the next frame: `size` bytes in each of `parts` slices, 1300 a packet."""
        data = self._data(key, size, parts)
        payloads = packetise(self.codec, data, len(self.frames))
        self.frames.append(data)
        last = len(payloads) - 1
        packets = [self.packet(payload, index == last) for index, payload in enumerate(payloads)]
        self.timestamp += FRAME_TICKS
        return packets

    def packet(self, payload: bytes, marker: bool) -> Sent:
        sent = Sent(self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, marker, payload)
        self.sequence += 1
        return sent

    def _data(self, key: bool, size: int, parts: int) -> bytes:
        filling = bytes([len(self.frames) % 200 + 1]) * size
        if self.codec == "vp8":
            return bytes([0 if key else 1]) + filling
        units = [b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"] if key else []
        units += [(b"\x65" if key else b"\x41") + filling] * parts
        return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


class Receiver:
    """A tap, and all that has come of it."""

    def __init__(self, codec: str = "h264") -> None:
        self.codec, self.tap = codec, Tap(codec)
        self.units: list[Unit] = []
        self.asked: list[tuple[int, int]] = []
        self.keys_wanted: list[int] = []
        self.gaps = 0

    @property
    def frames(self) -> list[bytes]:
        return [unit.data for unit in self.units]

    def take(self, packets: list[Sent], now_ms: float) -> None:
        for sent in packets:
            data = (h264_depayload if self.codec == "h264" else vp8_depayload)(sent.payload) if sent.payload else b""
            now_ns = round(now_ms * MS)
            outcome = self.tap.add(sent.sequence, sent.timestamp, sent.marker, sent.payload, data, now_ns)
            self._note(outcome, now_ns)

    def tick(self, now_ms: float) -> None:
        self._note(self.tap.tick(round(now_ms * MS)), round(now_ms * MS))

    def wait(self, from_ms: int, to_ms: int) -> None:
        """Nothing comes for a while."""
        for now_ms in range(from_ms, to_ms, 15):
            self.tick(now_ms)

    def _note(self, outcome: Outcome, now_ns: int) -> None:
        self.units += outcome.units
        self.asked += [(now_ns // MS, number) for number in outcome.asked]
        self.keys_wanted += [now_ns] if outcome.key_wanted else []
        self.gaps += outcome.gap


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_comes_out_with_its_last_packet(codec: str) -> None:
    sender, receiver = Sender(codec), Receiver(codec)
    for number, packets in enumerate((sender.frame(key=True), sender.frame(), sender.frame(size=10))):
        receiver.take(packets[:-1], 33 * number)
        assert len(receiver.units) == number
        receiver.take(packets[-1:], 33 * number + 1)
        unit = receiver.units[-1]
        assert unit.data == sender.frames[number]
        assert unit.arrival_ns == (33 * number + 1) * MS
        assert unit.rtp_time == 9000 + FRAME_TICKS * number
    assert [unit.key for unit in receiver.units] == [True, False, False]
    assert not receiver.asked
    assert not receiver.keys_wanted


@pytest.mark.parametrize("codec", CODECS)
def test_packets_in_disorder_and_twice_make_the_same_frames(codec: str) -> None:
    sender, receiver = Sender(codec), Receiver(codec)
    first, second, third = sender.frame(key=True), sender.frame(), sender.frame()
    receiver.take([*first[:1], *reversed(first[1:]), *third, *first, *reversed(second), *second, *third], 0)
    assert receiver.frames == sender.frames
    assert not receiver.gaps


def test_a_missing_packet_is_asked_for_after_40_ms_and_every_30_until_it_is_there() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    missing, *rest = sender.frame()
    receiver.take(rest, 33)
    for now_ms in range(34, 134):
        receiver.tick(now_ms)
    assert receiver.asked == [(33 + after, missing.sequence) for after in (40, 70, 100)]
    receiver.take([missing], 134)
    for now_ms in range(135, 400):
        receiver.tick(now_ms)
    assert len(receiver.asked) == 3
    assert receiver.frames == sender.frames
    assert not receiver.gaps


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_what_never_comes_is_given_up_after_150_ms_and_a_key_frame_asked_for(codec: str, lost: int) -> None:
    sender, receiver = Sender(codec), Receiver(codec)
    receiver.take(sender.frame(key=True), 0)
    packets = sender.frame()
    assert len(packets) == 3
    del packets[lost]
    receiver.take(packets, 33)
    for now_ms in range(66, 1066, 33):
        receiver.take(sender.frame(), now_ms)
    assert receiver.frames == sender.frames[:1]
    assert receiver.gaps == 1
    since_ns = 66 * MS if lost == 2 else 33 * MS  # the last one's hole is not seen before the next frame
    assert GIVE_UP_NS < receiver.keys_wanted[0] - since_ns <= GIVE_UP_NS + 33 * MS
    steps = [b - a for a, b in pairwise(receiver.keys_wanted)]
    assert len(steps) >= 3
    assert min(steps) >= PLI_INTERVAL_NS

    receiver.take(sender.frame(key=True), 1100)
    receiver.take(sender.frame(), 1133)
    assert receiver.frames == [sender.frames[0], *sender.frames[-2:]]
    assert receiver.tap.lost_frames == 1


def test_slices_of_a_given_up_key_frame_that_come_late_are_not_taken_for_one() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    packets = sender.frame(key=True, parts=2)
    receiver.take([*packets[:1], *packets[2:4]], 33)
    receiver.wait(34, 300)
    assert receiver.gaps == 1
    receiver.take(packets[4:], 300)
    receiver.take(sender.frame(), 333)
    assert receiver.frames == sender.frames[:1]


@pytest.mark.parametrize("codec", CODECS)
def test_a_tap_that_joins_in_the_middle_of_a_key_frame_waits_for_the_next(codec: str) -> None:
    sender, receiver = Sender(codec), Receiver(codec)
    sender.frame()
    receiver.take(sender.frame(key=True, parts=2)[2:], 0)
    assert not receiver.units
    assert len(receiver.keys_wanted) == 1
    receiver.take(sender.frame(key=True), 33)
    assert receiver.frames == sender.frames[2:]


def test_patience_grows_with_the_round_trip_time() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.tap.rtt_ns = 100 * MS
    receiver.take(sender.frame(key=True), 0)
    receiver.take(sender.frame()[1:], 33)
    receiver.wait(34, 33 + 299)
    assert not receiver.gaps
    receiver.wait(33 + 301, 33 + 320)
    assert receiver.gaps == 1


def test_a_resend_that_came_too_late_is_waited_for_the_next_time() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    missing, *rest = sender.frame()
    receiver.take(rest, 33)
    receiver.wait(34, 33 + 180)
    assert receiver.gaps == 1
    receiver.take([missing], 33 + 180)
    receiver.take(sender.frame(key=True), 300)
    missing, *rest = sender.frame()
    receiver.take(rest, 333)
    receiver.wait(334, 333 + 180)
    receiver.take([missing], 333 + 180)
    assert receiver.gaps == 1
    assert receiver.frames[-1] == sender.frames[-1]
    missing, *rest = sender.frame()  # but nobody waits for ever
    receiver.take(rest, 600)
    receiver.wait(601, 600 + 640)
    assert receiver.gaps == 2


def test_the_last_packet_of_a_burst_is_missed_although_nothing_follows() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    *begun, last = sender.frame()
    receiver.take(begun, 33)
    receiver.wait(34, 33 + 110)
    assert receiver.asked
    assert {number for _, number in receiver.asked} == {last.sequence}
    assert receiver.asked[0][0] - 33 <= 80
    receiver.take([last], 150)
    assert receiver.frames == sender.frames


def test_padding_between_frames_is_stepped_over() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    receiver.take([sender.packet(b"", False), sender.packet(b"", False)], 10)
    receiver.take(sender.frame(), 33)
    assert receiver.frames == sender.frames
    receiver.wait(34, 500)
    assert not receiver.asked


def test_a_sender_without_markers_is_followed_by_its_timestamps() -> None:
    sender, receiver = Sender(), Receiver()
    for number in range(4):
        packets = sender.frame(key=not number)
        receiver.take([Sent(sent.sequence, sent.timestamp, False, sent.payload) for sent in packets], 33 * number)
    assert receiver.frames == sender.frames[:3]


def test_numbers_and_times_wrap_around() -> None:
    sender, receiver = Sender(sequence=0xFFFF - 7, timestamp=0xFFFFFFFF - 4 * FRAME_TICKS), Receiver()
    for number in range(12):
        packets = sender.frame(key=not number)
        receiver.take(packets if number == 0 else packets[::-1], 33 * number)
    assert receiver.frames == sender.frames
    times = [unit.rtp_time for unit in receiver.units]
    assert [b - a for a, b in pairwise(times)] == [FRAME_TICKS] * 11


@given(st.lists(st.integers(-0x7FFF, 0x7FFF)), st.sampled_from([16, 32]))
def test_unwrapped_numbers_keep_their_distances(steps: list[int], bits: int) -> None:
    unwrap, true = Unwrapper(bits), 5
    assert unwrap(true) == 5
    for step in steps:
        true += step
        assert unwrap(true % (1 << bits)) == true


def test_a_frame_of_more_than_2_mib_is_dropped() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    start = b"\x7c\x81" + bytes([1]) * 4000  # FU-A (RFC 6184 §5.8), as large as a jumbo frame takes it
    more, end = b"\x7c\x01" + bytes([1]) * 4000, b"\x7c\x41" + bytes([1]) * 4000
    huge = [sender.packet(start, False), *(sender.packet(more, False) for _ in range(600)), sender.packet(end, True)]
    receiver.take(huge, 33)
    sender.timestamp += FRAME_TICKS
    receiver.take(sender.frame(), 66)
    assert receiver.frames == sender.frames[:1]
    assert receiver.gaps == 1
    receiver.take(sender.frame(key=True), 99)
    assert receiver.frames == [sender.frames[0], sender.frames[2]]


def test_a_jump_in_the_numbers_starts_over_at_a_key_frame_and_keeps_nothing() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    sender.sequence += 20_000
    receiver.take(sender.frame(), 33)
    assert receiver.gaps == 1
    assert not receiver.asked
    receiver.take(sender.frame(key=True), 66)
    assert receiver.frames == [sender.frames[0], sender.frames[2]]


def test_after_a_refused_key_frame_only_another_passes() -> None:
    sender, receiver = Sender(), Receiver()
    receiver.take(sender.frame(key=True), 0)
    receiver.tap.reject()
    receiver.take(sender.frame(), 33)
    assert len(receiver.units) == 1
    receiver.take(sender.frame(key=True), 66)
    assert len(receiver.units) == 2


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, int, list[tuple[bool, int, int]], list[list[int]]]:
    """Codec, first number, frames (key, bytes, slices), and for each packet the delays in ms of its copies."""
    frames = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 3000), st.integers(1, 3)), min_size=1, max_size=15))
    delay = st.one_of(st.just(1), st.integers(0, 40), st.integers(0, 600))
    copies = draw(st.lists(st.lists(delay, max_size=2), min_size=10, max_size=60))
    return draw(st.sampled_from(CODECS)), draw(st.sampled_from([0, 0xFFF8])), [(True, 100, 1), *frames], copies


@settings(max_examples=300)
@given(networks())
def test_whatever_the_network_does_what_comes_out_is_whole_in_order_and_decodable(
    network: tuple[str, int, list[tuple[bool, int, int]], list[list[int]]],
) -> None:
    codec, sequence, frames, copies = network
    sender, receiver = Sender(codec, sequence), Receiver(codec)
    arrivals: list[tuple[int, int, Sent]] = []
    for number, (key, size, parts) in enumerate(frames):
        for sent in sender.frame(key, size, parts):
            delays = copies[sent.sequence % len(copies)]
            arrivals += [(33 * number + delay, len(arrivals), sent) for delay in delays]
    now_ms = 0
    for at_ms, _, sent in sorted(arrivals, key=lambda arrival: arrival[:2]):
        while now_ms + 15 <= at_ms:
            now_ms += 15
            receiver.tick(now_ms)
        receiver.take([sent], at_ms)
    places = [(unit.rtp_time - 9000) // FRAME_TICKS for unit in receiver.units]
    assert places == sorted(set(places))
    for before, place, unit in zip([-1, *places], places, receiver.units, strict=False):
        assert unit.data == sender.frames[place]
        assert unit.key == frames[place][0]
        assert unit.key or place == before + 1

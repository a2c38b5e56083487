"""Transport-wide feedback, read back by the draft's own rules (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from server.door.feedback import Feedback

TICK_NS = 250_000
BASE_NS = 5_000_000_000
SSRC = 0xDEADBEEF


def read(packet: bytes) -> tuple[int, int, dict[int, int | None]]:
    """SSRC, the packet's own number, and ticks of arrival (None: lost) by 16-bit sequence number."""
    first, kind, words, _, ssrc, base, count = struct.unpack("!BBHIIHH", packet[:16])
    assert (first, kind) == (0x8F, 205)
    assert len(packet) == 4 * (words + 1)
    time, own = int.from_bytes(packet[16:19], "big") * 256, packet[19]
    symbols: list[int] = []
    at = 20
    while len(symbols) < count:
        chunk = struct.unpack_from("!H", packet, at)[0]
        at += 2
        if chunk >> 14 == 0b11:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        elif chunk >> 14 == 0b10:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        else:
            symbols += [chunk >> 13] * (chunk & 0x1FFF)
    found: dict[int, int | None] = {}
    for number, symbol in enumerate(symbols[:count]):
        assert symbol != 3
        if symbol == 0:
            found[base + number & 0xFFFF] = None
            continue
        layout = "!B" if symbol == 1 else "!h"
        time += struct.unpack_from(layout, packet, at)[0]
        at += struct.calcsize(layout)
        found[base + number & 0xFFFF] = time
    assert packet[at:] == bytes(len(packet) - at)
    assert len(packet) - at < 4
    return ssrc, own, found


def note(feedback: Feedback, arrivals: Iterable[tuple[int, int]]) -> None:
    """(number, ticks after the base)."""
    for number, ticks in arrivals:
        feedback.note(number & 0xFFFF, BASE_NS + ticks * TICK_NS, SSRC)


def reported(feedback: Feedback) -> dict[int, int | None]:
    return {number: at for packet in feedback.packets() for number, at in read(packet)[2].items()}


BASE_TICKS = BASE_NS // TICK_NS


def test_arrivals_losses_and_disorder_are_told() -> None:
    feedback = Feedback()
    assert not feedback.seen
    assert not list(feedback.packets())
    note(feedback, [(10, 0), (11, 4), (14, 1000), (13, 1001), (16, 1010)])
    assert feedback.seen
    (packet,) = feedback.packets()
    ssrc, own, found = read(packet)
    assert (ssrc, own) == (SSRC, 0)
    ticks = {10: 0, 11: 4, 12: None, 13: 1001, 14: 1000, 15: None, 16: 1010}
    assert found == {number: None if at is None else BASE_TICKS + at for number, at in ticks.items()}
    assert not list(feedback.packets())


def test_a_packet_that_comes_twice_keeps_its_first_time() -> None:
    feedback = Feedback()
    note(feedback, [(1, 0), (1, 50), (2, 60)])
    assert reported(feedback) == {1: BASE_TICKS, 2: BASE_TICKS + 60}


def test_numbers_wrap_around_and_packets_count_themselves() -> None:
    feedback = Feedback()
    for turn in range(300):
        note(feedback, [(65_500 + turn, turn * 40)])
        (packet,) = feedback.packets()
        _, own, found = read(packet)
        assert own == turn & 0xFF
        assert found == {(65_500 + turn) & 0xFFFF: BASE_TICKS + turn * 40}


def test_a_long_silence_is_cut_to_what_a_report_can_hold() -> None:
    feedback = Feedback()
    note(feedback, [(0, 0), (3000, 1)])
    packets = list(feedback.packets())
    assert len(packets) == 2
    assert all(len(packet) < 1200 for packet in packets)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 400), st.booleans()), min_size=1, max_size=300),
    st.integers(0, 65_535),
    st.integers(1, 60),
)
def test_whatever_comes_is_told_once_at_its_time(steps: list[tuple[int, int, bool]], start: int, batch: int) -> None:
    feedback, number, ticks = Feedback(), start, 0
    wanted: dict[int, int] = {}
    told: dict[int, int] = {}
    for turn, (step, wait, shown) in enumerate(steps):
        number, ticks = number + step, ticks + wait
        note(feedback, [(number, ticks)])
        wanted[number & 0xFFFF] = BASE_TICKS + ticks
        if shown and turn % batch == 0:
            told |= seen(feedback)
    assert told | seen(feedback) == wanted


def seen(feedback: Feedback) -> dict[int, int]:
    return {number: at for number, at in reported(feedback).items() if at is not None}

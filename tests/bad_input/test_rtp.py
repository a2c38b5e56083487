"""RTP packets that are broken, or lie: each is dropped, and the good frames of the same connection go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
from aiortc.rtp import RtpPacket

from tests.bad_input.live import Live

FOREIGN = 0xBAD
"""One SSRC for all that is not our own; more than four others end a session."""


@pytest.fixture(scope="module")
def h264() -> Iterator[Live]:
    live = Live("h264")
    yield live
    live.close()


@pytest.fixture(scope="module")
def vp8() -> Iterator[Live]:
    live = Live("vp8")
    yield live
    live.close()


def packet(live: Live, payload: bytes, kind: str = "video", ssrc: int | None = FOREIGN, marker: int = 0) -> RtpPacket:
    """A packet of the stream's own payload type; `ssrc` None: as if it were the stream's, one of its own numbers again."""
    own = ssrc is None
    number, stamp = (live.last.sequence_number, live.last.timestamp) if own else (7, 7)
    return RtpPacket(live.payload_type(kind), marker, number, stamp, live.last.ssrc if ssrc is None else ssrc, payload)


def raw(first: int, payload_type: int, rest: bytes) -> bytes:
    return (
        bytes([first, payload_type])
        + (7).to_bytes(2, "big")
        + (7).to_bytes(4, "big")
        + FOREIGN.to_bytes(4, "big")
        + rest
    )


HEADERS: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\x80",
    "eleven bytes": bytes([0x80, 96]) + bytes(9),
    "version 0": raw(0x00, 96, b"abc"),
    "version 1": raw(0x40, 96, b"abc"),
    "version 3": raw(0xC0, 96, b"abc"),
    "15 sources, none there": raw(0x8F, 96, b""),
    "15 sources, cut": raw(0x8F, 96, bytes(59)),
    "15 sources": raw(0x8F, 96, bytes(60)),
    "extension, none there": raw(0x90, 96, b""),
    "extension, cut": raw(0x90, 96, b"\xbe\xde\0\1"),
    "extension of 256 kB": raw(0x90, 96, b"\xbe\xde\xff\xff" + bytes(40)),
    "extension of nothing": raw(0x90, 96, b"\xbe\xde\0\0"),
    "extension of another kind": raw(0x90, 96, b"\x12\x34\0\1abcd"),
    "only padding": raw(0xA0, 96, b"\1"),
    "padding of 0": raw(0xA0, 96, b"abc\0"),
    "padding of 255": raw(0xA0, 96, b"abc\xff"),
    "padding, none there": raw(0xA0, 96, b""),
    "padding over all": raw(0xA0, 96, b"\0\0\3"),
    "no payload": raw(0x80, 96, b""),
    "payload type 0": raw(0x80, 0, b"abc"),
    "payload type 127": raw(0x80, 127, b"abc"),
    "marker": raw(0x80, 96 | 128, b"abc"),
    "1,200 bytes": raw(0x80, 96, bytes(1200)),
    "all bits": raw(0xBF, 96, b"\xff" * 200),
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_headers(h264: Live, data: bytes) -> None:
    h264.throw([data])


@pytest.mark.parametrize("ident", range(1, 16))
def test_one_byte_extensions_of_any_length(h264: Live, ident: int) -> None:
    packets = []
    for length in range(1, 17):
        value = bytes([ident << 4 | length - 1]) + b"\xff" * length
        value += bytes(-len(value) % 4)
        packets.append(
            raw(0x90, h264.payload_type("video"), b"\xbe\xde" + (len(value) // 4).to_bytes(2, "big") + value)
        )
    h264.throw(packets)


@pytest.mark.parametrize("ident", [0, 1, 2, 3, 4, 5, 6, 14, 255])
def test_two_byte_extensions_of_any_length(h264: Live, ident: int) -> None:
    packets = []
    for length in (0, 1, 2, 3, 4, 9, 99, 255):
        value = bytes([ident, length]) + b"\xff" * min(length, 99)
        value += bytes(-len(value) % 4)
        packets.append(raw(0x90, h264.payload_type("video"), b"\x10\0" + (len(value) // 4).to_bytes(2, "big") + value))
    h264.throw(packets)


@pytest.mark.parametrize("kind", range(32))
def test_h264_payloads_of_any_kind(h264: Live, kind: int) -> None:
    bodies = [
        b"",
        b"\0",
        b"\xff",
        b"\0\0",
        b"\xff\xff",
        b"\xff\xffabc",
        b"\0\1a\0",
        b"\x85",
        b"\xc5",
        b"\x45",
        bytes(1200),
        b"\0\2ab" * 99,
    ]
    h264.throw(
        [
            packet(h264, bytes([first | kind]) + body, ssrc=ssrc).serialize()
            for first in (0, 0x60, 0x80)
            for body in bodies
            for ssrc in (FOREIGN, None)
        ]
    )


@pytest.mark.parametrize("first", range(0, 256, 8))
def test_vp8_descriptors_of_any_kind(vp8: Live, first: int) -> None:
    rests = [
        b"",
        b"\xff",
        b"\xf0",
        b"\x80",
        b"\x80\xff",
        b"\xff\xff\xff\xff\xff\xff",
        b"\0",
        b"\x80\x80",
        b"\xe0\x80\1",
        bytes(1200),
    ]
    vp8.throw(
        [
            packet(vp8, bytes([first | low]) + rest, ssrc=ssrc).serialize()
            for low in (0, 7)
            for rest in rests
            for ssrc in (FOREIGN, None)
        ]
    )


@pytest.mark.parametrize("payload", [b"", b"\0", b"\xff", b"\xff" * 1200, b"\x03\xff", b"\xfc\xff\xfe"])
def test_sound_of_any_kind(h264: Live, payload: bytes) -> None:
    h264.throw([packet(h264, payload, "audio").serialize()])


NUMBERS = [0, 1, 99, 1023, 1025, 0x7FFF, 0x8000, 0x8001, 0xFC00, 0xFFFF]


@pytest.mark.parametrize("ahead", NUMBERS)
def test_a_number_that_leaps(h264: Live, ahead: int) -> None:
    wrong = packet(h264, b"\x61abc", ssrc=None)
    wrong.sequence_number = (wrong.sequence_number + ahead) & 0xFFFF
    h264.throw([wrong.serialize()])


@pytest.mark.parametrize("ahead", [1, 90_000, 1 << 30, 1 << 31, (1 << 32) - 1])
def test_a_time_that_leaps(h264: Live, ahead: int) -> None:
    wrong = packet(h264, b"\x61abc", ssrc=None, marker=1)
    wrong.sequence_number = (wrong.sequence_number + 1) & 0xFFFF
    wrong.timestamp = (wrong.timestamp + ahead) & 0xFFFFFFFF
    h264.throw([wrong.serialize()])


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0", b"\xff\xff", b"\0\7abc", b"\0\7" + bytes(1100)])
def test_resends_of_nothing(h264: Live, payload: bytes) -> None:
    known = h264.publisher.answer_sdp.split("m=video ")[1].split()[2:]
    h264.throw([RtpPacket(int(kind), 0, 7, 7, FOREIGN, payload).serialize() for kind in known[1:2]])


def test_mutated_packets(h264: Live, vp8: Live, tried: Callable[[int], None]) -> None:
    chance, count, end_s = random.Random(14), 0, time.monotonic() + 5
    while time.monotonic() < end_s and count < 3000:
        live = (h264, vp8)[count // 50 % 2]
        made = []
        for _ in range(50):
            data = bytearray(live.last.serialize())
            for _ in range(chance.randint(1, 8)):
                at = chance.choice([0, 1, *range(12, min(40, len(data)))])
                data[at] = chance.randrange(256)
            data[8:12] = FOREIGN.to_bytes(4, "big")
            made.append(bytes(data[: chance.choice([len(data), chance.randint(1, len(data))])]))
        live.throw(made)
        count += 50
    tried(count)

"""What a viewer sends on its data channel, which is one way only: SCTP that is broken, and messages that nobody asked for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.bad_input.live import LiveViewer
from tests.bad_input.serving import GOOD, Server

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, ABORT, SHUTDOWN, ERROR, COOKIE_ECHO, RECONFIG, FORWARD = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    9,
    10,
    130,
    192,
)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp(*chunks: bytes, tag: int = 0) -> bytes:
    """A packet with a true checksum."""
    head = b"\x13\x88\x13\x88" + tag.to_bytes(4, "big")
    body = b"".join(chunks)
    return head + crc32c(head + bytes(4) + body).to_bytes(4, "little") + body


def chunk(kind: int, body: bytes = b"", length: int | None = None, flags: int = 3) -> bytes:
    return (
        bytes([kind, flags])
        + (len(body) + 4 if length is None else length).to_bytes(2, "big")
        + body
        + bytes(-len(body) % 4)
    )


BODIES = [b"", b"\0", bytes(3), b"\xff" * 4, b"\xff" * 12, bytes(12), bytes(16), b"\xff" * 16, b"\xff" * 400]


@pytest.fixture(scope="module")
def viewer(server: Server) -> Iterator[LiveViewer]:
    live = LiveViewer(server, f"/whep/{GOOD}/redacted")
    yield live
    live.close()


PACKETS = {
    "words": b"hello",
    "one byte": b"\0",
    "zeros": bytes(400),
    "ones": b"\xff" * 400,
    "a bare header": sctp(),
    "a wrong checksum": sctp(chunk(INIT, bytes(16)))[:-1] + b"x",
    "a chunk cut": sctp(b"\0"),
    "a chunk of no length": sctp(chunk(DATA, length=0)),
    "a chunk longer than all": sctp(chunk(DATA, length=0xFFFF)),
    "a text": b"{}",
    "a long text": b"x" * 1100,
    "SSDP": b"M-SEARCH * HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", PACKETS.values(), ids=PACKETS)
def test_packets(viewer: LiveViewer, data: bytes) -> None:
    viewer.throw_data([data])


@pytest.mark.parametrize(
    "kind",
    [DATA, INIT, INIT_ACK, SACK, HEARTBEAT, 5, SHUTDOWN, 8, ERROR, COOKIE_ECHO, 11, 14, RECONFIG, FORWARD, 63, 255],
)
def test_chunks_of_any_kind(viewer: LiveViewer, kind: int) -> None:
    tags = [0, 7, viewer.tag]
    viewer.throw_data(
        [sctp(chunk(kind, body, flags=flags), tag=tag) for body in BODIES for flags in (0, 3, 255) for tag in tags]
    )


def test_an_acknowledgement_of_all_there_could_be_takes_no_time(viewer: LiveViewer) -> None:
    gaps = (b"\0\0\xff\xff" + b"\xff\xff\0\0") * 140
    viewer.throw_data([sctp(chunk(SACK, bytes(8) + (280).to_bytes(2, "big") + bytes(2) + gaps), tag=viewer.tag)] * 10)


@pytest.mark.parametrize("length", [0, 1, 3, 5, 0xFFFF])
def test_a_parameter_of_an_impossible_length(viewer: LiveViewer, length: int) -> None:
    parameter = b"\x80\x08" + length.to_bytes(2, "big")
    viewer.throw_data(
        [sctp(chunk(kind, b"\1" * size + parameter)) for kind in (INIT, INIT_ACK, ERROR, ABORT) for size in (0, 16)]
    )


def test_messages_that_nobody_reads(viewer: LiveViewer) -> None:
    viewer.say(["x" * 1000, "{}", "\0", "é" * 100] * 50)


def test_mutated(viewer: LiveViewer, tried: Callable[[int], None]) -> None:
    chance, count, end_s = random.Random(16), 0, time.monotonic() + 3
    while time.monotonic() < end_s and count < 2000:
        made = []
        for _ in range(50):
            body = bytearray(chance.choice(BODIES) + bytes(8))
            for _ in range(chance.randint(1, 6)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            kind = chance.choice([DATA, INIT, INIT_ACK, SACK, HEARTBEAT, ERROR, COOKIE_ECHO, RECONFIG, FORWARD])
            length = chance.choice([None, chance.randrange(1 << 16)])
            made.append(sctp(chunk(kind, bytes(body), length), tag=chance.choice([0, viewer.tag])))
        viewer.throw_data(made)
        count += 50
    tried(count)

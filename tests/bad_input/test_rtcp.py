"""RTCP that is broken, or asks for too much: from a publisher and from a viewer."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tests.bad_input.live import Live, LiveViewer
from tests.bad_input.serving import GOOD, Server

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
SHORTEST = 8
"""What SRTCP sends at least; less comes as the second part of a packet."""
SOMEBODY, NOBODY = b"\0\0\0\7", b"\xff\xff\xff\xff"


def rtcp(kind: int, count: int, body: bytes, length: int | None = None, first: int = 0x80) -> bytes:
    return struct.pack("!BBH", first | count, kind, len(body) // 4 if length is None else length) + body


REPORT = bytes(24)
PACKETS: dict[str, bytes] = {
    "bare": rtcp(RR, 0, b"", 0),
    "cut": rtcp(RR, 0, SOMEBODY)[:5],
    "longer than it is": rtcp(RR, 0, SOMEBODY, 0xFFFF),
    "version 0": rtcp(RR, 0, SOMEBODY, first=0),
    "version 3": rtcp(RR, 0, SOMEBODY, first=0xC0),
    "padding of 0": rtcp(RR, 0, SOMEBODY + bytes(4), first=0xA0),
    "padding of 255": rtcp(RR, 0, NOBODY, first=0xA0),
    "padding of all": rtcp(RR, 0, b"\0\0\0\4", first=0xA0),
    "no sender": rtcp(SR, 0, b""),
    "a short sender": rtcp(SR, 0, SOMEBODY + bytes(16)),
    "31 reports, none there": rtcp(RR, 31, SOMEBODY),
    "31 reports": rtcp(RR, 31, SOMEBODY + REPORT * 31),
    "a report too many": rtcp(RR, 0, SOMEBODY + REPORT),
    "31 reports of a sender": rtcp(SR, 31, SOMEBODY + bytes(20) + REPORT * 31),
    "a report of all bits": rtcp(RR, 1, SOMEBODY + b"\xff" * 24),
    "a sender of all bits": rtcp(SR, 0, b"\xff" * 24),
    "time 0": rtcp(SR, 0, SOMEBODY + bytes(20)),
    "31 names, none there": rtcp(SDES, 31, b""),
    "a name cut": rtcp(SDES, 1, SOMEBODY + b"\1\xffab"),
    "a name without an end": rtcp(SDES, 1, SOMEBODY + b"\1\2ab"),
    "a name not UTF-8": rtcp(SDES, 1, SOMEBODY + b"\1\2\xff\xfe"),
    "names of no kind": rtcp(SDES, 1, SOMEBODY + b"\xff\0\xff\0"),
    "31 byes, none there": rtcp(BYE, 31, b""),
    "a bye of nobody": rtcp(BYE, 0, b""),
    "a bye of another": rtcp(BYE, 1, NOBODY),
    "a bye with a cut reason": rtcp(BYE, 1, NOBODY + b"\xffabc"),
    "an application's": rtcp(APP, 0, SOMEBODY + b"nameabcd"),
    "an application's, cut": rtcp(APP, 0, b""),
    "extended": rtcp(XR, 0, SOMEBODY + b"\xff\0\xff\xff"),
    "kind 192": rtcp(192, 0, SOMEBODY),
    "kind 223": rtcp(223, 31, NOBODY * 9),
    "NACK, bare": rtcp(RTPFB, 1, b""),
    "NACK of nothing": rtcp(RTPFB, 1, SOMEBODY * 2),
    "NACK of all": rtcp(RTPFB, 1, SOMEBODY * 2 + b"\xff" * 1000),
    "TMMBR": rtcp(RTPFB, 3, SOMEBODY * 4),
    "transport-wide, bare": rtcp(RTPFB, 15, SOMEBODY * 2),
    "transport-wide of 65535": rtcp(RTPFB, 15, SOMEBODY * 2 + b"\0\0\xff\xff\0\0\0\0"),
    "transport-wide of all bits": rtcp(RTPFB, 15, SOMEBODY * 2 + b"\xff" * 400),
    "feedback 31": rtcp(RTPFB, 31, SOMEBODY * 9),
    "PLI, bare": rtcp(PSFB, 1, b""),
    "PLI of nobody": rtcp(PSFB, 1, SOMEBODY + NOBODY),
    "PLI with more": rtcp(PSFB, 1, SOMEBODY * 99),
    "FIR, bare": rtcp(PSFB, 4, SOMEBODY * 2),
    "FIR of many": rtcp(PSFB, 4, SOMEBODY * 200),
    "REMB, bare": rtcp(PSFB, 15, SOMEBODY * 2),
    "REMB cut": rtcp(PSFB, 15, SOMEBODY * 2 + b"REMB"),
    "REMB of 255, none there": rtcp(PSFB, 15, SOMEBODY * 2 + b"REMB\xff\xff\xff\xff"),
    "REMB of 0 bit/s": rtcp(PSFB, 15, SOMEBODY * 2 + b"REMB\1\0\0\0" + SOMEBODY),
    "REMB of 2^81 bit/s": rtcp(PSFB, 15, SOMEBODY * 2 + b"REMB\1\xff\xff\xff" + SOMEBODY),
    "REMB by another name": rtcp(PSFB, 15, SOMEBODY * 2 + b"REMX\1\0\0\1" + SOMEBODY),
    "SLI": rtcp(PSFB, 2, SOMEBODY * 3),
    "RPSI": rtcp(PSFB, 3, SOMEBODY * 2 + b"\xff\xff\xff\xff"),
    "payload feedback 31": rtcp(PSFB, 31, NOBODY * 9),
    "300 in one": rtcp(RR, 0, SOMEBODY) * 150,
    "a good one, then half": rtcp(RR, 0, SOMEBODY) + rtcp(SR, 0, SOMEBODY)[:6],
}


@pytest.fixture(scope="module")
def publisher() -> Iterator[Live]:
    live = Live("h264")
    yield live
    live.close()


@pytest.fixture(scope="module")
def viewer(server: Server) -> Iterator[LiveViewer]:
    live = LiveViewer(server, f"/whep/{GOOD}/redacted")
    yield live
    live.close()


@pytest.mark.parametrize("data", PACKETS.values(), ids=PACKETS)
def test_of_a_publisher(publisher: Live, data: bytes) -> None:
    publisher.throw([data, data.replace(SOMEBODY, publisher.last.ssrc.to_bytes(4, "big"))], rtcp=True)


OF_VIEWERS = {name: data for name, data in PACKETS.items() if name != "REMB of 0 bit/s"}
"""Who says that nothing can be received is sent nothing: see the test below."""


@pytest.mark.parametrize("data", OF_VIEWERS.values(), ids=OF_VIEWERS)
def test_of_a_viewer(server: Server, viewer: LiveViewer, data: bytes) -> None:
    data = data if len(data) >= SHORTEST else rtcp(RR, 0, SOMEBODY) + data
    viewer.throw([data, data.replace(SOMEBODY, ssrc_of(viewer))])


def ssrc_of(viewer: LiveViewer) -> bytes:
    """What the server sends the video with, as its answer says."""
    assert viewer.viewer.answer is not None
    video = viewer.viewer.answer.body.decode().split("m=video")[1]
    return int(video.split("a=ssrc:")[1].split()[0]).to_bytes(4, "big")


def can_take_much(viewer: LiveViewer) -> bytes:
    """8 Mbit/s."""
    return rtcp(PSFB, 15, SOMEBODY * 2 + b"REMB\1" + bytes([23 << 2, 0, 1]) + ssrc_of(viewer))


def test_a_viewer_that_can_take_nothing_is_served_again_when_it_can(server: Server, viewer: LiveViewer) -> None:
    viewer.throw([PACKETS["REMB of 0 bit/s"].replace(SOMEBODY, ssrc_of(viewer)), can_take_much(viewer)])


def test_a_flood_of_wishes_of_a_viewer_holds_up_nobody(server: Server, viewer: LiveViewer) -> None:
    """The same packets again and again, and key frames: 300 × 17 resends asked for in each packet."""
    own = ssrc_of(viewer)
    numbers = range(0, 300 * 17, 17)
    wish = rtcp(RTPFB, 1, SOMEBODY + own + b"".join(struct.pack("!HH", number, 0xFFFF) for number in numbers))
    key = rtcp(PSFB, 1, SOMEBODY + own)
    viewer.throw([wish, key] * 100)
    server.wait_frames(10)


def test_mutated(publisher: Live, viewer: LiveViewer, tried: Callable[[int], None]) -> None:
    chance, count, end_s = random.Random(15), 0, time.monotonic() + 5
    known = [data for data in PACKETS.values() if SHORTEST <= len(data) < 400]
    while time.monotonic() < end_s and count < 3000:
        to_viewer = count % 500 == 0
        kinds = [SR, RR, SDES, BYE, APP, RTPFB, XR]  # what a viewer says that it can take is no matter of luck
        if not to_viewer:
            kinds.append(PSFB)
        made = []
        for _ in range(50):
            data = bytearray(chance.choice(known).replace(SOMEBODY, ssrc_of(viewer)))
            for _ in range(chance.randint(1, 6)):
                data[chance.choice([0, 2, 3, chance.randrange(len(data))])] = chance.randrange(256)
            data[1] = chance.choice(kinds)
            made.append(bytes(data))
        if to_viewer:
            viewer.throw([*made, can_take_much(viewer)])  # one of them may have wished for 0 bit/s
        else:
            publisher.throw(made, rtcp=True)
        count += 50
    tried(count)

"""Headers of H.264 and VP8 that state too much, or nothing that can be: refused before a decoder takes memory for them."""

from __future__ import annotations

import asyncio
import random
import re
import time
import tracemalloc
from collections.abc import Callable

import pytest
from aiortc import RTCSessionDescription

from engines.bitstream import MAX_PIXELS, Refusable, is_key, picture_size
from engines.codecs.decode import DecodeError, VideoDecoder
from server.door import senders
from tests.bad_input.serving import Server
from tests.server.door.plain import FRAME_TICKS, Sender, encoded

LONGEST_S = 0.5
GOES_ON_S = 20
START = b"\0\0\0\1"


class Bits:
    """Writes flags and Exp-Golomb codes (H.264 §9.1), and what they end with."""

    def __init__(self) -> None:
        self._bits = ""

    def u(self, count: int, value: int) -> Bits:
        self._bits += f"{value:0{count}b}"[-count:]
        return self

    def ue(self, value: int) -> Bits:
        code = f"{value + 1:b}"
        self._bits += "0" * (len(code) - 1) + code
        return self

    def data(self) -> bytes:
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        raw = int(bits, 2).to_bytes(len(bits) // 8, "big")
        for last in (0, 1, 2, 3):  # emulation prevention
            raw = raw.replace(bytes([0, 0, last]), bytes([0, 0, 3, last]))
        return raw


def sps(
    wide: int = 20, high: int = 15, *, profile: int = 66, chroma: int = 1, depth: int = 0, matrices: int = 0, references: int = 1,
    order: int = 2, cycle: int = 0, frames_only: int = 1, cut: tuple[int, int, int, int] | None = None, number: int = 0, frame_num: int = 0,
) -> bytes:  # fmt: skip
    """A sequence parameter set (H.264 §7.3.2.1.1) of `wide` x `high` macroblocks."""
    bits = Bits().u(8, profile).u(8, 0).u(8, 31).ue(number)
    if profile == 100:
        bits.ue(chroma).ue(depth).ue(depth).u(1, 0).u(1, matrices)
    bits.ue(frame_num).ue(order)
    if order == 0:
        bits.ue(4)
    elif order == 1:
        bits.u(1, 0).ue(0).ue(0).ue(cycle)
        for _ in range(min(cycle, 300)):
            bits.ue(0)
    bits.ue(references).u(1, 0).ue(wide - 1).ue(high - 1).u(1, frames_only)
    if not frames_only:
        bits.u(1, 0)
    bits.u(1, 1).u(1, cut is not None)
    for side in cut or ():
        bits.ue(side)
    return START + b"\x67" + bits.u(1, 0).data()


def vp8(width: int, height: int, first: bytes = b"\x10\x02\x00", code: bytes = b"\x9d\x01\x2a") -> bytes:
    return first + code + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(40)


H264 = {
    "8192x8192": sps(512, 512),
    "65536x1088": sps(4096, 68),
    "1920x65536": sps(120, 4096),
    "2^32 wide": sps(2**28, 2**4),
    "as large as can be": sps(2**31, 2**31),
    "fields of 1920x2176": sps(120, 68, frames_only=0),
    "a row too many": sps(120, 69),
    "much cut off": sps(512, 512, cut=(0, 4000, 0, 4000)),
    "all cut off": sps(20, 15, cut=(80, 80, 60, 60)),
    "more cut off than there is": sps(20, 15, cut=(2**20, 2**20, 0, 0)),
    "16 references": sps(references=16),
    "2^31 references": sps(references=2**31 - 2),
    "4:0:0": sps(profile=100, chroma=0),
    "4:2:2": sps(profile=100, chroma=2),
    "4:4:4": sps(profile=100, chroma=3),
    "chroma 99": sps(profile=100, chroma=99),
    "10 bit": sps(profile=100, depth=2),
    "2^31 bit": sps(profile=100, depth=2**31 - 2),
    "matrices": sps(profile=100, matrices=1),
    "a cycle of 2^31": sps(order=1, cycle=2**31 - 2),
    "nothing": START + b"\x67",
    "zeros": START + b"\x67" + bytes(60),
    "ones": START + b"\x67" + b"\xff" * 3,
    "a number of 60 bits": START + b"\x67\x42\0\x1f" + bytes(8) + b"\1",
    "a large one after a small one": sps() + sps(512, 512),
    "a large one before a small one": sps(512, 512) + sps(),
    "hidden behind another start": sps() + b"\0\0\1" + sps(512, 512)[4:],
    "cut short": sps()[:7],
    "cut in its middle": sps()[:8],
    "extended from nothing": START + b"\x67\x64\x00\x1f" + b"\x80",
}
VP8 = {
    "16383x16383": vp8(16383, 16383),
    "16383x1088": vp8(16383, 1088),
    "1920x1089": vp8(1920, 1089),
    "scaled 16383": vp8(0xFFFF, 0xFFFF),
    "no start code": vp8(320, 240, code=b"\0\0\0"),
    "half a start code": vp8(320, 240, code=b"\x9d\x01\x00"),
    "9 bytes": vp8(320, 240)[:9],
    "3 bytes": vp8(320, 240)[:3],
    "1 byte": b"\0",
    "zeros": bytes(20),
}
ALL = [("h264", name) for name in H264] + [("vp8", name) for name in VP8]


def unit(codec: str, name: str) -> bytes:
    """A key frame with such a header; in H.264 with what follows it: a picture's set, and a slice of nothing."""
    if codec == "vp8":
        return VP8[name]
    return H264[name] + START + b"\x68\xce\x3c\x80" + START + b"\x65\x88\x84" + bytes(range(1, 60))


def is_refused(codec: str, data: bytes) -> bool:
    try:
        size = picture_size(codec, data)
    except Refusable:
        return True
    return size is not None and size[0] * size[1] > MAX_PIXELS


@pytest.mark.parametrize(("codec", "name"), ALL)
def test_the_header_is_refused_at_once(codec: str, name: str) -> None:
    began_s = time.monotonic()
    assert is_refused(codec, unit(codec, name))
    assert time.monotonic() - began_s < LONGEST_S


@pytest.mark.parametrize(("codec", "name"), ALL)
def test_a_decoder_that_gets_it_all_the_same_makes_no_picture_of_it(codec: str, name: str) -> None:
    decoder = VideoDecoder(codec)  # type: ignore[arg-type]
    began_s = time.monotonic()
    try:
        frames = decoder.decode(unit(codec, name), 0, 0)
    except DecodeError:
        frames = []
    assert all(frame.width * frame.height <= MAX_PIXELS for frame in frames)
    assert time.monotonic() - began_s < 10 * LONGEST_S


def test_what_is_usual_is_not_refused() -> None:
    assert picture_size("h264", sps()) == (320, 240)
    assert picture_size("h264", sps(120, 68, cut=(0, 0, 0, 4))) == (1920, 1080)
    assert picture_size("h264", sps(profile=100, order=1, cycle=255, references=4)) == (320, 240)
    assert picture_size("vp8", vp8(1920, 1080)) == (1920, 1080)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_damaged_streams_decode_to_pictures_of_a_size_that_may_be(codec: str, tried: Callable[[int], None]) -> None:
    chance, count, end_s = random.Random(5), 0, time.monotonic() + 2
    decoder = VideoDecoder(codec)  # type: ignore[arg-type]
    frames = encoded(codec, 30)
    tracemalloc.start()
    while count < 1500 and time.monotonic() < end_s:
        data = bytearray(frames[count % len(frames)].data)
        near = 40 if chance.random() < 0.7 else len(data)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(min(near, len(data)))] = chance.randrange(256)
        count += 1
        is_key(codec, bytes(data))
        try:
            for picture in decoder.decode(bytes(data), count * 3000, 0):
                assert picture.width * picture.height <= MAX_PIXELS
        except DecodeError:
            decoder = VideoDecoder(codec)  # type: ignore[arg-type]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 << 20
    tried(count)


EMPTY = {
    "nothing": b"",
    "a start": START,
    "two starts": START + START,
    "a start and zeros": START + bytes(9),
    "starts alone": b"\0\0\1" * 99,
    "a start at the end": START + b"\x65abc" + START,
    "starts within": START + b"\x65" + START + b"\0\0\1" + b"\x41abc",
    "no start": b"abc",
    "zeros": bytes(3000),
}


@pytest.mark.parametrize("data", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_what_holds_nothing_can_be_passed_on_to_viewers(codec: str, data: bytes) -> None:
    """The raw feed goes out as it came in."""
    assert all(len(payload) <= 1300 for payload in senders.packetise(codec, data, 0))


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_each_of_them_within_a_stream_is_dropped_and_the_stream_goes_on(server: Server, codec: str) -> None:
    """Through DTLS, SRTP, the door and the studio; the stream's own good frames come before and after each."""
    stream = f"headers-{codec}"
    good = encoded(codec, 15)
    units = [unit(of, name) for of, name in ALL if of == codec]
    hostile = [
        [],
        [],
        *([data] for data in units if not re.search(b"\0\0\1(\0?\0\0\1|$)", data)),
    ]  # aiortc sends no empty ones

    def latest() -> object:
        """The stages of the latest frame that the studio made something of."""
        return server.get(f"/streams/{stream}/latency")["last_ms"]

    def state() -> str:
        return str(server.streams()[stream]["state"])

    async def run() -> None:
        sender = Sender(codec)
        try:
            offer = await sender.offer()
            answer = await asyncio.to_thread(
                lambda: server.ask("POST", f"/whip/{stream}", offer, Content_Type="application/sdp")
            )
            assert answer.status == 201, answer.body
            await sender.pc.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
            number = 0
            for bad in hostile:
                for data in [frame.data for frame in good[:2]] + bad:
                    sender.video.send(data, FRAME_TICKS * number)
                    number += 1
                    await asyncio.sleep(0.02)
            before = await asyncio.to_thread(latest)
            async with asyncio.timeout(GOES_ON_S):
                while await asyncio.to_thread(latest) == before or await asyncio.to_thread(state) != "live":
                    for frame in good:  # from a key frame on, for as long as it takes: a stream that stops is stalled
                        sender.video.send(frame.data, FRAME_TICKS * number)
                        number += 1
                        await asyncio.sleep(0.02)
        finally:
            await sender.pc.close()

    asyncio.run(run())

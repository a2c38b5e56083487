"""What is read in encoded video before it is decoded: where frames begin, which are key frames, how large their pictures are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

SLICE, IDR, SPS = 1, 5, 7
HIGH_PROFILES: Final = (100, 110, 122, 244, 44, 83, 86, 118, 128)
MAX_PIXELS: Final = 1920 * 1088
MAX_REFERENCES: Final = 4
MACROBLOCK: Final = 16
MAX_CYCLE: Final = 255
"""Reference frames in a picture order count cycle (H.264 §7.4.2.1.1)."""
START: Final = b"\x00\x00\x01"


class Refusable(ValueError):
    """A header that is broken, or asks for more than we give."""


def starts_frame(codec: str, payload: bytes, data: bytes) -> bool:
    """Whether a packet can be a frame's first: `payload` as in RTP, `data` without the codec's RTP framing."""
    if codec == "h264":
        return data.startswith(b"\x00\x00\x00\x01")
    # VP8's payload descriptor (RFC 7741 §4.2): start of partition 0.
    return bool(payload) and payload[0] & 0x10 != 0 and payload[0] & 0x0F == 0


def nal_units(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and offset (of the header byte) of each NAL unit of an Annex B access unit."""
    at = data.find(START)
    while at >= 0 and at + 3 < len(data):
        yield data[at + 3] & 0x1F, at + 3
        at = data.find(START, at + 3)


def is_key(codec: str, data: bytes) -> bool:
    """Whether decoding can begin with this access unit."""
    if codec == "vp8":
        return bool(data) and data[0] & 1 == 0
    for kind, _ in nal_units(data):
        if kind in (SLICE, IDR):
            return kind == IDR
    return False


def has_headers(codec: str, data: bytes) -> bool:
    """Whether an access unit that begins a stream can be whole: VP8's first packet says so itself, H.264 needs its SPS."""
    return codec == "vp8" or any(kind == SPS for kind, _ in nal_units(data))


def picture_size(codec: str, data: bytes) -> tuple[int, int] | None:
    """Width and height that a frame's header states, the largest when there are several; None when it carries none.

    Raises:
        Refusable: a broken header, more than 8 bits, not 4:2:0, or too many reference frames.
    """
    if codec == "vp8":
        if len(data) < 10 or data[3:6] != b"\x9d\x01\x2a":
            raise Refusable("a broken VP8 key frame")
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    sizes = []
    for kind, at in nal_units(data):
        if kind == SPS:
            end = data.find(START, at)
            sizes.append(_sps_size(data[at + 1 : end if end >= 0 else len(data)]))
    return max(sizes, key=math.prod, default=None)


class _Bits:
    """Exp-Golomb codes and flags of a NAL unit's payload (H.264 §7.2, §9.1), emulation prevention removed."""

    def __init__(self, payload: bytes) -> None:
        raw = payload[:256].replace(b"\x00\x00\x03", b"\x00\x00")
        self._value, self._left = int.from_bytes(raw, "big"), 8 * len(raw)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise Refusable("a parameter set that ends early")
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise Refusable("a parameter set with an impossible number")
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _sps_size(payload: bytes) -> tuple[int, int]:
    """H.264 §7.3.2.1.1, as far as the size."""
    bits = _Bits(payload)
    profile = bits.take(8)
    bits.take(16)  # constraint flags, level
    bits.ue()  # its number
    if profile in HIGH_PROFILES:
        if bits.ue() != 1:
            raise Refusable("only 4:2:0 video is taken")
        if bits.ue() or bits.ue():
            raise Refusable("only 8-bit video is taken")
        bits.take(1)
        if bits.take(1):
            raise Refusable("scaling matrices are not taken")
    bits.ue()  # log2_max_frame_num
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1), bits.se(), bits.se()
        cycle = bits.ue()
        if cycle > MAX_CYCLE:
            raise Refusable("a parameter set with an impossible number")
        for _ in range(cycle):
            bits.se()
    if bits.ue() > MAX_REFERENCES:
        raise Refusable("too many reference frames")
    bits.take(1)
    width = 16 * (bits.ue() + 1)
    height = 16 * (bits.ue() + 1)
    frames_only = bits.take(1)
    if not frames_only:
        height *= 2
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        cut_x, cut_y = 2 * (left + right), 2 * (2 - frames_only) * (top + bottom)
        if cut_x >= MACROBLOCK or cut_y >= MACROBLOCK * (2 - frames_only):
            # A huge picture of which little is shown costs as much as one shown whole.
            raise Refusable("more of the picture is cut off than fills its last macroblocks")
        width, height = width - cut_x, height - cut_y
    return width, height

"""What can be read of an encoded frame without decoding it: is it a key frame, where does one begin, how large is the picture.

H.264: Annex B byte streams (ITU-T H.264, 7.3.1 and 7.3.2.1). VP8: RFC 6386, 9.1. Every count that a stranger wrote is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Codec = Literal["h264", "vp8"]

START_CODE: Final = b"\x00\x00\x01"
NAL_SLICE: Final = 1
NAL_IDR: Final = 5
NAL_SPS: Final = 7
NAL_PPS: Final = 8
MAX_REFERENCES: Final = 16
MAX_ZERO_BITS: Final = 24
PROFILES_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


class BitstreamError(ValueError):
    """A header that no encoder of ours to decode has written."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a key frame says of the pictures that follow: the coded size in px, before cropping."""

    width: int
    height: int
    references: int = 1
    plain: bool = True
    """8 bits, 4:2:0."""


def nal_units(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each NAL unit in an Annex B byte stream, without start codes and trailing zeros."""
    start = data.find(START_CODE) + 3
    while start >= 3:
        following = data.find(START_CODE, start)
        end = len(data) if following < 0 else following
        while end > start and data[end - 1] == 0:
            end -= 1
        if end > start:
            yield start, end
        start = following + 3


def nal_types(data: bytes) -> set[int]:
    """The types of all NAL units."""
    types = set()
    at = data.find(START_CODE)
    while 0 <= at < len(data) - 3:
        types.add(data[at + 3] & 0x1F)
        at = data.find(START_CODE, at + 3)
    return types


def is_key(codec: Codec, data: bytes) -> bool:
    """Whether a whole access unit can be decoded without any before it."""
    if codec == "vp8":
        return bool(data) and not data[0] & 1
    return NAL_IDR in nal_types(data)


def begins_key(codec: Codec, head: bytes) -> bool:
    """Whether `head`, the beginning of a frame or, for H.264, some of its NAL units, is where decoding can start."""
    if codec == "vp8":
        return bool(head) and not head[0] & 1
    for start, end in nal_units(head):
        kind = head[start] & 0x1F
        if kind == NAL_SPS:
            return True
        if kind == NAL_IDR:
            return end > start + 1 and bool(head[start + 1] & 0x80)  # first_mb_in_slice is 0
        if kind == NAL_SLICE:
            return False
    return False


def parameter_sets(data: bytes) -> bytes:
    """The SPS and PPS units of an access unit, as Annex B."""
    kept = [data[start:end] for start, end in nal_units(data) if data[start] & 0x1F in (NAL_SPS, NAL_PPS)]
    return b"".join(b"\x00" + START_CODE + unit for unit in kept)


def read_format(codec: Codec, data: bytes) -> Format | None:
    """The format that a key frame announces; None where it announces none.

    Raises:
        BitstreamError: a header that makes no sense.
    """
    if codec == "vp8":
        return _vp8_format(data)
    for start, end in nal_units(data):
        if data[start] & 0x1F == NAL_SPS:
            return _sps_format(data[start + 1 : end])
    return None


def _vp8_format(data: bytes) -> Format | None:
    if not data or data[0] & 1:
        return None
    if len(data) < 10 or data[3:6] != b"\x9d\x01\x2a":
        raise BitstreamError("a VP8 key frame without its start code")
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return Format(width, height, 3)


class _Bits:
    """Reads bits and Exp-Golomb codes (9.1) from a NAL unit's payload."""

    def __init__(self, data: bytes) -> None:
        self._data = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def bit(self) -> int:
        byte, shift = divmod(self._at, 8)
        if byte >= len(self._data):
            raise BitstreamError("an SPS that ends too early")
        self._at += 1
        return self._data[byte] >> (7 - shift) & 1

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit()
        return value

    def unsigned(self, most: int) -> int:
        zeros = 0
        while not self.bit():
            zeros += 1
            if zeros > MAX_ZERO_BITS:
                raise BitstreamError("an SPS with an endless number")
        value = (1 << zeros) - 1 + self.bits(zeros)
        if value > most:
            raise BitstreamError(f"an SPS with {value} where at most {most} is possible")
        return value

    def signed(self) -> int:
        value = self.unsigned(1 << 20)
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _sps_format(data: bytes) -> Format:
    bits = _Bits(data[:512])
    profile = bits.bits(8)
    bits.bits(16)  # constraints, level
    bits.unsigned(31)
    chroma, depth = 1, 0
    if profile in PROFILES_WITH_CHROMA:
        chroma = bits.unsigned(3)
        if chroma == 3:
            bits.bit()
        depth = bits.unsigned(6) + bits.unsigned(6)
        bits.bit()
        if bits.bit():
            for index in range(8 if chroma != 3 else 12):
                if bits.bit():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned(12)
    order = bits.unsigned(2)
    if order == 0:
        bits.unsigned(12)
    elif order == 1:
        bits.bit()
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned(255)):
            bits.signed()
    references = bits.unsigned(MAX_REFERENCES)
    bits.bit()
    width = 16 * (bits.unsigned(1 << 16) + 1)
    height = 16 * (bits.unsigned(1 << 16) + 1)
    frames_only = bits.bit()
    return Format(width, height * (2 - frames_only), references, chroma == 1 and depth == 0)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last

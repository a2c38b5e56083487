"""How large a picture file says it is, read from its header before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

NO_FRAME: Final = (0xC4, 0xC8, 0xCC)
"""JPEG's markers DHT, JPG and DAC lie among the frame headers C0–CF (ITU T.81, table B.1)."""
WIDTH, HEIGHT = 256, 257
"""TIFF's tags ImageWidth and ImageLength (TIFF 6.0, section 8)."""


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in px that a PNG, JPEG, WebP, BMP or TIFF states; None for all else, and for a header that ends early."""
    readers: tuple[tuple[bytes, Callable[[bytes], tuple[int, int] | None]], ...] = (
        (b"\x89PNG\r\n\x1a\n", lambda data: struct.unpack_from(">II", data, 16)),
        (b"\xff\xd8", _jpeg),
        (b"RIFF", _webp),
        (b"BM", _bmp),
        (b"II*\0", lambda data: _tiff(data, "<")),
        (b"MM\0*", lambda data: _tiff(data, ">")),
    )
    for magic, read in readers:
        if data.startswith(magic):
            try:
                return read(data)
            except struct.error:
                return None
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xff":  # fill
            at += 1
            continue
        if marker and 0xC0 <= marker[0] <= 0xCF and marker[0] not in NO_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """RFC 9649 §2.4–2.7."""
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        flags_and_size = struct.unpack_from("<IHBHB", data, 20)
        return 1 + (flags_and_size[1] | flags_and_size[2] << 16), 1 + (flags_and_size[3] | flags_and_size[4] << 16)
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # OS/2's header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _tiff(data: bytes, order: str) -> tuple[int, int] | None:
    """The first image of the file."""
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    found = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (WIDTH, HEIGHT):
            (found[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
    return (found[WIDTH], found[HEIGHT]) if len(found) == 2 else None

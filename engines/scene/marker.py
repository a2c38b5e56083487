"""A frame number drawn into the picture, readable after coding and scaling.

The marker is a row of 24 cells across the full width at the top: cell i covers x in [i/24, (i+1)/24) of the width and y in
[0, 1/20) of the height (at 640x480: 26.7 x 24 px). A cell is luma 235 for 1 and 16 for 0; chroma is 128. Cells 0..15 are the
number modulo 65536, most significant bit first; cells 16..23 are its CRC-8 (polynomial 0x07, start 0xA5, over the two bytes).
A reader takes the mean luma of the middle half of each cell; a cell between 64 and 187 is unreadable.
"""

from __future__ import annotations

import numpy as np

CELLS, BITS = 24, 16
HEIGHT_PART = 1 / 20
BLACK, WHITE = 16, 235
_DOUBT = (64, 187)


def crc8(number: int) -> int:
    """CRC-8 of the two bytes of a number 0..65535."""
    crc = 0xA5
    for byte in ((number >> 8) & 255, number & 255):
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 255 if crc & 128 else crc << 1
    return crc


def _cell(i: int, width: int, height: int, inset: float) -> tuple[slice, slice]:
    x0, x1, y1 = i * width / CELLS, (i + 1) * width / CELLS, height * HEIGHT_PART
    dx, dy = inset * (x1 - x0), inset * y1
    return slice(round(dy), max(round(y1 - dy), round(dy) + 1)), slice(
        round(x0 + dx), max(round(x1 - dx), round(x0 + dx) + 1)
    )


def draw_marker(planes: tuple[np.ndarray, np.ndarray, np.ndarray], number: int) -> None:
    """Draw number modulo 65536 into I420 planes, in place."""
    y, u, v = planes
    height, width = y.shape
    number %= 1 << BITS
    word = number << 8 | crc8(number)
    for i in range(CELLS):
        y[_cell(i, width, height, 0)] = WHITE if word >> (CELLS - 1 - i) & 1 else BLACK
    rows = (round(height * HEIGHT_PART) + 1) // 2
    u[:rows], v[:rows] = 128, 128


def read_marker(y_plane: np.ndarray) -> int | None:
    """The number in a luma plane (H, W) uint8, or None when there is no marker or it cannot be read for sure."""
    height, width = y_plane.shape
    word = 0
    for i in range(CELLS):
        level = float(y_plane[_cell(i, width, height, 0.25)].mean())
        if _DOUBT[0] <= level <= _DOUBT[1]:
            return None
        word = word << 1 | (level > _DOUBT[1])
    number = word >> 8
    return number if crc8(number) == word & 255 else None

"""Privacy zones: parts of the picture that nobody ever sees, such as a neighbour's window.

They are burnt into a copy of the frame before anything else looks at it, so that detection, every feed, fancams and
recordings alike have nothing there to show.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np

from engines.frame import U8, Frame
from engines.policy import Polygon, parse_zones

EVERYWHERE: Final = (((0, 0), (1, 0), (1, 1), (0, 1)),)
BURNT_YUV: Final = (16, 128, 128)
BORDER: Final = 2
"""Px around the picture, so that an outline along its edge is closed."""
SHIFT: Final = 4
"""Bits of a pixel's fraction, for OpenCV."""


class Zones:
    """Polygons in shares of the picture's width and height, so that they hold for every size of it."""

    def __init__(self, polygons: tuple[Polygon, ...] = ()) -> None:
        self.polygons = polygons
        self._size = (0, 0)
        self._masks: list[tuple[U8, U8]] = []
        """For each plane: 255 where it stays, and what is to be seen elsewhere."""

    @classmethod
    def parse(cls, value: Any) -> Zones:
        """Raises ValueError as `engines.policy.parse_zones` does."""
        return cls(parse_zones(value))

    def burn(self, frame: Frame) -> Frame:
        """The frame itself without zones, else a copy of it in which they are one colour. From one thread at a time."""
        if not self.polygons:
            return frame
        if self._size != (frame.width, frame.height):
            self._size = frame.width, frame.height
            luma, chroma = self._draw(*self._size)
            masks = zip((luma, chroma, chroma), BURNT_YUV, strict=True)
            self._masks = [(stays, np.where(stays, 0, level).astype(np.uint8)) for stays, level in masks]
        planes = []
        for plane, (stays, instead) in zip((frame.y, frame.u, frame.v), self._masks, strict=True):
            burnt = np.bitwise_and(plane, stays)
            np.bitwise_or(burnt, instead, out=burnt)
            burnt.flags.writeable = False
            planes.append(burnt)
        y, u, v = planes
        return Frame(y, u, v, frame.rtp_time, frame.arrival_ns, frame.ledger)

    def _draw(self, width: int, height: int) -> tuple[U8, U8]:
        """What stays, for luma and chroma: 255, and 0 in the zones; each chroma sample that a zone touches goes whole."""
        half_w, half_h = (width + 1) // 2, (height + 1) // 2
        bordered = np.zeros((2 * half_h + 2 * BORDER, 2 * half_w + 2 * BORDER), np.uint8)
        for polygon in self.polygons:
            # OpenCV's pixels have their centres at whole numbers.
            corners = np.array(polygon) * (width, height) - 0.5 + BORDER
            alone = np.zeros_like(bordered)
            cv2.fillPoly(alone, [np.round(corners * (1 << SHIFT)).astype(np.int32)], 255, cv2.LINE_8, SHIFT)
            # Where a polygon crosses itself, what it goes around twice is inside too.
            outlines, _ = cv2.findContours(alone, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(bordered, outlines, -1, 255, cv2.FILLED)
        inside = bordered[BORDER:-BORDER, BORDER:-BORDER]
        touched = inside.reshape(half_h, 2, half_w, 2).max(axis=(1, 3))
        luma = np.repeat(np.repeat(touched, 2, axis=0), 2, axis=1)[:height, :width]
        return ~np.ascontiguousarray(luma), ~touched

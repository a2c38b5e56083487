"""A frame as most networks want it: one float picture of three channels, made from the planes without new memory."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from engines.detect.families.family import Look
from engines.detect.letterbox import Letterbox
from engines.frame import F32, U8, Frame

LIMITED_RANGE_BT601: Final = {"rgb": cv2.COLOR_YUV2RGB_I420, "bgr": cv2.COLOR_YUV2BGR_I420}


class PictureInput:
    """Fills `target` (3, height, width) float32, a network's input, with frames."""

    def __init__(self, target: F32, look: Look) -> None:
        self._target = target
        self._code = LIMITED_RANGE_BT601[look.channels]
        levels = np.arange(256, dtype=np.float32)
        self._tables = [
            (levels - np.float32(mean)) / np.float32(std) for mean, std in zip(look.mean, look.std, strict=True)
        ]
        self._pad = [table[look.pad] for table in self._tables]
        _, height, width = target.shape
        # cv2 converts planes that lie behind one another, and looks values up in planes that are whole.
        self._i420 = np.zeros(height * width * 3 // 2, np.uint8)
        self._pixels = np.zeros(height * width * 3, np.uint8)
        self._planes = np.zeros(height * width * 3, np.uint8)

    def fill(self, frame: Frame, letterbox: Letterbox) -> None:
        """Lay `frame` into the target, in place."""
        width, height = letterbox.inner_w, letterbox.inner_h
        size = width * height
        i420 = self._i420[: size * 3 // 2]
        y, u, v = i420[:size], i420[size : size * 5 // 4], i420[size * 5 // 4 :]
        letterbox.scale_into(frame, y.reshape(height, width), _half(u, height, width), _half(v, height, width))
        pixels = self._pixels[: size * 3].reshape(height, width, 3)
        planes = self._planes[: size * 3].reshape(3, height, width)
        cv2.cvtColor(i420.reshape(height * 3 // 2, width), self._code, dst=pixels)
        cv2.split(pixels, list(planes))
        for plane, table, target, pad in zip(planes, self._tables, self._target, self._pad, strict=True):
            cv2.LUT(plane, table, dst=target[:height, :width])
            target[height:], target[:height, width:] = pad, pad


def _half(plane: U8, height: int, width: int) -> U8:
    return plane.reshape(height // 2, width // 2)

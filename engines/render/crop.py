"""The cut of a fancam's window from a frame."""

from __future__ import annotations

import math

import cv2
import numpy as np

from engines.frame import U8, Frame, Picture
from engines.render.camera import Window


def crop(frame: Frame | Picture, window: Window, out: Picture) -> None:
    """Scale the `window` of `frame` into all of `out`, with sub-pixel precision; shrinking averages over areas."""
    for plane, target, shrink in ((frame.y, out.y, 1), (frame.u, out.u, 2), (frame.v, out.v, 2)):
        _crop_plane(plane, window.x / shrink, window.y / shrink, window.w / shrink, window.h / shrink, target)


def _crop_plane(plane: U8, x: float, y: float, w: float, h: float, out: U8) -> None:
    out_h, out_w = out.shape
    whole = max(1, int(min(w / out_w, h / out_h) + 1e-6))
    if whole > 1:
        # Shrink by a whole number first, each output pixel the mean of its area, and leave what is between 1 and 2.
        left, top = int(x), int(y)
        right = min(plane.shape[1], left + -(-math.ceil(x + w - left) // whole) * whole)
        bottom = min(plane.shape[0], top + -(-math.ceil(y + h - top) // whole) * whole)
        size = max(1, (right - left) // whole), max(1, (bottom - top) // whole)
        seen = plane[top : top + size[1] * whole, left : left + size[0] * whole]
        plane = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
        x, y, w, h = (x - left) / whole, (y - top) / whole, w / whole, h / whole
    scale_x, scale_y = w / out_w, h / out_h
    back = np.array(((scale_x, 0, x + scale_x / 2 - 0.5), (0, scale_y, y + scale_y / 2 - 0.5)))
    cv2.warpAffine(plane, back, (out_w, out_h), out, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE)

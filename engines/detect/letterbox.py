"""How a frame is laid into the network's input: scaled to a long side, padded to the next multiple of 32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from engines.frame import F32, U8, Frame

STRIDE: Final = 32
PAD_LEVEL: Final = 128
"""What the graph's normalisation turns into 0, on all planes."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The frame's `width` × `height` px lie as `inner_w` × `inner_h` (even) at the top left of `net_w` × `net_h`."""

    width: int
    height: int
    inner_w: int
    inner_h: int
    net_w: int
    net_h: int

    @classmethod
    def fit(cls, width: int, height: int, long_side: int) -> Letterbox:
        """Scale so that the longer side becomes `long_side`; each side at least 2 px of the network's input."""
        scale = long_side / max(width, height)
        inner_w, inner_h = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        net_w, net_h = (-(-side // STRIDE) * STRIDE for side in (inner_w, inner_h))
        return cls(width, height, inner_w, inner_h, net_w, net_h)

    @property
    def scale(self) -> tuple[float, float]:
        """Network px per frame px, across and down: exact, though the inner size was rounded."""
        return self.inner_w / self.width, self.inner_h / self.height

    def fill(self, frame: Frame, y: U8, uv: U8) -> None:
        """Lay `frame` into `y` (net_h, net_w) and `uv` (2, net_h / 2, net_w / 2), in place."""
        half_w, half_h = self.inner_w // 2, self.inner_h // 2
        if (self.inner_w, self.inner_h) != (self.net_w, self.net_h):
            y[self.inner_h :], y[: self.inner_h, self.inner_w :] = PAD_LEVEL, PAD_LEVEL
            uv[:, half_h:], uv[:, :half_h, half_w:] = PAD_LEVEL, PAD_LEVEL
        _scale(frame.y, y[: self.inner_h, : self.inner_w])
        _scale(frame.u, uv[0, :half_h, :half_w])
        _scale(frame.v, uv[1, :half_h, :half_w])

    def to_frame(self, boxes: F32) -> F32:
        """Network px → frame px, for x, y pairs along the last axis; in place."""
        boxes[..., 0::2] /= self.scale[0]
        boxes[..., 1::2] /= self.scale[1]
        return boxes


def _scale(source: U8, target: U8) -> None:
    if source.shape == target.shape:
        np.copyto(target, source)
        return
    # Linear aliases when it shrinks by more than two.
    shrinks = source.shape[1] >= 2 * target.shape[1]
    cv2.resize(
        source,
        (target.shape[1], target.shape[0]),
        dst=target,
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )

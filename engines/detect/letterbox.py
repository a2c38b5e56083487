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
    def fit(cls, width: int, height: int, long_side: int, stride: int = STRIDE) -> Letterbox:
        """Scale so that the longer side becomes `long_side`; each side at least 2 px of the network's input, whose own sides
        are multiples of `stride`."""
        inner_w, inner_h = _scaled(width, height, long_side / max(width, height))
        net_w, net_h = (-(-side // stride) * stride for side in (inner_w, inner_h))
        return cls(width, height, inner_w, inner_h, net_w, net_h)

    @classmethod
    def within(cls, width: int, height: int, net_w: int, net_h: int, *, stretched: bool = False) -> Letterbox:
        """Into a network of one size: as large as it goes in, or over all of it without keeping its proportions."""
        if stretched:
            return cls(width, height, net_w // 2 * 2, net_h // 2 * 2, net_w, net_h)
        inner_w, inner_h = _scaled(width, height, min(net_w / width, net_h / height))
        return cls(width, height, min(inner_w, net_w // 2 * 2), min(inner_h, net_h // 2 * 2), net_w, net_h)

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
        self.scale_into(frame, y[: self.inner_h, : self.inner_w], uv[0, :half_h, :half_w], uv[1, :half_h, :half_w])

    @staticmethod
    def scale_into(frame: Frame, y: U8, u: U8, v: U8) -> None:
        """The frame's planes, in the sizes of `y`, `u` and `v`, in place."""
        _scale(frame.y, y)
        _scale(frame.u, u)
        _scale(frame.v, v)

    def to_frame(self, boxes: F32) -> F32:
        """Network px → frame px, for x, y pairs along the last axis; in place."""
        boxes[..., 0::2] /= self.scale[0]
        boxes[..., 1::2] /= self.scale[1]
        return boxes


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    inner_w, inner_h = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return inner_w, inner_h


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

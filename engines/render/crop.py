"""The camera operator: a window that follows one person like a virtual camera, and the cut of that window from a frame.

The window keeps one shape and one output size. It moves with limited speed and acceleration, rests while the person
stays near its middle (dead band), zooms slowly, and at the picture's edges it is moved, never shrunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from engines.frame import F32, U8, Frame, Picture


@dataclass(frozen=True, slots=True)
class Preset:
    """How a person is framed: the window's height in heights of the face, and where the face's centre lies in it."""

    face_heights: float
    face_at: float
    """Share of the window's height from its top."""
    aspect: tuple[int, int] = (9, 16)


PRESETS: Final[dict[str, Preset]] = {
    "face": Preset(2.6, 0.48),
    "upper body": Preset(5.5, 0.30),
    "full body": Preset(11.0, 0.16),
    "seeds": Preset(11.0, 0.16, (200, 630)),
}
DEFAULT_PRESET: Final = "upper body"
LARGEST_OUTPUT_PX: Final = 960
SEEDS_SIZE: Final = (200, 630)

DEAD_BAND: Final = 0.04
"""Of the window's height: how far the person may stray before the camera moves ..."""
DEAD_BAND_ZOOM: Final = 0.12
"""... and how much larger or smaller (natural logarithm) before it zooms."""
SPEED: Final = 1.5
"""Window heights per second at most, ..."""
ACCELERATION: Final = 6.0
"""... and window heights per second squared."""
ZOOM_SPEED: Final = 0.25
"""Of its own size per second (natural logarithm), ..."""
ZOOM_ACCELERATION: Final = 0.5
STIFFNESS: Final = 7.0
"""1/s: the speed asked for is this times the distance left."""
ZOOM_STIFFNESS: Final = 1.0
CLOSEST: Final = 0.25
"""A window is at least this share of its output's size: more enlargement shows nothing more."""
LONGEST_STEP_S: Final = 1 / 60
LONGEST_GAP_S: Final = 0.25
"""The camera moves no further than this much time allows, however late the next frame comes."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle in px of the frame: left, top, width, height, all with sub-pixels."""

    x: float
    y: float
    w: float
    h: float


def output_size(frame_w: int, frame_h: int, preset: str = DEFAULT_PRESET) -> tuple[int, int]:
    """Width and height (even) of a fancam cut from frames of this size: 9:16 at the frame's height, the seeds' 200 × 630."""
    if preset == "seeds":
        return SEEDS_SIZE
    aspect_w, aspect_h = PRESETS[preset].aspect
    height = min(frame_h, frame_w * aspect_h / aspect_w, LARGEST_OUTPUT_PX)
    return max(2, round(height * aspect_w / aspect_h / 2) * 2), max(2, int(height) // 2 * 2)


class Camera:
    """Follows one face with a window of the shape `out_w` : `out_h`."""

    def __init__(self, frame_w: int, frame_h: int, out_w: int, out_h: int, preset: str = DEFAULT_PRESET) -> None:
        self.preset = PRESETS[preset]
        self._frame = frame_w, frame_h
        self._aspect = out_w / out_h
        self._tallest = min(frame_h, frame_w / self._aspect)
        self._lowest = min(max(out_h * CLOSEST, 8.0), self._tallest)
        self._time_s: float | None = None
        self._target: tuple[float, float, float] | None = None
        self._centre = [frame_w / 2, frame_h / 2]
        self._zoom = math.log(self._tallest)
        self._velocity = [0.0, 0.0]
        self._zoom_velocity = 0.0

    def step(self, box: F32 | None, measured: bool, time_s: float) -> Window:
        """The window at `time_s` (any clock, s), given the person's face (xyxy px), or None when it is not known.

        A box that was only predicted moves the camera but does not zoom it.
        """
        first = self._target is None
        if box is not None and np.isfinite(box).all() and box[3] - box[1] > 0:
            self._aim([float(value) for value in box], measured or first)
        last, self._time_s = self._time_s, time_s
        if self._target is None:
            return self._window()
        if first and last is None:
            self._centre[:] = self._target[:2]
            self._zoom = self._target[2]
            self._hold_inside()
            return self._window()
        left = min(max(time_s - last, 0.0), LONGEST_GAP_S) if last is not None else 0.0
        steps = math.ceil(left / LONGEST_STEP_S)
        for _ in range(steps):
            self._move(left / steps)
        return self._window()

    def _aim(self, box: list[float], zoom_too: bool) -> None:
        """Where the window's centre should be and the logarithm of its height."""
        x0, y0, x1, y1 = box
        height = min(max((y1 - y0) * self.preset.face_heights, self._lowest), self._tallest)
        zoom = math.log(height) if zoom_too or self._target is None else self._target[2]
        window_h = math.exp(self._zoom) if self._time_s is not None else height
        self._target = (x0 + x1) / 2, (y0 + y1) / 2 + (0.5 - self.preset.face_at) * window_h, zoom

    def _move(self, dt_s: float) -> None:
        assert self._target is not None
        off = self._target[2] - self._zoom
        self._zoom_velocity = _steer(
            self._zoom_velocity, off, DEAD_BAND_ZOOM, ZOOM_STIFFNESS, ZOOM_SPEED, ZOOM_ACCELERATION, dt_s
        )
        self._zoom += self._zoom_velocity * dt_s
        height = math.exp(self._zoom)
        reach = self._reach()
        for axis in (0, 1):
            goal = min(max(self._target[axis], reach[axis][0]), reach[axis][1])
            off = (goal - self._centre[axis]) / height
            speed = self._velocity[axis] / height
            speed = _steer(speed, off, DEAD_BAND, STIFFNESS, SPEED, ACCELERATION, dt_s)
            self._velocity[axis] = speed * height
            self._centre[axis] += self._velocity[axis] * dt_s
        self._hold_inside()

    def _reach(self) -> list[tuple[float, float]]:
        """The lowest and highest place of the centre, on either axis, at which the window lies inside the frame."""
        height = min(math.exp(self._zoom), self._tallest)
        halves = height * self._aspect / 2, height / 2
        return [
            (min(half, side / 2), max(side - half, side / 2)) for half, side in zip(halves, self._frame, strict=True)
        ]

    def _hold_inside(self) -> None:
        self._zoom = min(max(self._zoom, math.log(self._lowest)), math.log(self._tallest))
        for axis, (low, high) in enumerate(self._reach()):
            held = min(max(self._centre[axis], low), high)
            if held != self._centre[axis]:
                self._velocity[axis] = 0.0
            self._centre[axis] = held

    def _window(self) -> Window:
        height = min(math.exp(self._zoom), self._tallest)
        width = height * self._aspect
        x = min(max(self._centre[0] - width / 2, 0.0), max(self._frame[0] - width, 0.0))
        y = min(max(self._centre[1] - height / 2, 0.0), max(self._frame[1] - height, 0.0))
        return Window(x, y, min(width, self._frame[0]), min(height, self._frame[1]))


def _steer(
    speed: float, off: float, band: float, stiffness: float, fastest: float, acceleration: float, dt_s: float
) -> float:
    """The next speed towards a goal `off` away: zero inside the band, able to brake in time, limited in all."""
    rest = max(abs(off) - band, 0.0)
    wanted = min(stiffness * rest, math.sqrt(2 * acceleration * rest), fastest)
    change = math.copysign(wanted, off) - speed
    most = acceleration * dt_s
    return speed + min(max(change, -most), most)


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

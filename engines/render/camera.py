"""The camera operator: a window that follows one person like a virtual camera.

The window keeps one shape and one output size. It rests while the person stays near its middle (dead band) and else moves as
the person does, with limited speed and acceleration; it zooms slowly; at the picture's edges it is moved, never shrunk, and
it slows down before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engines.frame import F32
from engines.render.smooth import F64


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

BODY_FACES: Final = 7.5
"""Heights of a face that make a body's."""

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


@dataclass(frozen=True, slots=True)
class Hand:
    """How the camera is moved, in window heights, or, for zooming, in the logarithm of its height."""

    band: float
    """So far off the goal may be before the camera begins to follow; it rests again when it is near and both are slow."""
    speed: float
    """Per second at most, ..."""
    acceleration: float
    """... and per second squared."""
    stiffness: float
    """1/s: what is off decays like this (critically damped), at the goal's own speed."""

    def hasty(self, haste: float) -> Hand:
        return Hand(self.band, self.speed * haste, self.acceleration * haste**2, self.stiffness * haste)


HASTE: Final = 3.0
"""How many times as stiff, and as fast, the camera may be while the face would leave the window ..."""
MARGIN: Final = 0.05
"""... or be so near its edge, in heights of the window."""
PAN: Final = Hand(band=0.04, speed=1.5, acceleration=6.0, stiffness=5.0)
HASTY_PAN: Final = PAN.hasty(HASTE)
CLOSE_IN: Final = Hand(band=0.25, speed=0.25, acceleration=0.5, stiffness=1.0)
"""Who bends down looks smaller for a moment: the camera waits before it comes closer ..."""
WIDEN: Final = replace(CLOSE_IN, band=0.05)
"""... and gives room soon."""
SLOW: Final = 0.5
"""Bands per second: below this the camera may come to rest ..."""
NEAR: Final = 0.25
"""... when it is so many bands off at most."""


def output_size(frame_w: int, frame_h: int, preset: str = DEFAULT_PRESET) -> tuple[int, int]:
    """Width and height (even) of a fancam cut from frames of this size: 9:16 at the frame's height, the seeds' 200 × 630."""
    if preset == "seeds":
        return SEEDS_SIZE
    aspect_w, aspect_h = PRESETS[preset].aspect
    height = min(frame_h, frame_w * aspect_h / aspect_w, LARGEST_OUTPUT_PX)
    return max(2, round(height * aspect_w / aspect_h / 2) * 2), max(2, int(height) // 2 * 2)


class Axis:
    """One coordinate of the camera: where it is, how fast, and whether it rests."""

    def __init__(self, at: float) -> None:
        self.at, self.speed = at, 0.0
        self._rests = True

    def move(
        self,
        goal: float,
        goal_speed: float,
        dt_s: float,
        unit: float,
        room: tuple[float, float],
        hand: Hand,
    ) -> None:
        """Follow the goal for a while; all in px of which `unit` make one of the hand's. `room` is what lies below and above
        before an edge."""
        off, ahead = (goal - self.at) / unit, goal_speed / unit
        speed = self.speed / unit
        if self._rests:
            self._rests = abs(off) <= hand.band
        else:
            slowest = SLOW * hand.band
            self._rests = abs(off) < NEAR * hand.band and abs(ahead) < slowest and abs(speed) < slowest
        if self._rests:
            wanted = -2 * hand.stiffness * speed
        else:
            wanted = hand.stiffness**2 * off + 2 * hand.stiffness * (ahead - speed)
        speed += min(max(wanted, -hand.acceleration), hand.acceleration) * dt_s
        below, above = (min(hand.speed, math.sqrt(2 * hand.acceleration * max(side, 0.0) / unit)) for side in room)
        self.speed = min(max(speed, -below), above) * unit
        self.at += self.speed * dt_s

    def stop(self, at: float) -> None:
        if at != self.at:
            self.at, self.speed = at, 0.0


class Camera:
    """Follows one face with a window of the shape `out_w` : `out_h`."""

    def __init__(self, frame_w: int, frame_h: int, out_w: int, out_h: int, preset: str = DEFAULT_PRESET) -> None:
        self.preset = PRESETS[preset]
        self._frame = frame_w, frame_h
        self._aspect = out_w / out_h
        self._tallest = min(frame_h, frame_w / self._aspect)
        self._lowest = min(max(out_h * CLOSEST, 8.0), self._tallest)
        self._time_s: float | None = None
        self._face: tuple[float, float] | None = None
        """Centre of the face that is followed, ..."""
        self._half = 0.0, 0.0
        """... and half its width and height."""
        self._speeds = 0.0, 0.0
        self._goal_zoom = math.log(self._tallest)
        self._axes = Axis(frame_w / 2), Axis(frame_h / 2)
        self._zoom = Axis(self._goal_zoom)

    def step(self, box: F32 | None, measured: bool, time_s: float, velocity: F64 | None = None) -> Window:
        """The window at `time_s` (any clock, s), given the person's face (xyxy px) and its velocity (x and y first, px/s), or
        None when it is not known.

        A box that was only predicted moves the camera but does not zoom it. Without a box it comes to rest.
        """
        first = self._face is None
        self._speeds = 0.0, 0.0
        if box is not None and np.isfinite(box).all() and box[3] - box[1] > 0:
            x0, y0, x1, y1 = (float(value) for value in box)
            self._face = (x0 + x1) / 2, (y0 + y1) / 2
            self._half = (x1 - x0) / 2, (y1 - y0) / 2
            if velocity is not None and np.isfinite(velocity).all():
                self._speeds = float(velocity[0]), float(velocity[1])
            if measured or first:
                height = (y1 - y0) * self.preset.face_heights
                self._goal_zoom = math.log(min(max(height, self._lowest), self._tallest))
        last, self._time_s = self._time_s, time_s
        if self._face is None:
            return self._window()
        if first and last is None:
            self._begin()
            return self._window()
        left = min(max(time_s - last, 0.0), LONGEST_GAP_S) if last is not None else 0.0
        steps = math.ceil(left / LONGEST_STEP_S)
        for _ in range(steps):
            self._move(left / steps)
        return self._window()

    def _goals(self) -> tuple[float, float]:
        assert self._face is not None
        return self._face[0], self._face[1] + (0.5 - self.preset.face_at) * self._height()

    def _begin(self) -> None:
        self._zoom.at = self._goal_zoom
        for axis, goal in zip(self._axes, self._goals(), strict=True):
            axis.at = goal
        self._hold_inside()

    def _move(self, dt_s: float) -> None:
        smallest, tallest = math.log(self._lowest), math.log(self._tallest)
        room = self._zoom.at - smallest, tallest - self._zoom.at
        self._zoom.move(self._goal_zoom, 0.0, dt_s, 1.0, room, WIDEN if self._goal_zoom > self._zoom.at else CLOSE_IN)
        assert self._face is not None
        unit = self._height()
        sides = unit * self._aspect, unit
        goals, reach = self._goals(), self._reach()
        for n, axis in enumerate(self._axes):
            low, high = reach[n]
            held = min(max(goals[n], low), high)
            speed = self._speeds[n] if held == goals[n] else 0.0
            safe = abs(self._face[n] - axis.at) + self._half[n] <= sides[n] / 2 - MARGIN * unit
            axis.move(held, speed, dt_s, unit, (axis.at - low, high - axis.at), PAN if safe else HASTY_PAN)
        self._hold_inside()

    def _height(self) -> float:
        return min(math.exp(self._zoom.at), self._tallest)

    def _reach(self) -> list[tuple[float, float]]:
        """The lowest and highest place of the centre, on either axis, at which the window lies inside the frame."""
        height = self._height()
        halves = height * self._aspect / 2, height / 2
        return [
            (min(half, side / 2), max(side - half, side / 2)) for half, side in zip(halves, self._frame, strict=True)
        ]

    def _hold_inside(self) -> None:
        self._zoom.stop(min(max(self._zoom.at, math.log(self._lowest)), math.log(self._tallest)))
        for axis, (low, high) in zip(self._axes, self._reach(), strict=True):
            axis.stop(min(max(axis.at, low), high))

    def _window(self) -> Window:
        height = self._height()
        width = height * self._aspect
        x = min(max(self._axes[0].at - width / 2, 0.0), max(self._frame[0] - width, 0.0))
        y = min(max(self._axes[1].at - height / 2, 0.0), max(self._frame[1] - height, 0.0))
        return Window(x, y, min(width, self._frame[0]), min(height, self._frame[1]))

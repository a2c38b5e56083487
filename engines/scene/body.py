"""A body below the head: a skeleton in millimetres from the head's origin, drawn as shaded limbs and a profiled torso."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from engines.scene.head import Light
from engines.scene.looks import Colour, Look

FLOOR_MM = 1630.0
"From the head's origin to the floor."


@dataclass(frozen=True)
class Pose:
    """One performer at one time. Pixels of the picture; radians; k in pixels a millimetre."""

    x_px: float
    y_px: float
    k: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    body_yaw: float = 0.0
    walk: float = 0.0
    "Phase of the step."
    stride: float = 0.0
    "0 standing .. 1 long steps."
    left_arm: tuple[float, float] = (0.15, 0.2)
    "Raised sideways, bent at the elbow, of the arm on the picture's left when facing the camera."
    right_arm: tuple[float, float] = (0.15, 0.2)
    sway_mm: float = 0.0
    lids: str = "open"
    mouth: str = "rest"

    @property
    def angles(self) -> tuple[float, float, float]:
        return self.yaw, self.pitch, self.roll


@dataclass(frozen=True)
class Limb:
    """A tapered capsule in camera millimetres around the head's origin."""

    start: tuple[float, float]
    end: tuple[float, float]
    start_r: float
    end_r: float
    colour: Colour
    depth: float


@dataclass(frozen=True)
class Torso:
    """Half widths over heights, around a centre line that sways."""

    y: tuple[float, ...]
    half: tuple[float, ...]
    centre: tuple[float, ...]
    depth: float = 0.0


@lru_cache(maxsize=64)
def skeleton(look: Look, pose: Pose) -> tuple[Torso, tuple[Limb, ...]]:
    """The torso and the limbs, farthest first."""
    cy, sy = math.cos(pose.body_yaw), math.sin(pose.body_yaw)
    b, h = look.build, look.height

    def place(x: float, y: float, z: float) -> tuple[float, float, float]:
        sway = pose.sway_mm * min(max((y - 150) / 550, 0), 1)
        return x * cy + z * sy + sway, y * h, -x * sy + z * cy

    def limb(p: tuple, q: tuple, r0: float, r1: float, colour: Colour) -> Limb:
        return Limb(p[:2], q[:2], r0, r1, colour, (p[2] + q[2]) / 2)

    def half_width(wide: float, deep: float) -> float:
        return math.hypot(wide * cy, deep * sy)

    limbs = []
    for side, (lift, bend) in ((-1, pose.left_arm), (1, pose.right_arm)):
        shoulder = (side * 150 * b, 205, -20)
        swing = 0.5 * pose.stride * math.sin(pose.walk) * side
        upper = (side * math.sin(lift), math.cos(lift) * math.cos(swing), math.cos(lift) * math.sin(swing))
        elbow = tuple(s + 285 * u for s, u in zip(shoulder, upper, strict=True))
        fore = lift + bend
        lower = (side * math.sin(fore) * 0.8, math.cos(fore), 0.35 + 0.3 * math.sin(swing))
        norm = math.sqrt(sum(v * v for v in lower))
        wrist = tuple(e + 250 * v / norm for e, v in zip(elbow, lower, strict=True))
        hand = tuple(e + 320 * v / norm for e, v in zip(elbow, lower, strict=True))
        cut = min(look.sleeves, 0.99)
        s, e, w, hd = place(*shoulder), place(*elbow), place(*wrist), place(*hand)
        upper_colour = look.top_colour if cut > 0.3 else look.skin
        limbs.append(limb(s, e, 58 * b, 44 * b, upper_colour))
        limbs.append(limb(e, w, 43 * b, 31 * b, look.top_colour if cut > 0.7 else look.skin))
        limbs.append(limb(w, hd, 34, 26, look.skin))
        swing_leg = 0.5 * pose.stride * math.sin(pose.walk + (0 if side < 0 else math.pi))
        knee_bend = 0.7 * pose.stride * max(0.0, math.cos(pose.walk + (0 if side < 0 else math.pi)))
        hip = (side * 82 * b, 715, -15)
        knee = (side * 92 * b, 715 + 430 * math.cos(swing_leg), -15 + 430 * math.sin(swing_leg))
        back = swing_leg - knee_bend
        ankle = (side * 96 * b, knee[1] + 430 * math.cos(back), knee[2] + 430 * math.sin(back))
        toe = (side * 102 * b, ankle[1] + 35, ankle[2] + 130)
        p, q, a, t = place(*hip), place(*knee), place(*ankle), place(*toe)
        bare = look.skin if look.skirt else look.legs_colour
        limbs.append(limb(p, q, 88 * b, 60 * b, bare))
        limbs.append(limb(q, a, 58 * b, 38 * b, bare))
        limbs.append(limb(a, t, 44, 34, look.shoes_colour))
    ys = [150, 172, 195, 230, 420, 560, 700] + ([1000] if look.skirt else [770])
    wide = [48, 105, 165, 184, 158, 150, 172] + ([270] if look.skirt else [120])
    deep = [52, 70, 92, 112, 112, 108, 120] + ([230] if look.skirt else [100])
    half = tuple(half_width(w * b, d * b) for w, d in zip(wide, deep, strict=True))
    middles = tuple(place(0, y, -15)[0] for y in ys)
    return Torso(tuple(y * h for y in ys), half, middles), tuple(sorted(limbs, key=lambda part: part.depth))


def draw(frame: np.ndarray, look: Look, pose: Pose, light: Light) -> None:
    """Paint the body into a BGR uint8 frame."""
    torso, limbs = skeleton(look, pose)
    for limb in limbs:
        if limb.depth < 0 or limb.start[1] > 600:
            _draw_limb(frame, limb, pose, light)
    _draw_torso(frame, torso, look, pose, light)
    for limb in limbs:
        if limb.depth >= 0 and limb.start[1] <= 600:
            _draw_limb(frame, limb, pose, light)


def _window(frame: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice] | None:
    h, w = frame.shape[:2]
    a, b, c, d = max(0, math.floor(x0)), max(0, math.floor(y0)), min(w, math.ceil(x1)), min(h, math.ceil(y1))
    return (slice(b, d), slice(a, c)) if a < c and b < d else None


def blend(frame: np.ndarray, window: tuple[slice, slice], colour: np.ndarray, alpha: np.ndarray) -> None:
    """frame[window] towards colour (h, w, 3) float32 by alpha (h, w) float32."""
    frame[window] = cv2.blendLinear(frame[window], cv2.convertScaleAbs(colour), 1 - alpha, alpha)


def _lit(nx: np.ndarray, ny: np.ndarray, light: Light, colour: Colour = (1.0, 1.0, 1.0)) -> np.ndarray:
    """(h, w, 3) float32: a colour on a round shape whose normal is (nx, ny, sqrt(rest))."""
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    d = np.array(light.direction, np.float32)
    d /= np.linalg.norm(d)
    key = np.maximum((nx * d[0] + ny * d[1] + nz * d[2] + np.float32(0.35)) * np.float32(1 / 1.35), 0)
    rim = np.square(np.square(1 - nz))
    mix = np.stack([light.key, light.rim, 0.85 * np.array(light.ambient)], 1) * np.array(colour)[:, None]
    return cv2.transform(cv2.merge([key, rim]), mix)


def _draw_limb(frame: np.ndarray, limb: Limb, pose: Pose, light: Light) -> None:
    k = pose.k
    p = np.array([pose.x_px, pose.y_px]) + k * np.array(limb.start)
    q = np.array([pose.x_px, pose.y_px]) + k * np.array(limb.end)
    r0, r1 = limb.start_r * k, limb.end_r * k
    big = max(r0, r1) + 1
    window = _window(frame, min(p[0], q[0]) - big, min(p[1], q[1]) - big, max(p[0], q[0]) + big, max(p[1], q[1]) + big)
    if window is None:
        return
    ys = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] + np.float32(0.5)
    xs = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :] + np.float32(0.5)
    along = q - p
    length = max(float(along @ along), 1e-6)
    t = np.clip(((xs - p[0]) * along[0] + (ys - p[1]) * along[1]) / np.float32(length), 0, 1).astype(np.float32)
    r = np.float32(r0) + t * np.float32(r1 - r0)
    dx, dy = xs - np.float32(p[0]) - t * np.float32(along[0]), ys - np.float32(p[1]) - t * np.float32(along[1])
    far = np.sqrt(dx * dx + dy * dy)
    alpha = np.clip(r - far + np.float32(0.5), 0, 1)
    inv = 1 / np.maximum(r, far)
    blend(frame, window, _lit(dx * inv, dy * inv, light, limb.colour), alpha)


def _draw_torso(frame: np.ndarray, torso: Torso, look: Look, pose: Pose, light: Light) -> None:
    k = pose.k
    wide = max(torso.half) + max(abs(c) for c in torso.centre)
    top, bottom = pose.y_px + torso.y[0] * k, pose.y_px + torso.y[-1] * k
    window = _window(frame, pose.x_px - wide * k - 1, top - 1, pose.x_px + wide * k + 1, bottom + 1)
    if window is None:
        return
    y_mm = (np.arange(window[0].start, window[0].stop) + 0.5 - pose.y_px) / k
    half = np.interp(y_mm, torso.y, torso.half).astype(np.float32)[:, None]
    middle = np.interp(y_mm, torso.y, torso.centre).astype(np.float32)[:, None]
    x_mm = ((np.arange(window[1].start, window[1].stop) + 0.5 - pose.x_px) / k).astype(np.float32)[None, :]
    across = (x_mm - middle) / half
    ends = np.clip(np.minimum(y_mm - torso.y[0], torso.y[-1] - y_mm) * k + 0.5, 0, 1).astype(np.float32)[:, None]
    alpha = np.clip((1 - np.abs(across)) * half * np.float32(k) + 0.5, 0, 1) * ends
    nx = np.clip(across, -1, 1)
    lit = _lit(nx * np.float32(0.92), np.zeros_like(nx), light)
    blend(frame, window, lit * _cloth(look, pose, y_mm.astype(np.float32)[:, None], nx), alpha)


def _cloth(look: Look, pose: Pose, y_mm: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 colour of the torso by its pattern, which turns with the body; rows y_mm (h, 1)."""
    table = np.arcsin(np.linspace(-1, 1, 256)) - pose.body_yaw
    table = ((table + math.pi) % (2 * math.pi) - math.pi).astype(np.float32)
    place = (across * np.float32(127.5) + np.float32(128)).astype(np.uint8)
    legs = y_mm > 660 * look.height
    if look.top == "stripes":
        trim = (y_mm // 45) % 2 < 1
    elif look.top == "jacket":
        trim = (np.abs(table) < 0.28)[place]
    elif look.top == "panel":
        trim = (y_mm > 330) & (y_mm < 450)
    elif look.top == "dots":
        trim = np.cos(table * 12)[place] + np.cos(y_mm * np.float32(2 * math.pi / 80)) > np.float32(1.2)
    else:
        trim = np.zeros_like(legs)
    colours = np.array([look.top_colour, look.trim_colour, look.legs_colour], np.float32)
    folds = 1 + (np.float32(0.05) * np.sin(table * 9))[place] * np.sin(y_mm * np.float32(0.013) + 1)
    return colours[np.where(legs, 2, trim)] * folds[..., None]

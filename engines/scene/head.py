"""A head in three dimensions: ellipsoids met by parallel rays, coloured from the painted map, shaded by the lights.

Head coordinates are millimetres: x to the picture's right when the face looks at the camera, y down, z to the camera; the
origin lies between the ears at the height of the eyes. Yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0
clockwise. A ray meets an ellipsoid in closed form, so a head costs a few dozen array operations at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from engines.scene import paint
from engines.scene.looks import Look
from engines.scene.paint import ROUND_MM, TOP_MM

Angles = tuple[float, float, float]
"Yaw, pitch, roll in radians."

SKIN, HAIR, HAT = 0, 1, 2
_FAR = np.float32(-1e4)


@dataclass(frozen=True)
class Ellipsoid:
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    kind: int = SKIN
    shell: bool = False
    "A shell is there only where its map says so (hair around the face)."
    below: float | None = None
    "Cut off below this height."


@dataclass(frozen=True)
class Light:
    """Where the light of a frame comes from; colours are factors (B, G, R)."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    ambient: tuple[float, float, float]
    rim: tuple[float, float, float] = (0.0, 0.0, 0.0)


_PUFF = {
    "afro": ((42, 36, 22), -18.0),
    "curls": ((22, 18, 14), -8.0),
    "fringe": ((10, 10, 11), -3.0),
    "bob": ((14, 9, 9), -3.0),
    "long": ((12, 9, 9), -3.0),
}
"How far hair stands off the head, and how much higher its middle lies, mm."


@lru_cache(maxsize=256)
def parts(look: Look) -> tuple[Ellipsoid, ...]:
    """Skin first (blended smoothly in this order), then hair and hat."""
    w, j, n = look.width, look.jaw, look.nose
    skin = [
        Ellipsoid((0, -26, -16), (75 * w, 90, 96)),
        Ellipsoid((0, 18, 8), (66 * w, 92, 80)),
        Ellipsoid((0, 74, 34), (44 * w * j, 38, 48)),
        Ellipsoid((0, 116, -22), (44 * look.build**0.5, 80, 46)),
        Ellipsoid((-30 * w, 30, 50), (28, 30, 29)),
        Ellipsoid((30 * w, 30, 50), (28, 30, 29)),
        Ellipsoid((0, -20, 60), (50 * w, 13, 30)),
        Ellipsoid((0, 22, 84), (10 * n, 30, 20)),
        Ellipsoid((0, 39, 94), (14 * n, 11, 17 * n)),
        Ellipsoid((0, 67, 72), (22, 14, 17)),
        Ellipsoid((0, 97, 62), (21 * j, 16, 23)),
        Ellipsoid((-74 * w, 8, -14), (9, 29, 17)),
        Ellipsoid((74 * w, 8, -14), (9, 29, 17)),
    ]
    if look.masked:
        skin.append(Ellipsoid((0, 62, 58), (50 * w, 54, 54)))
    hair: list[Ellipsoid] = []
    style = look.style
    if style not in ("bald", "buzz"):
        puff, lift = _PUFF.get(style, ((8, 9, 8), -3.0)) if look.hat == "none" else ((6, 4, 5), -2.0)
        hair.append(Ellipsoid((0, -27 + lift, -18), (76 * w + puff[0], 91 + puff[1], 96 + puff[2]), HAIR, shell=True))
    if style == "bob":
        hair.append(Ellipsoid((0, 28, -34), (90 * w, 78, 70), HAIR))
    elif style == "long":
        hair.append(Ellipsoid((0, 78, -46), (88 * w, 140, 62), HAIR))
    elif style == "bun":
        hair.append(Ellipsoid((0, -112, -52), (36, 32, 36), HAIR))
    elif style == "pony":
        hair += [Ellipsoid((0, -40, -118), (24, 24, 26), HAIR), Ellipsoid((0, 38, -132), (26, 84, 26), HAIR)]
    if look.hat == "beanie":
        hair.append(Ellipsoid((0, -36, -18), (84 * w, 98, 104), HAT, below=-46))
    elif look.hat == "cap":
        hair += [Ellipsoid((0, -34, -18), (83 * w, 92, 102), HAT, below=-48), Ellipsoid((0, -54, 74), (60, 7, 66), HAT)]
    elif look.hat == "brim":
        hair += [
            Ellipsoid((0, -40, -18), (80 * w, 96, 98), HAT, below=-50),
            Ellipsoid((0, -54, -14), (138, 9, 146), HAT),
        ]
    return tuple(skin + hair)


@lru_cache(maxsize=96)
def _maps(look: Look, level: float, lids: str, mouth: str) -> np.ndarray:
    return paint.face_map(look, level, lids, mouth)


@lru_cache(maxsize=48)
def _hair_maps(look: Look, level: float) -> tuple[np.ndarray, np.ndarray]:
    return paint.hair_map(look, level)


def _level(px_per_mm: float) -> float:
    """The painted size, a power of two, that is not coarser than the picture and little finer."""
    return float(min(2.0, max(0.25, 2.0 ** math.ceil(math.log2(max(px_per_mm * 0.9, 1e-3))))))


def rotation_of(angles: Angles) -> np.ndarray:
    """(3, 3) float64 from head to camera for (yaw, pitch, roll) in radians."""
    yaw, pitch, roll = angles
    cy, sy, cp, sp, cr, sr = (
        math.cos(yaw),
        math.sin(yaw),
        math.cos(pitch),
        math.sin(pitch),
        math.cos(roll),
        math.sin(roll),
    )
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ nod


@dataclass(frozen=True)
class Turned:
    """The parts of a head in camera millimetres; n of them.

    A part is (p - centre)' form (p - centre) <= 1 with `form` (n, 3, 3) and `centre` (n, 3). Its outline is the ellipse
    a dx^2 + 2 b dx dy + c dy^2 <= 1 around the centre, with `abc` (n, 3), which reaches `reach` (n, 2) far in x and y.
    """

    form: np.ndarray
    centre: np.ndarray
    abc: np.ndarray
    reach: np.ndarray


@lru_cache(maxsize=64)
def turned(look: Look, angles: Angles) -> Turned:
    """The head of a look, turned; kept for the next questions about the same frame."""
    shapes, turn = parts(look), rotation_of(angles)
    form = np.einsum("ij,nj,kj->nik", turn, 1 / np.square([e.radii for e in shapes]), turn)
    centre = np.array([e.centre for e in shapes]) @ turn.T
    a = form[:, 0, 0] - form[:, 0, 2] ** 2 / form[:, 2, 2]
    b = form[:, 0, 1] - form[:, 0, 2] * form[:, 1, 2] / form[:, 2, 2]
    c = form[:, 1, 1] - form[:, 1, 2] ** 2 / form[:, 2, 2]
    det = a * c - b * b
    return Turned(form, centre, np.stack([a, b, c], 1), np.sqrt(np.stack([c / det, a / det], 1)))


def surface_z(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the bare skin over (x, y) millimetres, seen from the front."""
    z = np.full(np.shape(x), -1e3)
    for e in parts(look):
        if e.kind == SKIN:
            room = 1 - ((x - e.centre[0]) / e.radii[0]) ** 2 - ((y - e.centre[1]) / e.radii[1]) ** 2
            z = np.maximum(z, np.where(room > 0, e.centre[2] + e.radii[2] * np.sqrt(np.maximum(room, 0)), -1e3))
    return z


def render(look: Look, angles: Angles, px_per_mm: float, at: tuple[float, float], light: Light,
           lids: str = "open", mouth: str = "rest") -> tuple[np.ndarray, np.ndarray, int, int]:  # fmt: skip
    """(colour (h, w, 3) float32, opacity (h, w) float32, left, top) of a head whose origin lies at pixel `at`."""
    k, level, head = px_per_mm, _level(px_per_mm), turned(look, angles)
    low, high = (head.centre[:, :2] - head.reach).min(0), (head.centre[:, :2] + head.reach).max(0)
    left, top = math.floor(at[0] + k * low[0] - 1), math.floor(at[1] + k * low[1] - 1)
    right, bottom = math.ceil(at[0] + k * high[0] + 1), math.ceil(at[1] + k * high[1] + 1)
    xs = ((np.arange(left, right) + 0.5 - at[0]) / k).astype(np.float32)[None, :]
    ys = ((np.arange(top, bottom) + 0.5 - at[1]) / k).astype(np.float32)[:, None]
    back = rotation_of(angles).T.astype(np.float32)
    surface = Surface(bottom - top, right - left)
    for i, part in enumerate(parts(look)):
        (cx, cy), (rx, ry) = head.centre[i, :2], head.reach[i]
        x0, x1 = max(0, int((cx - rx - xs[0, 0]) * k) - 1), min(xs.size, int((cx + rx - xs[0, 0]) * k) + 3)
        y0, y1 = max(0, int((cy - ry - ys[0, 0]) * k) - 1), min(ys.size, int((cy + ry - ys[0, 0]) * k) + 3)
        x, y = xs[:, x0:x1], ys[y0:y1]
        free, z, normal = _meet(head, i, x, y)
        edge = np.clip(free * np.float32(0.5 * k * min(rx, ry)) + np.float32(0.5), 0, 1)
        if part.shell:
            there = _look_up(_hair_maps(look, level)[1], level, *_to_head(back, x, y, z))
            edge = edge * (there.astype(np.float32) / 255)
        elif part.below is not None:
            edge = edge * np.clip(
                (np.float32(part.below) - _to_head(back, x, y, z)[1]) * np.float32(k) + np.float32(0.5), 0, 1
            )
        window = (slice(y0, y1), slice(x0, x1))
        if part.kind == SKIN:
            surface.flow(
                window, np.where(free > 0, z, _FAR), normal, edge, np.float32(min(14.0, 0.4 * min(part.radii)))
            )
        else:
            surface.cover(window, z, normal, edge, part.kind, 6.0 if part.shell else 0.0)
    colour = _colour(look, level, lids, mouth, surface.kind, _to_head(back, xs, ys, surface.z))
    return colour * _shade(surface.normal, surface.kind, light), surface.alpha, left, top


class Surface:
    """What the rays of a picture have met so far: height, normal, opacity and kind of the nearest part."""

    def __init__(self, height: int, width: int):
        self.z = np.full((height, width), _FAR, np.float32)
        self.normal = np.zeros((3, height, width), np.float32)
        self.alpha = np.zeros((height, width), np.float32)
        self.kind = np.zeros((height, width), np.uint8)

    def flow(self, window: tuple, z: np.ndarray, normal: tuple, edge: np.ndarray, smooth_mm: np.float32) -> None:
        """Add skin by a smooth maximum: the parts flow into one another."""
        before = self.z[window]
        share = np.clip(np.float32(0.5) + (z - before) * (np.float32(0.5) / smooth_mm), 0, 1)
        self.z[window] = np.maximum(z, before) + smooth_mm * share * (1 - share)
        for axis, n in zip(self.normal, normal, strict=True):
            axis[window] += share * (n - axis[window])
        np.maximum(self.alpha[window], edge, out=self.alpha[window])

    def cover(self, window: tuple, z: np.ndarray, normal: tuple, edge: np.ndarray, kind: int, over_mm: float) -> None:
        """Add hair or a hat where it is nearer than what is there, less `over_mm`."""
        wins = (edge > 0.5 * (over_mm > 0)) & (z > self.z[window] - np.float32(over_mm))
        for target, value in zip((self.z, *self.normal, self.kind), (z, *normal, kind), strict=True):
            target[window] = np.where(wins, value, target[window])
        np.maximum(self.alpha[window], edge, out=self.alpha[window])


def _meet(head: Turned, i: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple]:
    """(room, z, unit normal) where the rays of columns x (1, w) and rows y (h, 1) meet part i; room < 0 outside its outline."""
    m, (cx, cy, cz), (a, b, c) = (
        head.form[i].astype(np.float32),
        head.centre[i].astype(np.float32),
        head.abc[i].astype(np.float32),
    )
    dx, dy = x - cx, y - cy
    free = 1 - (a * dx * dx + (2 * b * dx) * dy + c * dy * dy)
    dz = (np.sqrt(np.maximum(free, 0) * m[2, 2]) - (m[0, 2] * dx + m[1, 2] * dy)) / m[2, 2]
    n = [m[j, 0] * dx + m[j, 1] * dy + m[j, 2] * dz for j in range(3)]
    shorten = 1 / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + np.float32(1e-12))
    return free, dz + cz, tuple(v * shorten for v in n)


def _to_head(
    back: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    px, py, pz = (back[i, 0] * x + back[i, 1] * y + back[i, 2] * z for i in range(3))
    return px, py, pz


def _look_up(picture: np.ndarray, level: float, px: np.ndarray, py: np.ndarray, pz: np.ndarray) -> np.ndarray:
    """The map at points of the head, bilinear."""
    u = np.arctan2(px, pz) * np.float32(ROUND_MM / (2 * math.pi) * level) + np.float32(ROUND_MM / 2 * level - 0.5)
    v = (py - np.float32(TOP_MM)) * np.float32(level) - np.float32(0.5)
    return cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _colour(look: Look, level: float, lids: str, mouth: str, kind: np.ndarray, point: tuple) -> np.ndarray:
    colour = _look_up(_maps(look, level, lids, mouth), level, *point).astype(np.float32)
    if (kind == HAIR).any():
        colour = np.where((kind == HAIR)[..., None], _look_up(_hair_maps(look, level)[0], level, *point), colour)
    if (kind == HAT).any():
        ribs = (
            1 + 0.06 * np.sin(np.arctan2(point[0], point[2]) * 40) if look.hat == "beanie" else np.ones_like(point[0])
        )
        hat = np.array(look.hat_colour, np.float32) * np.where(point[1] > -57, 0.8, 1)[..., None] * ribs[..., None]
        colour = np.where((kind == HAT)[..., None], hat, colour)
    return colour.astype(np.float32)


def _shade(normal: np.ndarray, kind: np.ndarray, light: Light) -> np.ndarray:
    """(h, w, 3) float32 factors: ambient, a wrapped key light, a rim of light at the outline, a little gloss."""
    d = np.array(light.direction, np.float32)
    d /= np.linalg.norm(d)
    facing = normal[0] * d[0] + normal[1] * d[1] + normal[2] * d[2]
    key = np.clip((facing + np.float32(0.35)) * np.float32(1 / 1.35), 0, 1)
    half = d + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0, 1)
    for _ in range(5):
        gloss *= gloss
    key += gloss * np.where(kind == HAIR, np.float32(0.35), np.float32(0.12))
    rim = np.square(np.square(np.clip(1 - normal[2], 0, 1)))
    ambient = np.array(light.ambient)
    mix = np.stack([light.key, light.rim, -0.15 * ambient, 0.85 * ambient], 1)
    return cv2.transform(cv2.merge([key, rim, normal[1]]), mix)

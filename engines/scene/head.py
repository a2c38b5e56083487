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
from engines.scene.paint import ROUND_MM, TALL_MM, TOP_MM

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


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) float64 from head to camera; radians."""
    cy, sy, cp, sp, cr, sr = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ nod


@lru_cache(maxsize=256)
def parts(look: Look) -> tuple[Ellipsoid, ...]:
    """Skin first (blended smoothly in this order), then hair and hat."""
    w, j, n = look.width, look.jaw, look.nose
    skin = [
        Ellipsoid((0, -26, -16), (75 * w, 90, 96)),
        Ellipsoid((0, 18, 8), (66 * w, 92, 80)),
        Ellipsoid((0, 74, 34), (44 * w * j, 38, 48)),
        Ellipsoid((0, 124, -22), (44 * look.build**0.5, 90, 46)),
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
        puff = {"afro": (42, 36, 22), "curls": (22, 18, 14), "fringe": (10, 10, 11), "bob": (14, 9, 9), "long": (12, 9, 9)}.get(style, (8, 9, 8))
        lift = {"afro": -18.0, "curls": -8.0}.get(style, -3.0)
        if look.hat != "none":
            puff, lift = (6, 4, 5), -2.0
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
        hair += [Ellipsoid((0, -40, -18), (80 * w, 96, 98), HAT, below=-50), Ellipsoid((0, -54, -14), (138, 9, 146), HAT)]
    return tuple(skin + hair)


@lru_cache(maxsize=512)
def _maps(look: Look, level: float, lids: str, mouth: str) -> np.ndarray:
    return paint.face_map(look, level, lids, mouth)


@lru_cache(maxsize=256)
def _hair_maps(look: Look, level: float) -> tuple[np.ndarray, np.ndarray]:
    return paint.hair_map(look, level)


def _level(px_per_mm: float) -> float:
    """The painted size, a power of two, that is not coarser than the picture and little finer."""
    return float(min(2.0, max(0.25, 2.0 ** math.ceil(math.log2(max(px_per_mm * 0.9, 1e-3))))))


def meet(e: Ellipsoid, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(matrix (3, 3), centre (3,)) of an ellipsoid in camera millimetres: (p - c)' A (p - c) = 1."""
    return (turn / np.square(e.radii)) @ turn.T, turn @ np.asarray(e.centre)


def outline(e: Ellipsoid, turn: np.ndarray) -> tuple[float, float, float, float, float]:
    """Centre x, y and inverse-square form (a, b, c) of the ellipse an ellipsoid projects to: a dx^2 + 2 b dx dy + c dy^2 <= 1."""
    m, centre = meet(e, turn)
    a = m[0, 0] - m[0, 2] ** 2 / m[2, 2]
    b = m[0, 1] - m[0, 2] * m[1, 2] / m[2, 2]
    c = m[1, 1] - m[1, 2] ** 2 / m[2, 2]
    return float(centre[0]), float(centre[1]), float(a), float(b), float(c)


@lru_cache(maxsize=256)
def bounds_mm(look: Look) -> float:
    """Radius around the origin that holds every part."""
    return max(math.sqrt(sum(c * c for c in e.centre)) + max(e.radii) for e in parts(look)) + 4


def surface_z(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the bare skin over (x, y) millimetres, seen from the front."""
    z = np.full(np.shape(x), -1e3)
    for e in parts(look):
        if e.kind == SKIN:
            room = 1 - ((x - e.centre[0]) / e.radii[0]) ** 2 - ((y - e.centre[1]) / e.radii[1]) ** 2
            z = np.maximum(z, np.where(room > 0, e.centre[2] + e.radii[2] * np.sqrt(np.maximum(room, 0)), -1e3))
    return z


def render(look: Look, turn: np.ndarray, px_per_mm: float, at: tuple[float, float], light: Light,
           lids: str = "open", mouth: str = "rest") -> tuple[np.ndarray, np.ndarray, int, int] | None:  # fmt: skip
    """(colour (h, w, 3) float32, opacity (h, w, 1) float32, left, top) of a head whose origin lies at pixel `at`."""
    shapes = parts(look)
    boxes = []
    for e in shapes:
        cx, cy, a, b, c = outline(e, turn)
        det = a * c - b * b
        boxes.append((cx, cy, math.sqrt(c / det), math.sqrt(a / det), a, b, c))
    k = px_per_mm
    left = math.floor(at[0] + k * min(b[0] - b[2] for b in boxes) - 1)
    right = math.ceil(at[0] + k * max(b[0] + b[2] for b in boxes) + 1)
    top = math.floor(at[1] + k * min(b[1] - b[3] for b in boxes) - 1)
    bottom = math.ceil(at[1] + k * max(b[1] + b[3] for b in boxes) + 1)
    w, h = right - left, bottom - top
    xs = ((np.arange(left, right) + 0.5 - at[0]) / k).astype(np.float32)
    ys = ((np.arange(top, bottom) + 0.5 - at[1]) / k).astype(np.float32)

    z = np.full((h, w), _FAR, np.float32)
    normal = np.zeros((3, h, w), np.float32)
    alpha = np.zeros((h, w), np.float32)
    kind = np.zeros((h, w), np.uint8)
    back = turn.T.astype(np.float32)
    level = _level(k)
    hair_colour, hair_there = _hair_maps(look, level)
    for e, (cx, cy, rx, ry, qa, qb, qc) in zip(shapes, boxes, strict=True):
        x0, x1 = max(0, int((cx - rx - xs[0]) * k) - 1), min(w, int((cx + rx - xs[0]) * k) + 3)
        y0, y1 = max(0, int((cy - ry - ys[0]) * k) - 1), min(h, int((cy + ry - ys[0]) * k) + 3)
        if x0 >= x1 or y0 >= y1:
            continue
        m, centre = meet(e, turn)
        m = m.astype(np.float32)
        dx, dy = xs[None, x0:x1] - np.float32(cx), ys[y0:y1, None] - np.float32(cy)
        free = 1 - (np.float32(qa) * dx * dx + np.float32(2 * qb) * dx * dy + np.float32(qc) * dy * dy)
        b = m[0, 2] * dx + m[1, 2] * dy
        dz = (np.sqrt(np.maximum(free, 0) * m[2, 2]) - b) / m[2, 2]
        here = dz + np.float32(centre[2])
        edge = np.clip(free * np.float32(0.5 * k * min(rx, ry)) + 0.5, 0, 1)
        window = (slice(y0, y1), slice(x0, x1))
        if e.shell or e.below is not None:
            px, py, pz = _to_head(back, xs[None, x0:x1], ys[y0:y1, None], here)
            if e.shell:
                edge = edge * _look_up(hair_there, level, px, py, pz).astype(np.float32) / 255
            else:
                edge = edge * np.clip((e.below - py) * k + 0.5, 0, 1)
            win = (edge > 0.5) & (here > z[window] - 6)
        elif e.kind == SKIN:
            win = None
        else:
            win = (edge > 0) & (here > z[window])
        n = (m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz, m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz, m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz)
        length = 1 / np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2 + 1e-12)
        if win is None:  # smooth maximum: the parts of the skin flow into one another
            here = np.where(free > 0, here, _FAR)
            smooth = np.float32(min(14.0, 0.4 * min(e.radii)))
            part = np.clip(0.5 + 0.5 * (here - z[window]) / smooth, 0, 1)
            z[window] = np.maximum(here, z[window]) + smooth * part * (1 - part)
            for i in range(3):
                normal[i][window] += part * (n[i] * length - normal[i][window])
        else:
            z[window] = np.where(win, here, z[window])
            for i in range(3):
                normal[i][window] = np.where(win, n[i] * length, normal[i][window])
            kind[window][win] = e.kind
        alpha[window] = np.maximum(alpha[window], edge)
    if look.style == "bald":
        hair_colour = _maps(look, level, lids, mouth)
    colour = _colour(look, level, lids, mouth, kind, _to_head(back, xs[None, :], ys[:, None], z), hair_colour)
    return colour * _shade(normal, kind, light), alpha[..., None], left, top


def _to_head(back: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    px, py, pz = (back[i, 0] * x + back[i, 1] * y + back[i, 2] * z for i in range(3))
    return px, py, pz


def _look_up(picture: np.ndarray, level: float, px: np.ndarray, py: np.ndarray, pz: np.ndarray) -> np.ndarray:
    """The map at points of the head, bilinear."""
    u = np.arctan2(px, pz) * np.float32(ROUND_MM / (2 * math.pi) * level) + np.float32(ROUND_MM / 2 * level - 0.5)
    v = (py - np.float32(TOP_MM)) * np.float32(level) - np.float32(0.5)
    return cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _colour(look: Look, level: float, lids: str, mouth: str, kind: np.ndarray, point: tuple, hair: np.ndarray) -> np.ndarray:
    colour = _look_up(_maps(look, level, lids, mouth), level, *point).astype(np.float32)
    if (kind == HAIR).any():
        colour = np.where((kind == HAIR)[..., None], _look_up(hair, level, *point), colour)
    if (kind == HAT).any():
        ribs = 1 + 0.06 * np.sin(np.arctan2(point[0], point[2]) * 40) if look.hat == "beanie" else np.ones_like(point[0])
        hat = np.array(look.hat_colour, np.float32) * np.where(point[1] > -57, 0.8, 1)[..., None] * ribs[..., None]
        colour = np.where((kind == HAT)[..., None], hat, colour)
    return colour.astype(np.float32)


def _shade(normal: np.ndarray, kind: np.ndarray, light: Light) -> np.ndarray:
    """(h, w, 3) float32 factors: ambient, a wrapped key light, a rim of light at the outline, a little gloss."""
    d = np.array(light.direction, np.float32)
    d /= np.linalg.norm(d)
    facing = normal[0] * d[0] + normal[1] * d[1] + normal[2] * d[2]
    key = np.clip((facing + 0.35) / 1.35, 0, 1)
    half = d + (0, 0, 1)
    half /= np.linalg.norm(half)
    gloss = np.clip(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0, 1) ** 24
    key = key + gloss * np.where(kind == HAIR, 0.35, 0.12).astype(np.float32)
    rim = np.clip(1 - normal[2], 0, 1) ** 4
    sky = 0.85 - 0.15 * normal[1]
    out = key[..., None] * np.array(light.key, np.float32) + sky[..., None] * np.array(light.ambient, np.float32)
    return out + rim[..., None] * np.array(light.rim, np.float32)

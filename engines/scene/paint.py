"""The unrolled skin of a head: a picture of BGR over (angle round the head, height), painted in millimetres."""

from __future__ import annotations

import math

import cv2
import numpy as np

from engines.scene.looks import Colour, Look

ROUND_MM, TALL_MM = 500.0, 260.0
"Size of the map: once round the head (2 pi at 80 mm) and from 135 mm over the eyes to 125 mm below."
TOP_MM = -135.0
_SHIFT = 4


class Canvas:
    """Anti-aliased drawing in millimetres: x along the skin from the middle of the face, y down from the eyes."""

    def __init__(self, px_per_mm: float, fill: Colour):
        self.k = px_per_mm
        self.width, self.height = round(ROUND_MM * px_per_mm), round(TALL_MM * px_per_mm)
        self.bgr = np.empty((self.height, self.width, 3), np.uint8)
        self.bgr[:] = np.array(fill).round()

    def points(self, xy: np.ndarray | list) -> np.ndarray:
        """Millimetres (N, 2) to the fixed-point pixels that OpenCV draws with."""
        scaled = (np.asarray(xy, float) - (-ROUND_MM / 2, TOP_MM)) * (self.k * (1 << _SHIFT))
        return np.round(scaled).astype(np.int32)

    def polygon(self, xy: np.ndarray | list, colour: Colour, picture: np.ndarray | None = None) -> None:
        target = self.bgr if picture is None else picture
        cv2.fillPoly(target, [self.points(xy)], colour, cv2.LINE_AA, _SHIFT)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        tilt: float = 0.0,
        picture: np.ndarray | None = None,
    ) -> None:
        self.polygon(ellipse(x, y, rx, ry, tilt), colour, picture)

    def line(self, xy: np.ndarray | list, colour: Colour, width_mm: float, closed: bool = False) -> None:
        width = max(1, round(width_mm * self.k))
        thin = min(1.0, width_mm * self.k)
        if thin < 1:  # a line thinner than a pixel is drawn fainter, not wider
            before = self.bgr.copy()
            cv2.polylines(self.bgr, [self.points(xy)], closed, colour, 1, cv2.LINE_AA, _SHIFT)
            cv2.addWeighted(self.bgr, thin, before, 1 - thin, 0, self.bgr)
        else:
            cv2.polylines(self.bgr, [self.points(xy)], closed, colour, width, cv2.LINE_AA, _SHIFT)

    def mask(self, blur_mm: float, *polygons: np.ndarray) -> np.ndarray:
        """(H, W, 1) float32 0..1: the polygons with soft edges."""
        picture = np.zeros(self.bgr.shape[:2], np.uint8)
        for xy in polygons:
            cv2.fillPoly(picture, [self.points(xy)], 255, cv2.LINE_AA, _SHIFT)
        if blur_mm:
            picture = cv2.GaussianBlur(picture, (0, 0), max(blur_mm * self.k, 0.3))
        return (picture.astype(np.float32) / 255)[..., None]

    def blend(self, mask: np.ndarray, colour: Colour | np.ndarray) -> None:
        mixed = self.bgr + mask * (np.asarray(colour, np.float32) - self.bgr)
        self.bgr = np.clip(mixed, 0, 255).astype(np.uint8)

    def shade(self, mask: np.ndarray, factor: float) -> None:
        self.bgr = np.clip(self.bgr * (1 + mask * (factor - 1)), 0, 255).astype(np.uint8)


def ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0, n: int = 28) -> np.ndarray:
    a = np.linspace(0, 2 * math.pi, n, endpoint=False)
    c, s = math.cos(tilt), math.sin(tilt)
    px, py = rx * np.cos(a), ry * np.sin(a)
    return np.stack([x + c * px - s * py, y + s * px + c * py], 1)


def curve(*xy: tuple[float, float], n: int = 20) -> np.ndarray:
    """A smooth line through two to four points (a Bezier of their number)."""
    t = np.linspace(0, 1, n)[:, None]
    p = [np.asarray(q, float) for q in xy]
    if len(p) == 2:
        return (1 - t) * p[0] + t * p[1]
    if len(p) == 3:
        return (1 - t) ** 2 * p[0] + 2 * t * (1 - t) * p[1] + t * t * p[2]
    return (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t * t * (1 - t) * p[2] + t**3 * p[3]


def scaled(colour: Colour, factor: float) -> Colour:
    return tuple(float(min(max(c * factor, 0), 255)) for c in colour)  # type: ignore[return-value]


def eye_x(look: Look) -> float:
    return 32.5 * look.eye_gap


MOUTH_Y, NOSE_Y = 67.0, 38.0


def mouth_half(look: Look, mouth: str = "rest") -> float:
    return 25.0 * look.mouth * (1.12 if mouth == "smile" else 0.96 if mouth == "open" else 1.0)


def hair_outline(look: Look) -> np.ndarray:
    """The region of the map that carries hair, as one polygon: hairline, temples, round or over the ears, nape."""
    top = -16.0 if look.style == "fringe" else -look.hairline_mm
    lean = {"side": 16.0, "bob": 8.0, "long": 10.0}.get(look.style, 0.0)
    if look.style in ("bob", "long", "afro", "curls"):
        low = {"bob": 60.0, "long": 90.0, "afro": 20.0, "curls": 30.0}[look.style]
        inner = 80.0 if look.style == "afro" else 66.0
        side = [(inner - 6, -28), (inner, low), (104, low), (108, 48), (122, 95), (ROUND_MM / 2 + 5, 95)]
    else:  # the ears are free
        side = [
            (75, -28),
            (84, 14),
            (100, 14),
            (110, -24),
            (134, -34),
            (158, -20),
            (164, 26),
            (152, 62),
            (160, 95),
            (ROUND_MM / 2 + 5, 95),
        ]
    right = [(0, top - lean * 0.4), (32, top + lean * 0.3), (52, top + 14), *side]
    left = [(-26, top + lean), (-52, top + 18 + lean * 0.4), *((-x, y) for x, y in side)]
    edge = [(ROUND_MM / 2 + 5, TOP_MM - 5), (-ROUND_MM / 2 - 5, TOP_MM - 5)]
    return np.array(right + edge + left[::-1], float)


def strands(shape: tuple[int, int], k: float, seed: int, curly: bool) -> np.ndarray:
    """(H, W, 1) float32 around 1: the light and dark of hair."""
    rng = np.random.default_rng(seed)
    if curly:
        noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 3.0 * k)
    else:
        noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigmaX=0.9 * k, sigmaY=14 * k)
    noise = noise / (noise.std() + 1e-6)
    return (1 + (0.13 if curly else 0.15) * noise)[..., None].clip(0.5, 1.5)


def face_map(look: Look, px_per_mm: float, lids: str = "open", mouth: str = "rest") -> np.ndarray:
    """The whole map, (260 k, 500 k, 3) uint8 BGR for k pixels a millimetre."""
    c = Canvas(px_per_mm, look.skin)
    _skin(c, look)
    _eyes(c, look, lids)
    _nose(c, look)
    _mouth(c, look, mouth)
    _hair(c, look)
    _brows(c, look)
    if look.beard != "none":
        _beard(c, look)
    if look.glasses != "none":
        _glasses(c, look)
    if look.masked:
        _mask(c, look)
    throat = np.array([(-100, 120), (100, 120), (100, 140), (-100, 140)])
    c.blend(c.mask(1.0, throat), scaled(look.skin, 0.8))
    return c.bgr


def hair_map(look: Look, px_per_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """(colour, opacity) of the hair that stands off the head: uint8 BGR and uint8, the size of the face map."""
    c = Canvas(px_per_mm, look.hair)
    rng = np.random.default_rng(look.texture_seed + 1)
    texture = strands(c.bgr.shape[:2], c.k, look.texture_seed, look.style in ("afro", "curls"))
    c.bgr = np.clip(c.bgr * texture, 0, 255).astype(np.uint8)
    outline = hair_outline(look)
    wobble = 5.0 if look.style in ("afro", "curls") else 2.0
    dense = np.concatenate(
        [np.linspace(p, q, 8, endpoint=False) for p, q in zip(outline, np.roll(outline, -1, 0), strict=True)]
    )
    dense += rng.normal(0, wobble, dense.shape) * (np.abs(dense[:, :1]) < 100)
    return c.bgr, (c.mask(1.2, dense)[..., 0] * 255).astype(np.uint8)


def _skin(c: Canvas, look: Look) -> None:
    rng = np.random.default_rng(look.texture_seed)
    coarse = rng.standard_normal((13, 25)).astype(np.float32)
    tone = cv2.resize(coarse, (c.width, c.height), interpolation=cv2.INTER_CUBIC)[..., None]
    c.bgr = np.clip(c.bgr * (1 + 0.018 * tone), 0, 255).astype(np.uint8)
    ex = eye_x(look)
    red = np.array(look.skin, np.float32) * (0.86, 0.86, 1.04)
    c.blend(0.5 * c.mask(8, ellipse(-42, 36, 16, 12), ellipse(42, 36, 16, 12), ellipse(0, 36, 10, 8)), red)
    c.shade(c.mask(5, ellipse(-ex, -6, 20, 11), ellipse(ex, -6, 20, 11)), 0.74)  # sockets
    c.shade(c.mask(3, ellipse(-ex, 12, 15, 3), ellipse(ex, 12, 15, 3)), 0.93 - 0.1 * look.age)
    c.shade(c.mask(4, ellipse(-13, 8, 3, 16), ellipse(13, 8, 3, 16)), 0.9)  # sides of the bridge
    c.shade(c.mask(4, ellipse(0, 88, 14, 4)), 0.84)  # under the lip
    c.shade(c.mask(7, ellipse(-62, 60, 14, 42), ellipse(62, 60, 14, 42)), 0.9)  # hollow of the cheeks
    c.shade(c.mask(6, np.array([(-90, 108), (90, 108), (90, 140), (-90, 140)])), 0.72)  # under the chin
    c.blend(0.35 * c.mask(6, ellipse(0, -42, 26, 12), ellipse(0, 18, 4, 18)), scaled(look.skin, 1.16))
    fold = 0.92 - 0.16 * look.age
    for side in (-1, 1):
        line = curve((side * 18, 42), (side * 31, 52), (side * 33, 70))
        c.shade(c.mask(1.6, np.concatenate([line, line[::-1] + np.array([side * 3.5, 1])])), fold)
    if look.age > 0.4:
        for y in (-50, -41, -33):
            line = curve((-30, y), (0, y - 4), (30, y))
            c.shade(c.mask(0.8, np.concatenate([line, line[::-1] + np.array([0, 1.6])])), 0.93)


def _eyes(c: Canvas, look: Look, lids: str) -> None:
    w, gap = 15.0 * look.eyes, {"open": 1.0, "half": 0.5, "closed": 0.0}[lids]
    up, down = 8.2 * look.eyes * gap, 5.0 * look.eyes * (0.4 + 0.6 * gap)
    dark = scaled(look.skin, 0.26)
    for side in (-1, 1):
        x = side * eye_x(look)
        inner, outer = (x - side * w, 1.5), (x + side * w, -0.8)
        upper = curve(inner, (x - side * w * 0.35, -up * 1.45), (x + side * w * 0.45, -up * 1.45), outer)
        lower = curve(inner, (x, down * 1.7), outer)
        if gap:
            shape = np.concatenate([upper, lower[::-1]])
            opening = c.mask(0, shape)
            before = c.bgr.copy()
            c.polygon(shape, (222, 226, 230))
            r = 7.0 * look.eyes
            iy = -0.6
            c.ellipse(x, iy, r, r, scaled(look.iris, 0.5))
            c.ellipse(x, iy, r * 0.84, r * 0.84, look.iris)
            c.ellipse(x, iy, r * 0.45, r * 0.45, (12, 12, 14))
            c.ellipse(x + 2.2, iy - 2.4, 1.5, 1.5, (250, 250, 250))
            shadow = np.concatenate([upper, upper[::-1] + np.array([0, 3.2])])
            c.polygon(shadow, scaled(look.iris, 0.45))
            c.bgr = np.clip(before + opening * (c.bgr.astype(np.float32) - before), 0, 255).astype(np.uint8)
            c.line(lower, scaled(look.skin, 0.62), 1.0)
            c.line(upper, dark, 2.4)
            c.line(upper - np.array([0, 4.6]), scaled(look.skin, 0.62), 1.2)
        else:
            c.line(curve(inner, (x, 6.5), outer), dark, 2.4)


def _brows(c: Canvas, look: Look) -> None:
    colour = scaled(look.hair, 0.75) if sum(look.hair) < 420 else scaled(look.skin, 0.62)
    for side in (-1, 1):
        x, t = side * eye_x(look), 2.6 * look.brows
        top = curve((x - side * 16, -15), (x + side * 4, -24), (x + side * 20, -16))
        low = curve((x + side * 20, -15), (x + side * 4, -22 + t * 1.5), (x - side * 16, -14 + t))
        c.blend(0.88 * c.mask(0.9, np.concatenate([top, low])), colour)


def _nose(c: Canvas, look: Look) -> None:
    w = 15.0 * look.nose
    c.shade(c.mask(2.2, ellipse(0, NOSE_Y + 10, w * 0.9, 3.5)), 0.66)
    for side in (-1, 1):
        c.shade(c.mask(1.6, ellipse(side * w, NOSE_Y + 3, 2.4, 6)), 0.8)
        c.ellipse(side * w * 0.5, NOSE_Y + 8, 4.0, 2.0, scaled(look.skin, 0.34), side * 0.3)
    c.blend(0.45 * c.mask(2.2, ellipse(1.5, NOSE_Y - 3, 4, 5)), scaled(look.skin, 1.3))


def _mouth(c: Canvas, look: Look, mouth: str) -> None:
    half, y = mouth_half(look, mouth), MOUTH_Y
    lift = {"rest": 0.0, "open": 0.0, "smile": -5.0}[mouth]
    drop = {"rest": 0.0, "open": 12.0, "smile": 7.0}[mouth]
    left, right = (-half, y + lift), (half, y + lift)
    top = np.concatenate(
        [curve(left, (-half * 0.45, y - 8), (0, y - 4.5)), curve((0, y - 4.5), (half * 0.45, y - 8), right)]
    )
    bottom = curve(right, (half * 0.55, y + 13 + drop), (-half * 0.55, y + 13 + drop), left)
    c.blend(c.mask(0.5, np.concatenate([top, bottom])), look.lips)
    c.blend(0.4 * c.mask(1.5, ellipse(0, y + 6 + drop * 0.8, half * 0.35, 2.0)), scaled(look.lips, 1.35))
    if mouth == "rest":
        c.line(np.concatenate([curve(left, (-half * 0.4, y + 1), (0, y + 1.5)), curve((0, y + 1.5), (half * 0.4, y + 1), right)]),
               scaled(look.lips, 0.4), 1.7)  # fmt: skip
    else:
        wide, up = half * 0.88, y + lift * 0.8
        hole = [curve((-wide, up), (0, y - 1), (wide, up)), curve((wide, up), (0, y + drop * 1.65), (-wide, up))]
        c.polygon(np.concatenate(hole), (28, 24, 58))
        wide, up, low = half * 0.75, y + lift * 0.65, y + lift * 0.4 + 2
        teeth = [
            curve((-wide, up), (0, y - 0.5), (wide, up)),
            curve((wide, low), (0, y + 2 + drop * 0.5), (-wide, low)),
        ]
        c.polygon(np.concatenate(teeth), (212, 222, 228))


def _hair(c: Canvas, look: Look) -> None:
    if look.style == "bald":
        return
    texture = strands(c.bgr.shape[:2], c.k, look.texture_seed, look.style in ("afro", "curls", "buzz"))
    soft, cover = (3.0, 0.8) if look.style == "buzz" else (1.2, 1.0)
    c.blend(cover * c.mask(soft, hair_outline(look)), np.array(look.hair, np.float32) * texture * 0.9)


def _beard(c: Canvas, look: Look) -> None:
    rng = np.random.default_rng(look.texture_seed + 2)
    half = mouth_half(look)
    lips = c.mask(0.8, ellipse(0, MOUTH_Y + 3, half * 0.92, 8))
    corner = half + 3
    moustache = [(-half - 5, 68), (-16, 54), (0, 55), (16, 54), (half + 5, 68), (half - 3, 66), (0, 61), (3 - half, 66)]
    goatee = [
        (-corner, 64),
        (3 - half, 84),
        (0, 86),
        (half - 3, 84),
        (corner, 64),
        (corner, 100),
        (18, 124),
        (-18, 124),
        (-corner, 100),
    ]
    cheek = [(84, -5), (74, 30), (50, 58), (30, 60)]
    full = [*((-x, y) for x, y in cheek), (0, 62), *cheek[::-1], (90, 60), (60, 125), (-60, 125), (-90, 60)]
    outlines = {"moustache": [moustache], "goatee": [moustache, goatee]}.get(look.beard, [moustache, full])
    shapes = [np.array(shape, float) for shape in outlines]
    strength = 0.38 if look.beard == "stubble" else 0.92
    noise = rng.standard_normal(c.bgr.shape[:2]).astype(np.float32)
    grain = (0.9 + 0.35 * cv2.GaussianBlur(noise, (0, 0), 0.7 * c.k + 0.2))[..., None]
    mask = c.mask(3.5 if look.beard in ("stubble", "full") else 1.5, *shapes) * (1 - lips)
    c.blend(strength * mask, np.array(look.hair, np.float32) * grain * 0.8)


def _glasses(c: Canvas, look: Look) -> None:
    frame: Colour = (22, 20, 24) if look.glasses != "thin" else (90, 100, 110)
    t = 3.6 if look.glasses == "thick" else 1.8
    for side in (-1, 1):
        lens = ellipse(side * eye_x(look), 2.5, 22.5, 18)
        if look.glasses == "sun":
            c.polygon(lens, (18, 16, 20))
            c.blend(0.3 * c.mask(3, ellipse(side * eye_x(look) - 6, -5, 9, 4, -0.4)), (190, 180, 170))
        else:
            c.blend(0.1 * c.mask(2, ellipse(side * eye_x(look) + 5, -4, 8, 5, -0.5)), (255, 255, 255))
        c.line(lens, frame, t, closed=True)
        c.line([(side * 54, -3), (side * 112, -6)], frame, t)
    c.line(curve((-11, 0), (0, -4), (11, 0)), frame, t)


def _mask(c: Canvas, look: Look) -> None:
    half = [(12, 14), (34, 20), (68, 22), (72, 60), (56, 100), (30, 121)]
    outline = np.array([(0, 11), *half, (0, 126), *((-x, y) for x, y in half[::-1])], float)
    for side in (-1, 1):
        c.line(curve((side * 66, 26), (side * 90, 6), (side * 116, -6)), (225, 225, 225), 1.8)
        c.line(curve((side * 62, 92), (side * 90, 60), (side * 116, 28)), (225, 225, 225), 1.8)
    c.shade(c.mask(4, outline), 0.75)
    c.blend(c.mask(0.6, outline), look.mask_colour)
    for y in (50, 66, 82):
        fold = curve((-66, y - 4), (0, y + 5), (66, y - 4))
        c.shade(c.mask(1.4, np.concatenate([fold, fold[::-1] + np.array([0, 3.5])])), 0.84)
    c.shade(c.mask(7, ellipse(-56, 70, 12, 40), ellipse(56, 70, 12, 40)), 0.84)
    c.line(curve((-30, 22), (0, 12), (30, 22)), scaled(look.mask_colour, 0.8), 1.4)

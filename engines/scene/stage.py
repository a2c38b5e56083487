"""What is behind the performers, and the light on them: drawn once, mixed anew for every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engines.scene.head import Light

KINDS = ("stage", "gradient", "brick", "clutter", "posters", "foliage", "bokeh", "noise")
_UP = 2


@dataclass(frozen=True)
class Stage:
    """Pictures (H, W, 3) uint8: one that is always there and some that are added as their light rises and falls."""

    base: np.ndarray
    glows: tuple[np.ndarray, ...]
    cycles: tuple[int, ...]
    loop_s: float
    key: tuple[float, float, float]
    ambient: tuple[float, float, float]
    rim: tuple[float, float, float]
    swing: float
    "How far the key light wanders, radians."
    pulse: float
    "How much the light's strength changes, 0..1."

    def background(self, t: float) -> np.ndarray:
        """A fresh BGR uint8 picture."""
        picture = self.base.copy()
        for i, (glow, n) in enumerate(zip(self.glows, self.cycles, strict=True)):
            level = 0.5 + 0.5 * math.sin(2 * math.pi * (n * t / self.loop_s + i / max(len(self.glows), 1)))
            cv2.addWeighted(picture, 1.0, glow, level, 0, dst=picture)
        return picture

    def light(self, t: float) -> Light:
        a = 2 * math.pi * t / self.loop_s
        side = self.swing * math.sin(a)
        level = 1 - self.pulse * (0.5 + 0.5 * math.sin(3 * a))
        key = tuple(level * c for c in self.key)
        return Light((math.sin(side - 0.35), -0.6, math.cos(side - 0.35)), key, self.ambient, self.rim)  # type: ignore[arg-type]


def show_stage(width: int, height: int, loop_s: float, seed: int = 0) -> Stage:
    """A concert stage: a dark wall with panels, a floor, three coloured beams."""
    rng = np.random.default_rng(seed)
    w, h = width * _UP, height * _UP
    base = _gradient(w, h, (46, 24, 34), (88, 52, 60))
    floor = round(0.74 * h)
    panels = 9
    for i in range(panels):
        x0, x1 = i * w // panels, (i + 1) * w // panels
        tone = rng.uniform(0.75, 1.15)
        base[:floor, x0:x1] = np.clip(base[:floor, x0:x1] * tone, 0, 255)
        cv2.line(base, (x0, 0), (x0, floor), (30, 16, 24), 3, cv2.LINE_AA)
    for y in range(round(0.1 * h), floor, max(2, round(0.09 * h))):
        cv2.line(base, (0, y), (w, y), (70, 44, 52), 2, cv2.LINE_AA)
    base[floor:] = _gradient(w, h - floor, (52, 36, 36), (96, 72, 70))
    for i in range(-12, 13):
        cv2.line(base, (w // 2 + i * w // 14, floor), (w // 2 + i * w // 5, h), (46, 32, 32), 2, cv2.LINE_AA)
    glows = []
    for i, colour in enumerate(((120, 40, 150), (150, 90, 20), (30, 90, 140))):
        beam = np.zeros((h, w, 3), np.uint8)
        x = w * (0.2 + 0.3 * i)
        target = w * (0.5 + 0.22 * (i - 1))
        cone = np.array([(x - 8, -5), (x + 8, -5), (target + 0.15 * w, h), (target - 0.15 * w, h)], np.int32)
        cv2.fillPoly(beam, [cone], colour, cv2.LINE_AA)
        pool = tuple(min(255, int(c * 1.3)) for c in colour)
        _blob(beam, target, 0.86 * h, 0.17 * w, 0.07 * h, 0, pool)
        glows.append(_down(cv2.GaussianBlur(beam, (0, 0), h * 0.02), width, height))
    return Stage(
        base=_down(base, width, height), glows=tuple(glows), cycles=(3, 2, 4), loop_s=loop_s, swing=0.5, pulse=0.18,
        key=(0.86, 0.9, 0.96), ambient=(0.36, 0.33, 0.34), rim=(0.4, 0.15, 0.3),
    )  # fmt: skip


def random_stage(rng: np.random.Generator, width: int, height: int, loop_s: float) -> Stage:
    """Any background and light."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "stage":
        show = show_stage(width, height, loop_s, int(rng.integers(1 << 30)))
        base, glows = show.base, show.glows
        swap = rng.permutation(3)
        base, glows = base[..., swap].copy(), tuple(g[..., rng.permutation(3)].copy() for g in glows)
    else:
        base = _down(_DRAW[kind](rng, width * _UP, height * _UP), width, height)
        glows = ()
    if rng.random() < 0.35:
        base = cv2.GaussianBlur(base, (0, 0), rng.uniform(0.5, 6))
    base = np.clip(base * rng.uniform(0.35, 1.15), 0, 255).astype(np.uint8)
    level = rng.uniform(0.5, 1.25)
    tint = 1 + rng.uniform(0, 0.35) * (rng.dirichlet((2, 2, 2)) * 3 - 1)
    share = rng.uniform(0.25, 0.6)
    rim = rng.uniform(0, 0.5) * rng.random(3)
    return Stage(
        np.ascontiguousarray(base), glows, tuple(int(v) for v in rng.integers(1, 6, len(glows))), loop_s,
        tuple(level * (1.2 - share) * tint), tuple(level * share * np.sqrt(tint)), tuple(rim),
        float(rng.uniform(0, 1.3)), float(rng.uniform(0, 0.4)),
    )  # fmt: skip


def _down(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _gradient(w: int, h: int, top: tuple, bottom: tuple) -> np.ndarray:
    t = np.linspace(0, 1, h)[:, None, None]
    return np.broadcast_to(np.array(top) * (1 - t) + np.array(bottom) * t, (h, w, 3)).astype(np.uint8).copy()


def _any_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    value = rng.uniform(20, 240)
    b, g, r = np.clip(value * (1 + rng.uniform(0, 0.8) * rng.uniform(-1, 1, 3)), 0, 255)
    return int(b), int(g), int(r)


def _blob(
    out: np.ndarray, x: float, y: float, rx: float, ry: float, tilt_deg: float, colour: tuple, width: int = -1
) -> None:
    cv2.ellipse(out, (int(x), int(y)), (int(rx), int(ry)), float(tilt_deg), 0, 360, colour, width, cv2.LINE_AA)


def _word(out: np.ndarray, rng: np.random.Generator, x: int, y: int, size: float, colour: tuple, width: int) -> None:
    text = "".join(chr(int(v)) for v in rng.integers(48, 91, int(rng.integers(1, 9))))
    cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, size, colour, width, cv2.LINE_AA)


def _random_gradient(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    return _gradient(w, h, _any_colour(rng), _any_colour(rng))


def _noise(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """Clouds of several sizes."""
    out = np.full((h, w, 3), 128, np.float32)
    for cells in (3, 8, 24, 80, 200):
        grid = rng.standard_normal((cells, cells, 3)).astype(np.float32) * (1.6 * 40 / cells**0.4)
        out += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC) * rng.uniform(0.2, 1)
    return np.clip(out, 0, 255).astype(np.uint8)


def _brick(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    colour, joint = np.array(_any_colour(rng), float), _any_colour(rng)
    out = np.full((h, w, 3), joint, np.uint8)
    bh = int(rng.uniform(0.02, 0.08) * h) + 4
    bw = int(bh * rng.uniform(1.8, 3.2))
    for row in range(h // bh + 1):
        for col in range(-1, w // bw + 1):
            x = col * bw + (row % 2) * bw // 2
            tone = tuple(np.clip(colour * rng.uniform(0.75, 1.25), 0, 255))
            cv2.rectangle(out, (x + 2, row * bh + 2), (x + bw - 2, row * bh + bh - 2), tone, -1)
    return cv2.add(out, rng.integers(0, 14, out.shape, dtype=np.uint8))


def _clutter(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """Boxes, discs, lines and letters of all sizes."""
    out = _random_gradient(rng, w, h)
    for _ in range(int(rng.integers(30, 220))):
        x, y = int(rng.integers(w)), int(rng.integers(h))
        a, b = (int(v) for v in rng.lognormal(math.log(0.05 * h), 0.8, 2) + 3)
        colour, what = _any_colour(rng), int(rng.integers(6))
        if what == 0:
            cv2.rectangle(out, (x, y), (x + a, y + b), colour, -1 if rng.random() < 0.7 else 3)
        elif what == 1:
            _blob(out, x, y, a, b, rng.uniform(0, 180), colour, -1 if rng.random() < 0.7 else 4)
        elif what == 2:
            end = (x + int(rng.normal(0, 0.3 * w)), y + int(rng.normal(0, 0.3 * h)))
            cv2.line(out, (x, y), end, colour, int(rng.integers(1, 12)), cv2.LINE_AA)
        elif what == 3:
            _word(out, rng, x, y, max(0.4, b / 30), colour, max(1, b // 14))
        elif what == 4:
            points = (rng.normal(0, 1, (int(rng.integers(3, 7)), 2)) * (a, b) + (x, y)).astype(np.int32)
            cv2.fillPoly(out, [points], colour, cv2.LINE_AA)
        else:
            for i in range(int(rng.integers(2, 12))):
                cv2.rectangle(out, (x + i * (a // 3 + 4), y), (x + i * (a // 3 + 4) + a // 6 + 2, y + b), colour, -1)
    return out


def _posters(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """A wall with framed prints: stripes, discs, words, never a face."""
    out = _random_gradient(rng, w, h)
    for _ in range(int(rng.integers(4, 24))):
        pw, ph = int(rng.uniform(0.06, 0.25) * w), int(rng.uniform(0.1, 0.35) * h)
        x, y = int(rng.integers(-pw // 2, w)), int(rng.integers(-ph // 2, h))
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + pw, w), min(y + ph, h)
        if x1 - x0 < 12 or y1 - y0 < 12:
            continue
        make = (_clutter, _noise, _random_gradient)[int(rng.integers(3))]
        out[y0:y1, x0:x1] = make(rng, x1 - x0, y1 - y0)
        cv2.rectangle(out, (x0, y0), (x1, y1), _any_colour(rng), int(rng.integers(2, 10)))
        _word(out, rng, x0 + 4, (y0 + y1) // 2, pw / 160, _any_colour(rng), 3)
    return out


def _foliage(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    out = _gradient(w, h, (40, 60, 40), (20, 40, 30))
    for _ in range(900):
        green = rng.uniform(30, 190)
        colour = (green * rng.uniform(0.2, 0.7), green, green * rng.uniform(0.3, 0.9))
        size = rng.lognormal(math.log(0.02 * h), 0.5) + 2
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        _blob(out, x, y, size, size * rng.uniform(0.2, 0.8) + 1, rng.uniform(0, 180), colour)
    return out


def _bokeh(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    out = _gradient(w, h, (30, 15, 20), (50, 40, 45))
    for _ in range(int(rng.integers(20, 120))):
        layer = out.copy()
        size = int(rng.uniform(0.008, 0.07) * h) + 2
        cv2.circle(layer, (int(rng.integers(w)), int(rng.integers(h))), size, _any_colour(rng), -1, cv2.LINE_AA)
        a = float(rng.uniform(0.2, 0.9))
        cv2.addWeighted(layer, a, out, 1 - a, 0, dst=out)
    return out


_DRAW = {
    "gradient": _random_gradient,
    "brick": _brick,
    "clutter": _clutter,
    "posters": _posters,
    "foliage": _foliage,
    "bokeh": _bokeh,
    "noise": _noise,
}

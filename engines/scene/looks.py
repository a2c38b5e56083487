"""What a performer looks like: one frozen `Look`, drawn from a seed, in millimetres and BGR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Colour = tuple[float, float, float]
T = TypeVar("T")

SKINS: tuple[Colour, ...] = (
    (198, 215, 244), (170, 195, 234), (150, 180, 225), (130, 163, 215), (108, 145, 202),
    (86, 122, 180), (70, 102, 156), (58, 84, 132), (46, 66, 106), (38, 54, 86),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (24, 22, 24), (30, 34, 46), (34, 48, 74), (44, 70, 110), (80, 128, 172), (130, 180, 214),
    (190, 194, 198), (228, 230, 232), (40, 60, 150), (150, 90, 60), (160, 90, 200), (120, 140, 60),
)  # fmt: skip
IRISES: tuple[Colour, ...] = ((30, 45, 70), (40, 60, 95), (50, 80, 60), (140, 110, 70), (110, 110, 100))
STYLES = ("bald", "buzz", "short", "side", "fringe", "bob", "long", "bun", "pony", "afro", "curls")
HATS = ("none", "beanie", "cap", "brim")
GLASSES = ("none", "thin", "thick", "sun")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
TOPS = ("plain", "stripes", "jacket", "panel", "dots")


@dataclass(frozen=True)
class Look:
    """The unchanging part of a performer: what a viewer would recognise somebody by."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    style: str
    hat: str
    hat_colour: Colour
    glasses: str
    beard: str
    masked: bool
    mask_colour: Colour
    top: str
    top_colour: Colour
    trim_colour: Colour
    legs_colour: Colour
    shoes_colour: Colour
    skirt: bool
    sleeves: float
    "How much of the arm is covered: 0 none, 1 to the wrist."
    width: float
    "Width of the head over the average; the same for the next ones."
    jaw: float
    nose: float
    eyes: float
    eye_gap: float
    brows: float
    mouth: float
    hairline_mm: float
    "Height of the hairline above the eyes."
    height: float
    build: float
    age: float
    "0 smooth .. 1 lined."
    texture_seed: int


def random_look(rng: np.random.Generator, masked: bool | None = None) -> Look:
    """Any look; `masked` None means one in five."""

    def pick(options: tuple[T, ...]) -> T:
        return options[int(rng.integers(len(options)))]

    def vivid() -> Colour:
        """A cloth colour: mostly muted, sometimes bright, black or white."""
        kind = rng.random()
        if kind < 0.2:
            return (float(rng.uniform(18, 50)),) * 3
        if kind < 0.32:
            return (float(rng.uniform(190, 240)),) * 3
        value, dull = rng.uniform(60, 230), rng.uniform(0.1, 0.75)
        b, g, r = value * (dull + (1 - dull) * rng.dirichlet((0.7, 0.7, 0.7)) * 1.6)
        return (float(min(b, 250)), float(min(g, 250)), float(min(r, 250)))

    skin_index = int(rng.integers(len(SKINS)))
    b, g, r = SKINS[skin_index]
    warm, light = rng.uniform(0.95, 1.05), rng.uniform(0.93, 1.04)
    skin = (min(b * light / warm, 250.0), min(g * light, 250.0), min(r * light * warm, 250.0))
    dark_hair = rng.random() < (0.85 if skin_index >= 5 else 0.4)
    hair = HAIRS[int(rng.integers(3))] if dark_hair else pick(HAIRS)
    hat = pick(HATS) if rng.random() < 0.25 else "none"
    style = pick(STYLES)
    if hat != "none" and style in ("afro", "bun", "curls"):
        style = "short"
    feminine = style in ("bob", "long", "bun", "pony") or rng.random() < 0.35
    red = rng.uniform(0, 1) if feminine else rng.uniform(0, 0.3)
    lips = (skin[0] * (0.62 - 0.2 * red), skin[1] * (0.60 - 0.28 * red), min(skin[2] * (0.84 + 0.06 * red), 235.0))
    beard = pick(BEARDS) if not feminine and rng.random() < 0.55 else "none"
    is_masked = bool(rng.random() < 0.2) if masked is None else masked
    masks: tuple[Colour, ...] = ((225, 205, 170), (240, 240, 240), (30, 30, 32), (200, 180, 230), (120, 90, 50))
    mask = pick(masks) if rng.random() < 0.8 else vivid()
    return Look(
        skin=skin, hair=hair, iris=pick(IRISES), lips=lips, style=style, hat=hat, hat_colour=vivid(),
        glasses=pick(GLASSES[1:]) if rng.random() < 0.28 else "none", beard=beard,
        masked=is_masked, mask_colour=mask, top=pick(TOPS), top_colour=vivid(), trim_colour=vivid(),
        legs_colour=vivid(), shoes_colour=vivid(), skirt=bool(feminine and rng.random() < 0.4),
        sleeves=float(rng.choice((0.15, 0.5, 1.0, 1.0))), width=float(rng.uniform(0.93, 1.08)),
        jaw=float(rng.uniform(0.82, 0.98) if feminine else rng.uniform(0.95, 1.18)),
        nose=float(rng.uniform(0.85, 1.2)), eyes=float(rng.uniform(0.92, 1.25)),
        eye_gap=float(rng.uniform(0.94, 1.07)), brows=float(rng.uniform(0.6, 1.0) if feminine else rng.uniform(0.9, 1.5)),
        mouth=float(rng.uniform(0.88, 1.15)), hairline_mm=float(rng.uniform(58, 76)), height=float(rng.uniform(0.93, 1.06)),
        build=float(rng.uniform(0.85, 1.2)), age=float(rng.uniform(0, 1) ** 2), texture_seed=int(rng.integers(1 << 31)),
    )  # fmt: skip

"""The scene everybody sees first: five performers on a stage, 20 s that repeat without a seam.

The walker crosses the front and comes back, past everybody else, and hides the smallest face for half a second each time; the
masked one changes places behind the others; the leaver turns his back, leaves on the right and returns.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from engines.scene.looks import Look, random_look
from engines.scene.motion import Motion, Path, floor_slope
from engines.scene.scene import Performer, Scene
from engines.scene.stage import show_stage

LOOP_S = 20.0
WIDTH, HEIGHT, FPS = 640, 480, 30
DANCER, WALKER, SMALL, MASKED, LEAVER = 1, 2, 3, 4, 5
"The performers' ids."
_HORIZON, _LIFT_MM = 0.15, 150.0
_HEIGHTS = (0.98, 1.0, 0.9, 0.97, 1.03)


def demo_scene(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Scene:
    """The default scene at any size; another seed dresses other people for the same dance."""
    looks = _looks(seed)
    cast = tuple(Performer(i + 1, look, move) for i, (look, move) in enumerate(zip(looks, _moves(looks), strict=True)))
    return Scene(width, height, show_stage(width, height, LOOP_S, seed), cast)


def _looks(seed: int) -> list[Look]:
    drawn = [random_look(np.random.default_rng((seed, i)), masked=i + 1 == MASKED) for i in range(5)]
    drawn = [replace(look, height=height) for look, height in zip(drawn, _HEIGHTS, strict=True)]
    return drawn if seed else [replace(look, **clothes) for look, clothes in zip(drawn, _wardrobe(), strict=True)]


def _wardrobe() -> list[dict[str, Any]]:
    bare = {"hat": "none", "glasses": "none", "beard": "none", "skirt": False, "age": 0.1, "mouth": 1.0, "eyes": 1.1}
    dancer = bare | {
        "skin": (165, 190, 230), "hair": (90, 150, 205), "style": "long", "lips": (96, 84, 196), "iris": (140, 110, 70),
        "top": "stripes", "top_colour": (60, 50, 190), "trim_colour": (225, 225, 230), "legs_colour": (70, 46, 34),
        "shoes_colour": (230, 230, 235), "sleeves": 1.0, "brows": 0.9, "jaw": 0.9, "hairline_mm": 66.0,
    }  # fmt: skip
    walker = bare | {
        "skin": (62, 90, 142), "hair": (26, 24, 28), "style": "curls", "lips": (58, 48, 132), "iris": (30, 45, 70),
        "top": "plain", "top_colour": (40, 180, 225), "legs_colour": (58, 52, 52), "sleeves": 0.5, "build": 0.92,
        "brows": 0.9, "jaw": 0.9, "hairline_mm": 64.0,
    }  # fmt: skip
    small = bare | {
        "skin": (112, 152, 208), "hair": (30, 34, 46), "style": "side", "lips": (84, 96, 168), "iris": (40, 60, 95),
        "top": "jacket", "top_colour": (120, 84, 52), "trim_colour": (222, 222, 226), "legs_colour": (56, 50, 48),
        "sleeves": 1.0, "brows": 1.1, "jaw": 1.0, "hairline_mm": 66.0,
    }  # fmt: skip
    masked = bare | {
        "skin": (140, 174, 222), "hair": (24, 22, 26), "style": "bob", "mask_colour": (232, 214, 188), "iris": (30, 45, 70),
        "top": "plain", "top_colour": (150, 96, 170), "legs_colour": (72, 40, 60), "skirt": True, "sleeves": 0.5,
        "brows": 0.9, "jaw": 0.92, "hairline_mm": 64.0,
    }  # fmt: skip
    leaver = bare | {
        "skin": (150, 180, 226), "hair": (40, 66, 112), "style": "short", "lips": (96, 104, 176), "glasses": "thick",
        "beard": "full", "top": "panel", "top_colour": (70, 110, 60), "trim_colour": (60, 190, 220),
        "legs_colour": (90, 62, 46), "sleeves": 1.0, "brows": 1.2, "jaw": 1.02, "hairline_mm": 68.0,
    }  # fmt: skip
    return [dancer, walker, small, masked, leaver]


def _keys(*pairs: tuple[float, float], waves: tuple[tuple[float, int, float], ...] = ()) -> Path:
    return Path(LOOP_S, pairs, waves)


def _wave(amplitude: float, cycles: int, phase: float = 0.0, middle: float = 0.0) -> Path:
    return _keys((0.0, middle), waves=((amplitude, cycles, phase),))


def _arms(raised: float, beat: int, phase: float) -> tuple[Path, Path, Path, Path]:
    lift, bend = raised * 0.6, 0.4
    return (
        _wave(lift, beat, phase, 0.15 + lift), _wave(bend, beat, phase + 1, 0.5),
        _wave(lift, beat, phase + 2.2, 0.15 + lift), _wave(bend, beat, phase + 3, 0.5),
    )  # fmt: skip


def _moves(looks: list[Look]) -> list[Motion]:
    def floor(who: int) -> dict[str, Any]:
        return {"y": _keys((0.0, _HORIZON)), "slope": floor_slope(looks[who - 1], _LIFT_MM)}

    dancer = Motion(
        x=_wave(0.025, 5, 0.0, 0.30), size=_wave(0.007, 2, 1.0, 0.130),
        turn=_wave(0.25, 4), yaw=_wave(0.45, 5, 0.6), pitch=_wave(0.10, 10), roll=_wave(0.12, 10, 1.0),
        arms=_arms(0.9, 10, 0.0), sway=_wave(45, 10), bounce_mm=35, phase=0.4, smiles=True, **floor(DANCER),
    )  # fmt: skip
    there, back = (
        ((1, 0.10), (2.2, 0.24), (5, 0.74), (6.2, 0.90)),
        ((10.5, 0.90), (11.7, 0.74), (14.5, 0.24), (15.7, 0.10)),
    )
    looking = (
        (0, 0.1),
        (1.5, 0.3),
        (3.5, 0.15),
        (6, -0.3),
        (8, -0.9),
        (9.5, -0.2),
        (12.5, -0.15),
        (15, 0.4),
        (18, 0.1),
    )
    walker = Motion(
        x=_keys((0, 0.10), *there, *back), size=_wave(0.006, 3, 0.0, 0.215),
        turn=_keys((0, 0.0)), yaw=_keys(*looking), pitch=_wave(0.06, 6), roll=_wave(0.06, 5),
        arms=_arms(0.1, 10, 1.0), sway=_wave(15, 10), phase=1.9, sings=0.5, **floor(WALKER),
    )  # fmt: skip
    small = Motion(
        x=_wave(0.012, 3, 0.5, 0.49), size=_wave(0.003, 1, 0.0, 0.093),
        turn=_wave(0.2, 3, 1.0), yaw=_wave(0.5, 4, 2.0), pitch=_wave(0.08, 8), roll=_wave(0.10, 6),
        arms=_arms(0.5, 12, 2.0), sway=_wave(25, 12), bounce_mm=25, beats=48, phase=3.0, **floor(SMALL),
    )  # fmt: skip
    masked = Motion(
        x=_keys((0, 0.76), (6.5, 0.76), (9, 0.39), (16, 0.39), (18.8, 0.76), waves=((0.008, 6, 0.0),)),
        size=_keys((0, 0.118), (6.5, 0.118), (7.7, 0.106), (9, 0.106), (16, 0.106), (18.8, 0.118)),
        turn=_wave(0.15, 2, 0.5), yaw=_wave(0.5, 3), pitch=_wave(0.08, 7), roll=_wave(0.08, 5, 2.0),
        arms=_arms(0.6, 9, 1.0), sway=_wave(30, 9), bounce_mm=20, beats=36, phase=4.4, **floor(MASKED),
    )  # fmt: skip
    turning = ((0, 0.0), (6.6, 0.0), (7.6, math.pi), (9.2, math.pi), (10.2, 0.0), (12, 0.2), (14.6, -0.2), (18, 0.0))
    leaver = Motion(
        x=_keys((0, 0.625), (11.4, 0.625), (13.6, 1.32), (15.2, 1.32), (17.6, 0.625), waves=((0.01, 4, 0.0),)),
        size=_wave(0.006, 2, 0.0, 0.148),
        turn=_keys(*turning), yaw=_wave(0.3, 4, 1.0), pitch=_wave(0.08, 5), roll=_wave(0.07, 6),
        arms=_arms(0.25, 10, 0.0), sway=_wave(25, 10), bounce_mm=20, phase=5.2, smiles=True, **floor(LEAVER),
    )  # fmt: skip
    return [dancer, walker, small, masked, leaver]

"""The scene everybody sees first: five performers on a stage, 20 s that repeat without a seam.

One walks across the front and back again and passes everybody else (for over half a second she hides the face of the
smallest completely), one wears a mask and changes places, one turns his back, leaves on the right and comes back.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from engines.scene.looks import Look, random_look
from engines.scene.motion import Motion, Path, floor_slope
from engines.scene.scene import Performer, Scene
from engines.scene.stage import show_stage

LOOP_S = 20.0
WIDTH, HEIGHT, FPS = 640, 480, 30
_HORIZON, _LIFT_MM = 0.15, 150.0


def demo_scene(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Scene:
    """The default scene at any size; another seed dresses and lights the same dance otherwise."""
    looks = _looks(seed)
    moves = _moves(looks)
    cast = tuple(Performer(i + 1, look, move) for i, (look, move) in enumerate(zip(looks, moves, strict=True)))
    return Scene(width, height, show_stage(width, height, LOOP_S, seed), cast)


def _looks(seed: int) -> list[Look]:
    drawn = [random_look(np.random.default_rng((seed, i)), masked=i == 3) for i in range(5)]
    if seed:
        return [replace(look, height=height, hat="none" if look.hat == "brim" else look.hat)
                for look, height in zip(drawn, _HEIGHTS, strict=True)]  # fmt: skip
    shared = {"hat": "none", "glasses": "none", "beard": "none", "skirt": False, "age": 0.1}
    return [
        replace(drawn[0], **shared, skin=(165, 190, 230), hair=(90, 150, 205), style="long", lips=(96, 84, 196), iris=(140, 110, 70), brows=0.9,
                top="stripes", top_colour=(60, 50, 190), trim_colour=(225, 225, 230), legs_colour=(70, 46, 34), sleeves=1.0, height=_HEIGHTS[0],
                jaw=0.9, shoes_colour=(230, 230, 235), hairline_mm=66.0, eyes=1.15, mouth=1.0),
        replace(drawn[1], **shared, skin=(62, 90, 142), hair=(26, 24, 28), style="curls", lips=(58, 48, 132), iris=(30, 45, 70), brows=0.9,
                top="plain", top_colour=(40, 180, 225), legs_colour=(58, 52, 52), sleeves=0.5, height=_HEIGHTS[1], jaw=0.9,
                hairline_mm=64.0, eyes=1.1, mouth=1.05, build=0.92),
        replace(drawn[2], **shared, skin=(112, 152, 208), hair=(30, 34, 46), style="side", lips=(84, 96, 168), iris=(40, 60, 95), brows=1.1,
                top="jacket", top_colour=(120, 84, 52), trim_colour=(222, 222, 226), legs_colour=(56, 50, 48), sleeves=1.0, height=_HEIGHTS[2],
                jaw=1.0, hairline_mm=66.0, eyes=1.1, mouth=1.0),
        replace(drawn[3], **{**shared, "skirt": True}, skin=(140, 174, 222), hair=(24, 22, 26), style="bob", iris=(30, 45, 70), brows=0.9,
                mask_colour=(232, 214, 188), top="plain", top_colour=(150, 96, 170), legs_colour=(72, 40, 60), sleeves=0.5, height=_HEIGHTS[3],
                jaw=0.92, hairline_mm=64.0, eyes=1.15),
        replace(drawn[4], **{**shared, "glasses": "thick", "beard": "full"}, skin=(150, 180, 226), hair=(40, 66, 112), style="short",
                lips=(96, 104, 176), brows=1.2, top="panel", top_colour=(70, 110, 60), trim_colour=(60, 190, 220), legs_colour=(90, 62, 46),
                sleeves=1.0, height=_HEIGHTS[4], jaw=1.02, hairline_mm=68.0, eyes=1.05, mouth=1.0),
    ]  # fmt: skip


_HEIGHTS = (0.98, 1.0, 0.9, 0.97, 1.03)


def _moves(looks: list[Look]) -> list[Motion]:
    def keys(*pairs: tuple[float, float], waves: tuple = ()) -> Path:
        return Path(LOOP_S, pairs, waves)

    def wave(amplitude: float, cycles: int, phase: float = 0.0, middle: float = 0.0) -> Path:
        return Path(LOOP_S, ((0.0, middle),), ((amplitude, cycles, phase),))

    def arms(raised: float, beat: int, phase: float) -> tuple[Path, Path, Path, Path]:
        return (wave(raised * 0.6, beat, phase, 0.15 + raised * 0.6), wave(0.4, beat, phase + 1, 0.5),
                wave(raised * 0.6, beat, phase + 2.2, 0.15 + raised * 0.6), wave(0.4, beat, phase + 3, 0.5))  # fmt: skip

    def floor(i: int) -> dict:
        return {"y": Path(LOOP_S, ((0.0, _HORIZON),)), "slope": floor_slope(looks[i], _LIFT_MM)}

    still = keys((0.0, 0.0))
    dancer = Motion(
        x=keys((0, 0.30), waves=((0.025, 5, 0.0),)), size=keys((0, 0.130), waves=((0.007, 2, 1.0),)), turn=wave(0.25, 4), yaw=wave(0.45, 5, 0.6),
        pitch=wave(0.10, 10), roll=wave(0.12, 10, 1.0), arms=arms(0.9, 10, 0.0), sway=wave(45, 10), bounce_mm=35, beats=40, phase=0.4,
        smiles=True, **floor(0),
    )  # fmt: skip
    walker = Motion(
        x=keys((0, 0.10), (1.0, 0.10), (2.2, 0.24), (5.0, 0.74), (6.2, 0.90), (10.5, 0.90), (11.7, 0.74), (14.5, 0.24), (15.7, 0.10)),
        size=wave(0.006, 3, 0.0, 0.215), turn=still,
        yaw=keys((0, 0.1), (1.5, 0.3), (3.5, 0.15), (6, -0.3), (8, -0.9), (9.5, -0.2), (12.5, -0.15), (15, 0.4), (18, 0.1)),
        pitch=wave(0.06, 6), roll=wave(0.06, 5), arms=arms(0.1, 10, 1.0), sway=wave(15, 10), beats=40, phase=1.9, sings=0.5, **floor(1),
    )  # fmt: skip
    small = Motion(
        x=keys((0, 0.49), waves=((0.012, 3, 0.5),)), size=keys((0, 0.093), waves=((0.003, 1, 0.0),)), turn=wave(0.2, 3, 1.0), yaw=wave(0.5, 4, 2.0),
        pitch=wave(0.08, 8), roll=wave(0.10, 6), arms=arms(0.5, 12, 2.0), sway=wave(25, 12), bounce_mm=25, beats=48, phase=3.0, **floor(2),
    )  # fmt: skip
    masked = Motion(
        x=keys((0, 0.76), (6.5, 0.76), (9.0, 0.39), (16.0, 0.39), (18.8, 0.76), waves=((0.008, 6, 0.0),)),
        size=keys((0, 0.118), (6.5, 0.118), (7.7, 0.106), (9, 0.106), (16, 0.106), (18.8, 0.118)), turn=wave(0.15, 2, 0.5), yaw=wave(0.5, 3, 0.0),
        pitch=wave(0.08, 7), roll=wave(0.08, 5, 2.0), arms=arms(0.6, 9, 1.0), sway=wave(30, 9), bounce_mm=20, beats=36, phase=4.4, **floor(3),
    )  # fmt: skip
    leaver = Motion(
        x=keys((0, 0.625), (11.4, 0.625), (13.6, 1.22), (15.2, 1.22), (17.6, 0.625), waves=((0.01, 4, 0.0),)),
        size=keys((0, 0.148), waves=((0.006, 2, 0.0),)),
        turn=keys((0, 0.0), (6.6, 0.0), (7.6, math.pi), (9.2, math.pi), (10.2, 0.0), (12, 0.2), (14.6, -0.2), (18, 0.0)), yaw=wave(0.3, 4, 1.0),
        pitch=wave(0.08, 5), roll=wave(0.07, 6), arms=arms(0.25, 10, 0.0), sway=wave(25, 10), bounce_mm=20, beats=40, phase=5.2, smiles=True,
        **floor(4),
    )  # fmt: skip
    return [dancer, walker, small, masked, leaver]

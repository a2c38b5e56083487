"""How a performer moves: periodic paths of a few numbers, from which the pose of any time follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engines.scene.body import FLOOR_MM, Pose
from engines.scene.looks import Look

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator

FACE_MM = 180.0
"Chin to hairline of an average head: sizes of faces are given as this part of the picture's height."


@dataclass(frozen=True)
class Path:
    """A number over time, periodic in `loop_s`: keys (time, value), joined without overshoot, plus waves
    (amplitude, whole cycles a loop, phase in radians)."""

    loop_s: float
    keys: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    waves: tuple[tuple[float, int, float], ...] = ()

    @cached_property
    def _line(self) -> PchipInterpolator | None:
        if len(self.keys) < 2:
            return None
        from scipy.interpolate import PchipInterpolator  # slow to import, and the studio draws nothing that moves

        times, values = np.array(self.keys, float).T
        around = np.concatenate([times - self.loop_s, times, times + self.loop_s])
        return PchipInterpolator(around, np.tile(values, 3))

    def at(self, t: float) -> float:
        t = t % self.loop_s
        value = self.keys[0][1] if self._line is None else float(self._line(t))
        for amplitude, cycles, phase in self.waves:
            value += amplitude * math.sin(2 * math.pi * cycles * t / self.loop_s + phase)
        return value


@dataclass(frozen=True)
class Motion:
    """x, y of the head in parts of the picture's width and height, size of the face in parts of its height, angles in radians.

    y is y.at(t) + slope * size: on a floor the near stand lower. `turn` turns the whole body, `yaw` the head on it.
    """

    x: Path
    y: Path
    size: Path
    turn: Path
    yaw: Path
    pitch: Path
    roll: Path
    arms: tuple[Path, Path, Path, Path]
    "Left raised, left bent, right raised, right bent."
    sway: Path
    slope: float = 0.0
    bounce_mm: float = 0.0
    beats: int = 40
    "Bounces, a loop; even, for a step takes two."
    blink_s: float = 3.0
    phase: float = 0.0
    sings: float = 0.3
    "Share of the time with an open mouth."
    smiles: bool = False
    face_mm: float = field(default=FACE_MM)

    def pose(self, t: float, width: int, height: int, look: Look) -> Pose:
        loop = self.x.loop_s
        x, size = self.x.at(t), self.size.at(t)
        k = size * height / self.face_mm
        beat = 2 * math.pi * self.beats * t / loop + self.phase
        speed_mm = (self.x.at(t + 0.02) - self.x.at(t - 0.02)) * width / 0.04 / k
        walking = min(abs(speed_mm) / 900, 1.0)
        turn = self.turn.at(t)
        body = turn + 0.9 * math.tanh(speed_mm / 900)
        y = (self.y.at(t) + self.slope * size) * height
        y += k * self.bounce_mm * abs(math.sin(beat / 2)) - k * 18 * walking * abs(math.sin(x * width / k / 330))
        rest = 2 * math.pi * round(loop / self.blink_s) * t / loop + self.phase * 2
        blink = 1 - math.cos(rest)
        lids = "closed" if blink < 0.012 else "half" if blink < 0.03 else "open"
        voice = 0.5 + 0.5 * math.sin(2 * math.pi * round(loop * 1.9) * t / loop + self.phase)
        song = 0.5 + 0.5 * math.sin(2 * math.pi * 4 * t / loop + self.phase * 3)
        mouth = "open" if voice > 0.45 and song < self.sings else "smile" if self.smiles else "rest"
        arm = [p.at(t) for p in self.arms]
        return Pose(
            x_px=x * width, y_px=y, k=k, yaw=turn + self.yaw.at(t) + 0.25 * math.tanh(speed_mm / 900), pitch=self.pitch.at(t),
            roll=self.roll.at(t), body_yaw=body, walk=(x * width / k / 330 * math.pi) if walking > 0.1 else beat / 2,
            stride=max(0.9 * walking, 0.12 if self.bounce_mm else 0.0), left_arm=(arm[0], arm[1]), right_arm=(arm[2], arm[3]),
            sway_mm=self.sway.at(t), lids=lids, mouth=mouth,
        )  # fmt: skip


def floor_slope(look: Look, lift_mm: float) -> float:
    """The `slope` of somebody who stands on the floor, seen by a camera `lift_mm` over an average head."""
    return (FLOOR_MM + lift_mm - FLOOR_MM * look.height) / FACE_MM


def random_motion(rng: np.random.Generator, loop_s: float, x: float, y: float, size: float, lively: float) -> Motion:
    """Wandering about one place; lively 0 stands, 1 dances and turns."""

    def path(value: float, amplitude: float, most_cycles: int) -> Path:
        def wave(part: float) -> tuple[float, int, float]:
            cycles, phase = int(rng.integers(1, most_cycles + 1)), float(rng.uniform(0, 2 * math.pi))
            return float(part * amplitude * rng.uniform(0.3, 1)), cycles, phase

        return Path(loop_s, ((0.0, value),), (wave(1.0), wave(0.5)))

    pick = rng.random()
    turn = 0.0 if pick < 0.7 else float(rng.normal(0, 0.7)) if pick < 0.9 else float(rng.uniform(-math.pi, math.pi))
    wide = float(rng.choice((0.15, 0.5, 1.0)))
    arms = tuple(
        path(float(v), 0.5 * lively, 8)
        for v in (
            rng.choice((0.12, 0.3, 1.2, 2.3)),
            rng.uniform(0.1, 1.4),
            rng.choice((0.12, 0.3, 1.2, 2.3)),
            rng.uniform(0.1, 1.4),
        )
    )
    return Motion(
        x=path(x, 0.12 * lively, 3), y=path(y, 0.01 * lively, 3), size=path(size, 0.12 * size * lively, 2),
        turn=path(turn, 0.3 * lively, 3), yaw=path(float(rng.normal(0, 0.3)), wide, 5), pitch=path(float(rng.normal(0, 0.12)), 0.2, 6),
        roll=path(float(rng.normal(0, 0.12)), 0.15, 5), arms=arms, sway=path(0.0, 60 * lively, 8),  # type: ignore[arg-type]
        bounce_mm=float(rng.uniform(0, 50) * lively), beats=2 * int(loop_s * rng.uniform(0.5, 1.25)), blink_s=float(rng.uniform(1.5, 4)),
        phase=float(rng.uniform(0, 6.28)), sings=float(rng.uniform(0, 0.6)), smiles=bool(rng.random() < 0.4),
    )  # fmt: skip

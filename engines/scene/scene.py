"""A drawn, moving scene with exact truth: `random_scene` for variety, `demo_scene` for the one everybody sees first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engines.scene import body, head, truth
from engines.scene.body import Pose
from engines.scene.looks import Look, random_look
from engines.scene.marker import draw_marker
from engines.scene.motion import Motion, random_motion
from engines.scene.stage import Stage, random_stage
from engines.scene.truth import Box, Face

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Performer:
    """Somebody on the stage; the id is the truth's."""

    id: int
    look: Look
    motion: Motion


@dataclass(frozen=True)
class Scene:
    """Performers on a stage. Everything is a pure function of the time: the same scene gives the same pixels."""

    width: int
    height: int
    stage: Stage
    performers: tuple[Performer, ...]
    noise: float = 0.0
    "Sigma of the sensor's noise, grey levels."
    noise_seed: int = 0

    @property
    def loop_s(self) -> float:
        """After this time everything repeats."""
        return self.stage.loop_s

    def state(self, t: float) -> list[tuple[int, Look, Pose]]:
        """(id, look, pose) of every performer at time t in seconds, farthest first."""
        cast = [(p.id, p.look, p.motion.pose(t, self.width, self.height, p.look)) for p in self.performers]
        return sorted(cast, key=lambda one: one[2].k)

    def truth(self, t: float) -> list[Face]:
        """The faces at time t, without drawing anything."""
        return truth.faces(self.state(t), self.width, self.height)

    def people(self, t: float) -> dict[int, Box]:
        """The body boxes at time t by id, also of those who turn their back."""
        return truth.people(self.state(t), self.width, self.height)

    def picture(self, t: float) -> np.ndarray:
        """(height, width, 3) uint8 BGR at time t."""
        frame, light = self.stage.background(t), self.stage.light(t)
        for _, look, pose in self.state(t):
            box = truth.body_box(look, pose)
            if truth.cut(box, self.width, self.height) is None:
                continue
            body.draw(frame, look, pose, light)
            _draw_head(frame, look, pose, light)
        if self.noise:
            rng = np.random.default_rng((self.noise_seed, round(t % self.loop_s * 90000)))
            grain = rng.standard_normal(frame.shape, np.float32) * np.float32(self.noise)
            frame = np.clip(frame + grain + 0.5, 0, 255).astype(np.uint8)
        return frame

    def planes(self, t: float, number: int | None = None) -> Planes:
        """(Y, U, V) uint8, limited range BT.601, at time t; a `number` is drawn in as a marker."""
        planes = to_planes(self.picture(t))
        if number is not None:
            draw_marker(planes, number)
        return planes

    def render(self, t: float, number: int | None = None) -> tuple[Planes, list[Face]]:
        """The planes and the truth of time t."""
        return self.planes(t, number), self.truth(t)


def _draw_head(frame: np.ndarray, look: Look, pose: Pose, light: head.Light) -> None:
    h, w = frame.shape[:2]
    colour, alpha, left, top = head.render(
        look, pose.angles, pose.k, (pose.x_px, pose.y_px), light, pose.lids, pose.mouth
    )
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + colour.shape[1], w), min(top + colour.shape[0], h)
    if x0 < x1 and y0 < y1:
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        body.blend(frame, (slice(y0, y1), slice(x0, x1)), colour[part], np.ascontiguousarray(alpha[part]))


def to_planes(bgr: np.ndarray) -> Planes:
    """BGR (H, W, 3) to I420 planes; H and W even."""
    h, w = bgr.shape[:2]
    if h % 2 or w % 2:
        raise ValueError(f"a scene needs an even width and height, not {w}x{h}")
    yuv = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    chroma = yuv[h:].reshape(2, h // 2, w // 2)
    return yuv[:h].copy(), chroma[0].copy(), chroma[1].copy()


def random_scene(seed: int | np.random.Generator, width: int = 640, height: int = 640, performers: int | None = None,
                 face_px: tuple[float, float] = (8, 300), loop_s: float = 20.0) -> Scene:  # fmt: skip
    """Any scene: 1 to 12 performers, faces of `face_px` (smallest, largest) pixels in height, any background and light."""
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    most = min(face_px[1], 0.7 * height)
    least = min(face_px[0], most)
    count = performers if performers is not None else int(min(12, 1 + rng.geometric(0.3)))
    typical = math.exp(rng.uniform(math.log(least), math.log(most)))
    cast: list[Performer] = []
    taken: list[tuple[float, float, float]] = []
    for i in range(count):
        size = float(np.clip(typical * rng.lognormal(0, 0.45), least, most))
        for _ in range(12):  # prefer a free place: crowds overlap, but seldom completely
            x, y = float(rng.uniform(0.02, 0.98)) * width, float(rng.uniform(0.08, 0.85)) * height
            if all(math.hypot(x - a, y - b) > 0.7 * (size + s) for a, b, s in taken):
                break
        taken.append((x, y, size))
        lively = float(rng.choice((0.2, 0.6, 1.0)))
        cast.append(
            Performer(i + 1, random_look(rng), random_motion(rng, loop_s, x / width, y / height, size / height, lively))
        )
    noise = float(rng.uniform(0, 9)) if rng.random() < 0.4 else 0.0
    return Scene(
        width, height, random_stage(rng, width, height, loop_s), tuple(cast), noise, int(rng.integers(1 << 31))
    )

"""A known picture, run through the network now and then: a detector that does not find its face is not to be trusted."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from engines.detect.detector import Detector
from engines.frame import Frame
from engines.scene.looks import random_look
from engines.scene.motion import Motion, Path
from engines.scene.scene import Performer, Scene
from engines.scene.stage import Stage
from engines.track.associate import overlaps

WIDTH: Final = 640
HEIGHT: Final = 480
LEAST_OVERLAP: Final = 0.5
LEAST_SCORE: Final = 0.5
WALL_BGR: Final = (96, 104, 110)


def finds_known_face(detector: Detector) -> bool:
    """Whether `detector` finds the canary's face: one box with a sure score that overlaps the truth by half."""
    frame, truth = known_face()
    found = detector.detect([frame])[0]
    if not found.belong_to(frame):
        return False
    near = overlaps(found.boxes.astype(float), truth[None])[:, 0] >= LEAST_OVERLAP
    return bool((near & (found.scores >= LEAST_SCORE)).any())


@cache
def known_face() -> tuple[Frame, np.ndarray]:
    """A drawn face before a plain wall, and its box (4,) xyxy px."""

    def still(value: float) -> Path:
        return Path(1.0, ((0.0, value),))

    nothing = still(0.0)
    motion = Motion(
        still(0.5), still(0.4), still(0.3), nothing, nothing, nothing, nothing, (nothing,) * 4, nothing, phase=1.0
    )
    look = random_look(np.random.default_rng(1), masked=False)
    wall = np.full((HEIGHT, WIDTH, 3), WALL_BGR, np.uint8)
    stage = Stage(wall, (), (), 1.0, (0.75, 0.75, 0.75), (0.4, 0.4, 0.4), (0.0, 0.0, 0.0), 0.0, 0.0)
    planes, faces = Scene(WIDTH, HEIGHT, stage, (Performer(1, look, motion),)).render(0.0)
    return Frame(*planes, 0, 0), np.array(faces[0].xyxy_px)

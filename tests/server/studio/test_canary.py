"""The canary tells a detector that sees from one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from engines.frame import Detections, Frame
from server.studio.canary import finds_known_face, known_face


class Says:
    """A detector that answers every frame alike."""

    def __init__(self, boxes: list, score: float = 0.9, complete: bool = True) -> None:
        self.boxes, self.score, self.complete = np.array(boxes, np.float32).reshape(-1, 4), score, complete

    def detect(self, frames: list[Frame]) -> list[Detections]:
        n = len(self.boxes)
        return [
            Detections(
                self.boxes, np.full(n, self.score, np.float32), np.zeros(n, np.int32),
                np.zeros((n, 5, 2), np.float32), frame.rtp_time, frame.width, frame.height, self.complete,
            )
            for frame in frames
        ]  # fmt: skip


TRUTH = known_face()[1]
NEAR = TRUTH + np.array([9, -8, 7, 6])
ASIDE = TRUTH + 80


def test_the_right_box_among_others_passes():
    assert finds_known_face(Says([ASIDE, NEAR]))


@pytest.mark.parametrize(
    "detector",
    [Says([]), Says([ASIDE]), Says([NEAR], score=0.3), Says([NEAR], complete=False), Says([[0, 0, 640, 480]])],
    ids=["nothing", "elsewhere", "unsure", "not complete", "everything"],
)
def test_anything_else_does_not(detector):
    assert not finds_known_face(detector)

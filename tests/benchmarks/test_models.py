"""`fancam bench models`: the counts and the picture it makes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks.models import STAGES, detect_timed, parameters
from benchmarks.pictures import LEAST_SCORE, demo_frames
from benchmarks.scatter import Dot, save_scatter
from engines.detect.detector import open_detector
from engines.models import default_face_model


def test_what_is_timed_is_what_the_detector_finds() -> None:
    _, frame = next(demo_frames())
    detector = open_detector(long_side=320)
    found, times_ms = detect_timed(detector, frame)
    (expected,) = open_detector(long_side=320, conf=LEAST_SCORE).detect([frame])
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.landmarks, expected.landmarks)
    assert len(times_ms) == len(STAGES)
    assert min(times_ms) > 0


def test_parameters_are_those_of_the_card_in_either_precision() -> None:
    counts = {parameters(default_face_model(precision)) for precision in ("f32", "int8")}
    assert len(counts) == 1
    assert round(counts.pop() / 1e6, 2) == 0.95


def test_every_dot_and_name_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "dots.png"
    save_scatter(path, [Dot("a", 2, 0.8)], "ms", "AP")
    one = cv2.imread(str(path))
    save_scatter(path, [Dot("a", 2, 0.8), Dot("a", 9, 0.9), Dot("b", 9, 0.84)], "ms", "AP")
    three = cv2.imread(str(path))
    assert one.shape == three.shape

    def coloured(picture: np.ndarray) -> int:
        return int((picture.max(2).astype(int) - picture.min(2) > 60).sum())

    assert coloured(three) > 2.5 * coloured(one) > 0

"""YOLOv8, 9, 11, 12: no anchors, no objectness; the export decodes its places. And the variant with five landmarks.

Source: github.com/ultralytics/ultralytics, nn/modules/head.py (Detect, Pose), as `yolo export format=onnx` writes them; a pose network
of five points is one of faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from engines.detect.families.family import (
    Family,
    Found,
    Size,
    best_class,
    cells,
    corners,
    no_landmarks,
    one_class,
    shapes,
)
from engines.detect.families.names import detects, may_have
from engines.frame import F32
from engines.runtimes.kernels.ends import Form
from engines.runtimes.signature import Signature

LEVELS: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
IOU: Final = 0.45
POINTS: Final = 5


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, 4 + classes, places): centre x, y, width, height in px, a score for each class."""
    columns = outputs[0][0]
    kept = np.flatnonzero(columns[4:].max(0) > conf)
    rows = columns[:, kept].T
    classes, scores = best_class(rows[:, 4:])
    return Found(corners(rows[:, :4]), scores, classes, no_landmarks(len(rows)))


def decode_face(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, 5 + 5 · 2 or 3, places): box and score as above, then x, y in px and perhaps how visible each point is."""
    columns = outputs[0][0]
    rows = columns[:, columns[4] > conf].T
    landmarks = rows[:, 5:].reshape(len(rows), POINTS, (len(columns) - 5) // POINTS)[..., :2].copy()
    return Found(corners(rows[:, :4]), rows[:, 4].copy(), one_class(len(rows)), landmarks)


def _recognise(signature: Signature, strides: Sequence[int]) -> bool:
    fits = shapes(signature) == [(1, 4 + _classes(signature), cells(signature.size, strides))]
    return fits and detects(signature) and may_have(signature, _classes(signature))


def _recognise_face(signature: Signature, strides: Sequence[int]) -> bool:
    places = cells(signature.size, strides)
    fits = shapes(signature) in [[(1, 5 + POINTS * values, places)] for values in (2, 3)]
    return fits and signature.metadata.get("task", "pose") == "pose" and may_have(signature, 1)


def _classes(signature: Signature) -> int:
    return (signature.outputs[0].shape[1] or 0) - 4 if len(signature.outputs[0].shape) == 3 else 0


def _families(strides: tuple[int, ...]) -> tuple[Family, Family]:
    places = f"cells at strides {', '.join(map(str, strides))}"
    return (
        Family(
            "yolov8",
            f"one output (1, 4 + classes, {places})",
            partial(_recognise, strides=strides),
            decode,
            _classes,
            also=("yolov9", "yolo11", "yolo12"),
            iou=IOU,
            stride=strides[-1],
            form=Form("columns"),
        ),
        Family(
            "yolov8-face",
            f"one output (1, 15 or 20, {places})",
            partial(_recognise_face, strides=strides),
            decode_face,
            classes=lambda signature: 1,
            names=("face",),
            also=("yolo11-face",),
            iou=IOU,
            stride=strides[-1],
        ),
    )


FAMILIES: Final = tuple(family for strides in LEVELS for family in _families(strides))

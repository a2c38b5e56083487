"""YOLO5Face: YOLOv5's head with ten landmark values between objectness and class.

Source: Qi et al., arXiv 2105.12931; github.com/deepcam-cn/yolov5-face, models/yolo.py and export.py, which names its outputs stride_8,
stride_16, stride_32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import (
    Family,
    Found,
    Size,
    cells,
    corners,
    logit,
    one_class,
    shapes,
    sigmoid,
    together,
)
from engines.detect.families.names import may_have
from engines.detect.families.yolov5 import P5, Anchors, has_maps
from engines.frame import F32
from engines.runtimes.signature import Signature

VALUES: Final = 16
ANCHORS: Final[Anchors] = (
    ((4, 5), (8, 10), (13, 16)),
    ((23, 29), (43, 55), (73, 105)),
    ((146, 217), (231, 300), (335, 433)),
)


def decode_rows(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, places, 16): centre x, y, width, height in px, objectness, landmarks in px, score of the class."""
    rows = outputs[0][0]
    scores = rows[:, 4] * rows[:, 15]
    kept = scores > conf
    rows = rows[kept]
    return Found(corners(rows[:, :4]), scores[kept], one_class(len(rows)), rows[:, 5:15].reshape(-1, 5, 2).copy())


def decode_maps(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """Per stride an output (1, 3, rows, columns, 16) before the sigmoid: boxes as YOLOv5's, landmarks = value · anchor + cell ·
    stride."""
    found = []
    for output, stride, level in zip(outputs, P5, ANCHORS, strict=True):
        anchor, row, column = np.nonzero(output[0, ..., 4] > logit(conf))
        values = output[0, anchor, row, column]
        sides = np.array(level, np.float32)[anchor]
        cell = np.stack((column, row), 1).astype(np.float32)
        share = sigmoid(values)
        centre = (2 * share[:, :2] - 0.5 + cell) * stride
        boxes = corners(np.concatenate((centre, (2 * share[:, 2:4]) ** 2 * sides), 1))
        landmarks = values[:, 5:15].reshape(-1, 5, 2) * sides[:, None] + cell[:, None] * stride
        scores = share[:, 4] * share[:, 15]
        found.append(Found(boxes, scores, one_class(len(scores)), landmarks).at(scores > conf))
    return together(found)


def _recognise_rows(signature: Signature) -> bool:
    return shapes(signature) == [(1, 3 * cells(signature.size, P5), VALUES)] and may_have(signature, 1)


def _recognise_maps(signature: Signature) -> bool:
    return has_maps(signature, P5, VALUES) and may_have(signature, 1)


FAMILIES: Final = (
    Family(
        "yolov5-face",
        "one output (1, 3 · cells at strides 8, 16, 32, 16)",
        _recognise_rows,
        decode_rows,
        classes=lambda signature: 1,
        names=("face",),
    ),
    Family(
        "yolov5-face",
        "an output (1, 3, rows, columns, 16) at each of the strides 8, 16, 32",
        _recognise_maps,
        decode_maps,
        classes=lambda signature: 1,
        names=("face",),
    ),
)

"""YOLOX: one place a cell, objectness times class, decoded here or in the graph (as YOLOv6's are).

Source: Ge et al., arXiv 2107.08430; github.com/Megvii-BaseDetection/YOLOX, tools/export_onnx.py. The two forms have the same
shape, so which one it is must be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import (
    Family,
    Found,
    Look,
    Size,
    best_class,
    cells,
    corners,
    grid,
    no_landmarks,
    shapes,
)
from engines.detect.families.yolov5 import P5, classes, decode_rows, may_be
from engines.frame import F32
from engines.runtimes.signature import Signature

LOOK: Final = Look("bgr", std=(1, 1, 1))
IOU: Final = 0.45


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, places, 5 + classes): centre = (xy + cell) · stride, size = exp(wh) · stride, objectness, a score for each class."""
    rows = outputs[0][0]
    kept = np.flatnonzero(rows[:, 4] > conf)
    rows, places = rows[kept], grid(size, P5)[kept]
    classes, scores = best_class(rows[:, 5:])
    scores *= rows[:, 4]
    stride = places[:, 2:]
    with np.errstate(over="ignore"):  # what overflows is no box, and is left out as such
        centred = np.concatenate(((rows[:, :2] + places[:, :2]) * stride, np.exp(rows[:, 2:4]) * stride), 1)
    return Found(corners(centred), scores, classes, no_landmarks(len(scores))).at(scores > conf)


def _recognise(signature: Signature) -> bool:
    return shapes(signature) == [(1, cells(signature.size, P5), 5 + classes(signature))] and may_be(signature)


FAMILIES: Final = (
    Family(
        "yolox",
        "one output (1, cells at strides 8, 16, 32, 5 + classes)",
        _recognise,
        decode,
        classes,
        look=LOOK,
        iou=IOU,
    ),
    Family(
        "yolox-decoded",
        "one output (1, cells at strides 8, 16, 32, 5 + classes)",
        _recognise,
        decode_rows,
        classes,
        look=LOOK,
        iou=IOU,
    ),
    Family(
        "yolov6",
        "one output (1, cells at strides 8, 16, 32, 5 + classes)",
        _recognise,
        decode_rows,
        classes,
        iou=IOU,
    ),
)

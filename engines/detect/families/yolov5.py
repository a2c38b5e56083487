"""YOLOv5: three anchors in each cell, objectness times class. Also YOLOv7's decoded form, which is the same.

Source: github.com/ultralytics/yolov5, models/yolo.py (Detect) and models/hub/anchors.yaml; the raw form is an export before Detect's
decoding, one output a level.
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
    logit,
    no_landmarks,
    shapes,
    sigmoid,
    together,
)
from engines.detect.families.names import detects, may_have
from engines.frame import F32
from engines.runtimes.kernels.ends import Form
from engines.runtimes.signature import Signature

P5: Final = (8, 16, 32)
P6: Final = (8, 16, 32, 64)
Anchors = tuple[tuple[tuple[int, int], ...], ...]
"""Per level the anchors' widths and heights in px."""
ANCHORS_P5: Final[Anchors] = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
ANCHORS_P6: Final[Anchors] = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
IOU: Final = 0.45


def decode_rows(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, places, 5 + classes): centre x, y, width, height in px, objectness, a score for each class."""
    rows = outputs[0][0]
    rows = rows[rows[:, 4] > conf]
    classes, scores = best_class(rows[:, 5:])
    scores *= rows[:, 4]
    kept = scores > conf
    return Found(corners(rows[kept, :4]), scores[kept], classes[kept], no_landmarks(int(kept.sum())))


def decode_maps(outputs: Sequence[F32], conf: float, size: Size, *, strides: Sequence[int], anchors: Anchors) -> Found:
    """Per stride an output (1, 3, rows, columns, 5 + classes), all before the sigmoid: centre = (2σ − .5 + cell) · stride, size =
    (2σ)² · anchor."""
    found = []
    for output, stride, level in zip(outputs, strides, anchors, strict=True):
        anchor, row, column = np.nonzero(output[0, ..., 4] > logit(conf))
        values = sigmoid(output[0, anchor, row, column])
        classes, scores = best_class(values[:, 5:])
        scores *= values[:, 4]
        centre = (2 * values[:, :2] - 0.5 + np.stack((column, row), 1)) * stride
        sides = (2 * values[:, 2:4]) ** 2 * np.array(level)[anchor]
        boxes = corners(np.concatenate((centre, sides), 1).astype(np.float32))
        found.append(Found(boxes, scores, classes, no_landmarks(len(scores))).at(scores > conf))
    return together(found)


def has_maps(signature: Signature, strides: Sequence[int], values: int | None = None) -> bool:
    """Whether there is one output (1, 3, rows, columns, `values`) for each stride."""
    height, width = signature.size
    values = values or 5 + classes(signature)
    return shapes(signature) == [(1, 3, height // stride, width // stride, values) for stride in strides]


def _recognise_rows(signature: Signature, strides: Sequence[int]) -> bool:
    rows = 3 * cells(signature.size, strides)
    return shapes(signature) == [(1, rows, 5 + classes(signature))] and may_be(signature)


def _recognise_maps(signature: Signature, strides: Sequence[int]) -> bool:
    # Maps of these names are those of faces: see yolov5_face.py.
    named_as_face = signature.outputs[0].name.startswith("stride_")
    return has_maps(signature, strides) and may_be(signature) and not named_as_face


def may_be(signature: Signature) -> bool:
    return detects(signature) and may_have(signature, classes(signature))


def classes(signature: Signature) -> int:
    *_, values = 0, *signature.outputs[0].shape
    return (values or 0) - 5


def rows_family(strides: tuple[int, ...]) -> Family:
    return Family(
        "yolov5",
        f"one output (1, 3 · cells at strides {', '.join(map(str, strides))}, 5 + classes)",
        partial(_recognise_rows, strides=strides),
        decode_rows,
        classes,
        also=("yolov7",),
        iou=IOU,
        stride=strides[-1],
        form=Form("rows"),
    )


def maps_family(name: str, strides: tuple[int, ...], anchors: Anchors, also: tuple[str, ...] = ()) -> Family:
    return Family(
        name,
        f"an output (1, 3, rows, columns, 5 + classes) at each of the strides {', '.join(map(str, strides))}",
        partial(_recognise_maps, strides=strides),
        partial(decode_maps, strides=strides, anchors=anchors),
        classes,
        also=also,
        iou=IOU,
        stride=strides[-1],
        form=Form("maps", strides, anchors),
    )


FAMILIES: Final = (
    rows_family(P5),
    rows_family(P6),
    maps_family("yolov5", P5, ANCHORS_P5),
    maps_family("yolov5", P6, ANCHORS_P6, also=("yolov7",)),
)

"""YOLOv10 and 26, and exports with their suppression inside: the network itself says one box a thing.

Source: Wang et al., arXiv 2405.14458; github.com/ultralytics/ultralytics, `yolo export format=onnx` with `nms` false (end to end) or true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import Family, Found, Size, no_landmarks, on_grid
from engines.detect.families.names import detects, names_in
from engines.frame import F32
from engines.runtimes.signature import Signature

VALUES: Final = 6


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, boxes, 6): x0, y0, x1, y1 in px, score, class."""
    rows = outputs[0][0]
    rows = rows[rows[:, 4] > conf]
    return Found(rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int32), no_landmarks(len(rows)))


def lists_boxes(signature: Signature) -> bool:
    """Whether there is one output (1, boxes, 6) that is not a row for every place of a grid."""
    if len(signature.outputs) != 1 or len(signature.outputs[0].shape) != 3:
        return False
    _, boxes, values = signature.outputs[0].shape
    return values == VALUES and not on_grid(signature, boxes) and detects(signature)


def _recognise(signature: Signature) -> bool:
    return lists_boxes(signature) and signature.metadata.get("head") != "RTDETRDecoder"


FAMILY: Final = Family(
    "yolov10",
    "one output (1, boxes, 6)",
    _recognise,
    decode,
    # The boxes say which class they are, not how many there are.
    classes=lambda signature: len(names_in(signature.metadata)),
    also=("yolo26",),
    iou=None,
)

"""YuNet: one place a cell, class times objectness, five landmarks.

Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector" (2023); OpenCV, modules/objdetect/src/face_detect.cpp.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import Family, Found, Look, Size, cells, corners, grid, one_class, shapes, together
from engines.detect.families.names import may_have
from engines.frame import F32
from engines.runtimes.signature import Signature

STRIDES: Final = (8, 16, 32)
KINDS: Final = (1, 1, 4, 10)


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """Per stride class (1, places, 1), objectness (1, places, 1), box (1, places, 4) and landmarks (1, places, 10): score = √(class ·
    objectness), centre = (cell + value) · stride, size = exp(value) · stride, landmarks = (cell + value) · stride."""
    found = []
    for stride in STRIDES:
        places = grid(size, (stride,))
        level = sorted(
            (output[0] for output in outputs if output.shape[1] == len(places)), key=lambda rows: rows.shape[1]
        )
        one, other, boxes, points = level
        # Both are clamped, as OpenCV does.
        scores = np.sqrt(np.clip(one[:, 0], 0, 1) * np.clip(other[:, 0], 0, 1))
        kept = np.flatnonzero(scores > conf)
        cell, values = places[kept, :2], boxes[kept]
        with np.errstate(over="ignore"):  # what overflows is no box, and is left out as such
            centred = np.concatenate((cell + values[:, :2], np.exp(values[:, 2:])), 1) * stride
        landmarks = (cell[:, None] + points[kept].reshape(-1, 5, 2)) * stride
        found.append(Found(corners(centred), scores[kept], one_class(len(kept)), landmarks))
    return together(found)


def _recognise(signature: Signature) -> bool:
    rows = [cells(signature.size, (stride,)) for stride in STRIDES]
    expected = Counter((1, count, values) for count in rows for values in KINDS)
    return Counter(shapes(signature)) == expected and may_have(signature, 1)


FAMILY: Final = Family(
    "yunet",
    "(1, cells, 1 and 1 and 4 and 10) at each of the strides 8, 16 and 32",
    _recognise,
    decode,
    classes=lambda signature: 1,
    look=Look("bgr", std=(1, 1, 1), pad=0),
    names=("face",),
    iou=0.3,
)

"""Ultra-Light-Fast-Generic-Face-Detector: an SSD whose graph decodes its priors; with masked faces as a second class.

Source: github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, vision/ssd/config/fd_config.py and masked_face/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import Family, Found, Look, Size, best_class, cells, no_landmarks, shapes
from engines.detect.families.names import may_have
from engines.frame import F32
from engines.runtimes.signature import Signature

ANCHORS: Final = {8: 3, 16: 2, 32: 2, 64: 3}


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """(1, places, 1 + classes) scores, first that of nothing, and (1, places, 4) x0, y0, x1, y1 of 0–1, in that order."""
    scores, boxes = (output[0] for output in outputs)
    kept = np.flatnonzero(scores[:, 1:].max(1) > conf)
    classes, best = best_class(scores[kept, 1:])
    height, width = size
    return Found(boxes[kept] * np.array((width, height) * 2, np.float32), best, classes, no_landmarks(len(kept)))


def _recognise(signature: Signature) -> bool:
    places = sum(anchors * cells(signature.size, (stride,)) for stride, anchors in ANCHORS.items())
    expected = [[(1, places, 1 + count), (1, places, 4)] for count in (1, 2)]
    return shapes(signature) in expected and may_have(signature, _classes(signature))


def _classes(signature: Signature) -> int:
    return (signature.outputs[0].shape[2] or 0) - 1


FAMILY: Final = Family(
    "ultralight",
    "(1, 3, 2, 2 and 3 boxes a cell at strides 8, 16, 32 and 64, 2 or 3) and (1, as many, 4)",
    _recognise,
    decode,
    _classes,
    look=Look("rgb", mean=(127, 127, 127), std=(128, 128, 128), stretched=True),
    names=("face", "masked face"),
    iou=0.3,
)

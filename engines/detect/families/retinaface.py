"""SSD with priors, as RetinaFace: boxes and landmarks relative to two squares in each cell.

Source: Deng et al., arXiv 1905.00641; github.com/biubug6/Pytorch_Retinaface, layers/functions/prior_box.py and
utils/box_utils.py; scores are through the softmax, as its convert_to_onnx.py writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from engines.detect.families.family import Family, Found, Look, Size, cells, corners, grid, one_class, shapes
from engines.detect.families.names import may_have
from engines.frame import F32
from engines.runtimes.signature import Signature

STRIDES: Final = (8, 16, 32)
SIDES_PX: Final = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
VARIANCE_PLACE, VARIANCE_SIZE = 0.1, 0.2


@lru_cache(maxsize=16)
def priors(size: Size) -> F32:
    """(places, 3): centre x, y and side of each prior, px."""
    places = grid(size, STRIDES, 2)
    sides = [SIDES_PX[int(stride)][number % 2] for number, stride in enumerate(places[:, 2])]
    squares = np.concatenate(((places[:, :2] + 0.5) * places[:, 2:], np.array(sides, np.float32)[:, None]), 1)
    squares.flags.writeable = False
    return squares


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """(1, places, 4) boxes, (1, places, 2) scores of no face and face, (1, places, 10) landmarks, in any order: centre = prior + .1 ·
    value · side, size = exp(.2 · value) · side."""
    scores, boxes, landmarks = (output[0] for output in sorted(outputs, key=lambda output: output.shape[2]))
    kept = np.flatnonzero(scores[:, 1] > conf)
    squares = priors(size)[kept]
    centre, side = squares[:, :2], squares[:, 2:]
    values = boxes[kept]
    with np.errstate(over="ignore"):  # what overflows is no box, and is left out as such
        sides = np.exp(VARIANCE_SIZE * values[:, 2:]) * side
    centred = np.concatenate((centre + VARIANCE_PLACE * values[:, :2] * side, sides), 1)
    points = centre[:, None] + VARIANCE_PLACE * landmarks[kept].reshape(-1, 5, 2) * side[:, None]
    return Found(corners(centred), scores[kept, 1], one_class(len(kept)), points)


def _recognise(signature: Signature) -> bool:
    places = 2 * cells(signature.size, STRIDES)
    expected = {(1, places, values) for values in (2, 4, 10)}
    return len(signature.outputs) == 3 and set(shapes(signature)) == expected and may_have(signature, 1)


FAMILY: Final = Family(
    "retinaface",
    "three outputs (1, 2 · cells at strides 8, 16, 32, 2 and 4 and 10)",
    _recognise,
    decode,
    classes=lambda signature: 1,
    look=Look("bgr", mean=(104, 117, 123), std=(1, 1, 1)),
    names=("face",),
    iou=0.4,
)

"""SCRFD: distances from two anchors at each cell's corner, with or without landmarks.

Source: Guo et al., arXiv 2105.04714; github.com/deepinsight/insightface, python-package, model_zoo/scrfd.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from engines.detect.families.family import (
    Family,
    Found,
    Look,
    Size,
    cells,
    grid,
    no_landmarks,
    one_class,
    shapes,
    together,
)
from engines.detect.families.names import may_have
from engines.frame import F32
from engines.runtimes.signature import Signature

STRIDES: Final = (8, 16, 32)
ANCHORS: Final = 2


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """Per stride scores (places, 1), distances (places, 4) and perhaps landmarks (places, 10), in any order: left, top, right, bottom and
    offsets lie value · stride from the cell's corner."""
    found = []
    for stride in STRIDES:
        places = grid(size, (stride,), ANCHORS)
        values = {
            output.shape[-1]: output.reshape(-1, output.shape[-1]) for output in outputs if _rows(output) == len(places)
        }
        scores = values[1][:, 0]
        kept = np.flatnonzero(scores > conf)
        corner = places[kept, :2] * stride
        reach = values[4][kept] * stride
        boxes = np.concatenate((corner - reach[:, :2], corner + reach[:, 2:]), 1)
        points = no_landmarks(len(kept))
        if 10 in values:
            points = corner[:, None] + values[10][kept].reshape(-1, 5, 2) * stride
        found.append(Found(boxes, scores[kept], one_class(len(kept)), points))
    return together(found)


def _rows(output: F32) -> int:
    return output.size // output.shape[-1]


def _recognise(signature: Signature, kinds: tuple[int, ...]) -> bool:
    rows = [ANCHORS * cells(signature.size, (stride,)) for stride in STRIDES]
    # Some exports keep the batch's axis, some do not.
    came = Counter(shape[1:] if len(shape) == 3 and shape[0] == 1 else shape for shape in shapes(signature))
    return came == Counter((count, values) for count in rows for values in kinds) and may_have(signature, 1)


def _family(kinds: tuple[int, ...], expects: str) -> Family:
    return Family(
        "scrfd",
        f"(1, 2 · cells, {expects}) at each of the strides 8, 16 and 32",
        partial(_recognise, kinds=kinds),
        decode,
        classes=lambda signature: 1,
        look=Look("rgb", mean=(127.5, 127.5, 127.5), std=(128, 128, 128), pad=0),
        names=("face",),
        iou=0.4,
    )


FAMILIES: Final = (_family((1, 4, 10), "1 and 4 and 10"), _family((1, 4), "1 and 4"))

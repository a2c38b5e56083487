"""Our face network's outputs: three levels of 15 channels, a score logit, four distances, ten landmark values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.detect.families.family import Family, Found, Size, together
from engines.frame import F32
from engines.runtimes.signature import Signature

STRIDES: Final = (8, 16, 32)
CHANNELS: Final = 15
LOWEST, HIGHEST = -4.0, 5.0


def recognise(signature: Signature) -> bool:
    height, width = signature.size
    maps = [(1, CHANNELS, height // stride, width // stride) for stride in STRIDES]
    return signature.takes_planes and [port.shape for port in signature.outputs] == maps


def decode(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """`outputs`: per stride (1, 15, rows, columns). A place's centre is (column + .5, row + .5) · stride; left, top, right and
    bottom lie exp(clamp(v)) · stride away; landmarks are offsets of v · stride.
    """
    least_logit = math.log(conf / (1 - conf))
    found = []
    for stride, output in zip(STRIDES, outputs, strict=True):
        columns = output.shape[3]
        flat = output.reshape(CHANNELS, -1)
        places = np.flatnonzero(flat[0] > least_logit)
        if len(places):
            found.append(_decode_places(flat[:, places], places % columns, places // columns, stride))
    return together(found)


def _decode_places(values: F32, columns: np.ndarray, rows: np.ndarray, stride: int) -> Found:
    """`values` (15, n) of n places of one level."""
    centre = np.stack((columns, rows), 1).astype(np.float32)
    centre += 0.5
    centre *= stride
    reach = np.exp(np.clip(values[1:5], LOWEST, HIGHEST)).T * np.float32(stride)
    boxes = np.concatenate((centre - reach[:, :2], centre + reach[:, 2:]), 1)
    scores = 1 / (1 + np.exp(-values[0]))
    landmarks = values[5:].T.reshape(-1, 5, 2) * np.float32(stride) + centre[:, None]
    return Found(boxes, scores, np.zeros(len(scores), np.int32), landmarks)


FAMILY: Final = Family(
    "fancam",
    "the inputs y, uv and three maps (1, 15, rows, columns) at strides 8, 16 and 32",
    recognise,
    decode,
    classes=lambda signature: 1,
    look=None,
    names=("face",),
)

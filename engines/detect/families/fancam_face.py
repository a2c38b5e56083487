"""Our face network's outputs: three levels of 15 channels, a score logit, four distances, ten landmark values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from engines.frame import F32

STRIDES: Final = (8, 16, 32)
CHANNELS: Final = 15
LOWEST, HIGHEST = -4.0, 5.0


def decode(outputs: Sequence[F32], conf: float) -> tuple[F32, F32, F32]:
    """Boxes (n, 4) xyxy, scores (n,) and landmarks (n, 5, 2) of the places whose score exceeds `conf`, in network px.

    `outputs`: per stride (15, rows, columns). A place's centre is (column + .5, row + .5) · stride; left, top, right and
    bottom lie exp(clamp(v)) · stride away; landmarks are offsets of v · stride.
    """
    least_logit = math.log(conf / (1 - conf))
    found = []
    for stride, output in zip(STRIDES, outputs, strict=True):
        columns = output.shape[2]
        flat = output.reshape(CHANNELS, -1)
        places = np.flatnonzero(flat[0] > least_logit)
        if len(places):
            found.append(_decode_places(flat[:, places], places % columns, places // columns, stride))
    if not found:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    boxes, scores, landmarks = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return boxes, scores, landmarks


def _decode_places(values: F32, columns: np.ndarray, rows: np.ndarray, stride: int) -> tuple[F32, F32, F32]:
    """`values` (15, n) of n places of one level."""
    centre = np.stack((columns, rows), 1).astype(np.float32)
    centre += 0.5
    centre *= stride
    reach = np.exp(np.clip(values[1:5], LOWEST, HIGHEST)).T * np.float32(stride)
    boxes = np.concatenate((centre - reach[:, :2], centre + reach[:, 2:]), 1)
    scores = 1 / (1 + np.exp(-values[0]))
    landmarks = values[5:].T.reshape(-1, 5, 2) * np.float32(stride) + centre[:, None]
    return boxes, scores, landmarks

"""What a family of networks is: the input it expects, how its outputs are recognised, and how they become boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
from engines.runtimes.kernels.ends import Form
from engines.runtimes.signature import Signature

Size = tuple[int, int]
"""Height and width of the network's picture."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a network wants its picture: (value − `mean`) / `std` of 0–255 in the order of `channels`, `pad` (0–255) around it.

    `stretched`: laid over the whole input without keeping its proportions, as the network was trained.
    """

    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0, 0, 0)
    std: tuple[float, float, float] = (255, 255, 255)
    pad: int = 114
    stretched: bool = False


class Found(NamedTuple):
    """`boxes` (n, 4) float32 xyxy in network px, `scores` (n,) float32, `classes` (n,) int32, `landmarks` (n, 5, 2) float32
    network px, from the picture's left to its right, NaN where the family has none."""

    boxes: F32
    scores: F32
    classes: NDArray[np.int32]
    landmarks: F32

    def at(self, kept: NDArray[Any]) -> Found:
        """Some of it: by indices or a mask."""
        return Found(self.boxes[kept], self.scores[kept], self.classes[kept], self.landmarks[kept])


@dataclass(frozen=True, slots=True)
class Family:
    """One form in which networks say what they found; a family of several forms has a row each.

    `also`: other names for the same form. `expects`: its outputs, in words for a mismatch. `recognise`: whether a network of that
    signature may be one. `decode`: outputs (whole), least score, size of the network's picture → what exceeds the score.
    `classes`: how many a network of that signature tells apart; `names` are theirs, where the file gives none. `iou`: boxes of
    one class that overlap more are one thing; None where the network sees to that itself. `stride`: sides are multiples of it.
    `form`: how a GPU finds boxes in the outputs itself; None where that is left to `decode`.
    """

    name: str
    expects: str
    recognise: Callable[[Signature], bool]
    decode: Callable[[Sequence[F32], float, Size], Found]
    classes: Callable[[Signature], int]
    look: Look | None = Look()
    """None: it takes a frame's planes."""
    names: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    iou: float | None = 0.5
    stride: int = 32
    form: Form | None = None


def no_landmarks(count: int) -> F32:
    return np.full((count, 5, 2), np.nan, np.float32)


def together(parts: Sequence[Found]) -> Found:
    """What was found on several levels."""
    if not parts:
        return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), no_landmarks(0))
    boxes, scores, classes, landmarks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Found(boxes, scores, classes, landmarks)


def shapes(signature: Signature) -> list[tuple[int | None, ...]]:
    """Of the outputs."""
    return [port.shape for port in signature.outputs]


def cells(size: Size, strides: Sequence[int]) -> int:
    """Places of a network that looks at each cell of these strides once; cells at the edge count whole."""
    height, width = size
    return sum(-(-height // stride) * -(-width // stride) for stride in strides)


def on_grid(signature: Signature, count: int | None) -> bool:
    """Whether an output's `count` is that of the cells, or of three anchors in each, of the levels that networks have."""
    levels = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
    return count in {anchors * cells(signature.size, strides) for strides in levels for anchors in (1, 3)}


@lru_cache(maxsize=32)
def grid(size: Size, strides: tuple[int, ...], anchors: int = 1) -> F32:
    """(places, 3): column, row and stride of each place: level by level, row by row, `anchors` in a cell."""
    height, width = size
    levels = []
    for stride in strides:
        rows, columns = np.indices((-(-height // stride), -(-width // stride))).reshape(2, -1)
        level = np.stack((columns, rows, np.full_like(rows, stride)), 1)
        levels.append(np.repeat(level, anchors, axis=0))
    places = np.concatenate(levels).astype(np.float32)
    places.flags.writeable = False
    return places


def corners(centred: F32) -> F32:
    """(n, 4) centre x, centre y, width, height → xyxy."""
    half = centred[:, 2:] / 2
    return np.concatenate((centred[:, :2] - half, centred[:, :2] + half), 1)


def best_class(scores: F32) -> tuple[NDArray[np.int32], F32]:
    """(n, classes) → each row's best class and its score."""
    classes = scores.argmax(1).astype(np.int32)
    return classes, np.take_along_axis(scores, classes[:, None], 1)[:, 0]


def one_class(count: int) -> NDArray[np.int32]:
    return np.zeros(count, np.int32)


def sigmoid(logits: F32) -> F32:
    # exp may overflow to inf, and 1 / inf is the 0 that is meant.
    with np.errstate(over="ignore"):
        return np.reciprocal(1 + np.exp(-logits))


def logit(score: float) -> float:
    """What the sigmoid makes `score` of."""
    return math.log(score / (1 - score))

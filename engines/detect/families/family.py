"""What a family of networks is: the input it expects, how its outputs are recognised, and how they become boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
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
    """One way in which networks say what they found.

    `expects`: its outputs, in words for a mismatch. `recognise`: whether this can decode a network of that signature.
    `decode`: outputs (whole), least score, size of the network's picture → what exceeds the score. `classes`: how many a
    network of that signature tells apart; `names` are theirs, where the file gives none. `iou`: boxes of one class that overlap
    more are one thing; None where the network sees to that itself. `stride`: sides are multiples of it.
    """

    name: str
    expects: str
    recognise: Callable[[Signature], bool]
    decode: Callable[[Sequence[F32], float, Size], Found]
    classes: Callable[[Signature], int]
    look: Look | None = Look()
    """None: it takes a frame's planes."""
    names: tuple[str, ...] = ()
    iou: float | None = 0.5
    stride: int = 32


def no_landmarks(count: int) -> F32:
    return np.full((count, 5, 2), np.nan, np.float32)


def together(parts: Sequence[Found]) -> Found:
    """What was found on several levels."""
    if not parts:
        return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), no_landmarks(0))
    boxes, scores, classes, landmarks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Found(boxes, scores, classes, landmarks)

"""Non-maximum suppression: of boxes on one thing, the best stays."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.frame import F32

IOU: Final = 0.5


def suppress(boxes: F32, scores: F32, iou: float = IOU, classes: NDArray[np.int32] | None = None) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first; `boxes` (n, 4) xyxy, `scores` (n,). With `classes` (n,) a box is suppressed by
    boxes of its own class alone."""
    if not len(boxes):
        return np.zeros(0, np.intp)
    sized = boxes.copy()
    sized[:, 2:] -= sized[:, :2]
    if classes is not None and (classes != classes[0]).any():
        # Each class is moved to a place of its own, where it meets no other.
        sized = sized.astype(np.float64)
        sized[:, :2] += classes[:, None] * (1.0 + boxes.max() - boxes.min())
    # Lists pass the binding three times faster than arrays do.
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, iou)
    return np.asarray(kept, np.intp).reshape(-1)

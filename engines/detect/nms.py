"""Non-maximum suppression: of boxes on one thing, the best stays."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.frame import F32

IOU: Final = 0.5


def suppress(boxes: F32, scores: F32, iou: float = IOU) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first; `boxes` (n, 4) xyxy, `scores` (n,)."""
    if not len(boxes):
        return np.zeros(0, np.intp)
    sized = boxes.copy()
    sized[:, 2:] -= sized[:, :2]
    # Lists pass the binding three times faster than arrays do.
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, iou)
    return np.asarray(kept, np.intp).reshape(-1)

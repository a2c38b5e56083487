"""Out of focus: what a fast lens leaves of the things behind a face, and of faces that are behind themselves."""

import cv2
import numpy as np

RADIUS_MIN_PX, RADIUS_MAX_SHARE = 1.5, 0.1
#: A face is still one while its size is this many times the blur's radius; beyond, it counts neither way.
FACE_RADII = 10.0
FOCUS_SHARE, FOCUS_SIZES = 0.5, (1.3, 2.2)
LIGHTS_SHARE, LIGHTS_MAX = 0.4, 6


def defocus(rng: np.random.Generator, picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture [h,w,3] uint8 thrown out of focus, wholly or but for what is about one of its faces, boxes [f,4] xyxy.

    Returns it with a mask [f] of the faces that can still be seen for one.
    """
    height, width = picture.shape[:2]
    most = max(RADIUS_MAX_SHARE * min(height, width), 2 * RADIUS_MIN_PX)
    radius = float(np.exp(rng.uniform(np.log(RADIUS_MIN_PX), np.log(most))))
    blurred = picture.copy()
    if rng.random() < LIGHTS_SHARE:
        _lights(rng, blurred, boxes, radius)
    blurred = _blur(rng, blurred, radius)
    sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], 1))
    clear = sizes >= FACE_RADII * radius
    if len(boxes) and rng.random() < FOCUS_SHARE:
        chosen = int(rng.integers(len(boxes)))
        sharp = _focus(rng, boxes[chosen], (width, height))
        blurred = (sharp * picture + (1 - sharp) * blurred).astype(np.uint8)
        middle = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int).clip(0, [width - 1, height - 1])
        clear |= sharp[middle[:, 1], middle[:, 0], 0] > 0.9
    return blurred, clear


def _blur(rng: np.random.Generator, picture: np.ndarray, radius: float) -> np.ndarray:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(picture, (0, 0), radius / 2)
    side = 2 * int(np.ceil(radius)) + 1
    kernel = np.zeros((side, side), np.float32)
    cv2.circle(kernel, (side * 8, side * 8), round(radius * 16), 1.0, -1, cv2.LINE_AA, 4)
    return cv2.filter2D(picture, -1, kernel / max(kernel.sum(), 1e-6), borderType=cv2.BORDER_REFLECT)


def _lights(rng: np.random.Generator, picture: np.ndarray, boxes: np.ndarray, radius: float) -> None:
    """Lamps, where no face is: out of focus they are bright discs."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(1, LIGHTS_MAX + 1)):
        at = rng.uniform(0, 1, 2) * [width, height]
        if ((boxes[:, :2] < at + 2 * radius) & (boxes[:, 2:] > at - 2 * radius)).all(1).any():
            continue
        shade = (255, *rng.normal(128, 30, 2).clip(16, 240).tolist())
        cv2.circle(picture, at.astype(int).tolist(), max(1, round(radius * rng.uniform(0.3, 1.2))), shade, -1)


def _focus(rng: np.random.Generator, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h,w,1] float32: 1 where the picture is sharp, an ellipse about a face and the body under it."""
    mask = np.zeros((size[1], size[0]), np.float32)
    grow = rng.uniform(*FOCUS_SIZES)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * grow
    cv2.ellipse(mask, middle.astype(int).tolist(), half.astype(int).clip(1).tolist(), 0, 0, 360, 1.0, -1)
    low, high = middle + half * [-1.5, 0.7], middle + half * [1.5, 8.0]
    cv2.rectangle(mask, low.astype(int).tolist(), high.astype(int).tolist(), 1.0, -1)
    feather = max(1.0, float(half.min()) / 8)
    return cv2.GaussianBlur(mask, (0, 0), feather)[..., None]

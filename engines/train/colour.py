"""Colour of training pictures: every linear change is one 3x4 matrix in YCbCr, applied once a tile."""

import cv2
import numpy as np

#: Luma coefficients (red, blue) of the two matrices that video uses.
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
#: How often a sample is full range, and how often BT.709, instead of limited BT.601.
FULL_RANGE_SHARE, BT709_SHARE = 0.08, 0.12
LOW_LIGHT_SHARE, GREY_SHARE, GAMMA_SHARE = 0.12, 0.06, 0.4


def _from_rgb(red: float, blue: float) -> np.ndarray:
    green = 1 - red - blue
    return np.array(
        [
            [red, green, blue],
            [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
            [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
        ]
    )


RGB_TO_601, RGB_TO_709 = _from_rgb(*BT601), _from_rgb(*BT709)
RGB_FROM_601 = np.linalg.inv(RGB_TO_601)


def decode_ycc(jpeg: bytes) -> np.ndarray | None:
    """A JPEG as full-range BT.601 Y, Cb, Cr, uint8 [h,w,3]; None when it cannot be read."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]]


def video_matrix(matrix: np.ndarray = RGB_TO_601, full_range: bool = False) -> np.ndarray:
    """The 3x4 matrix from full-range BT.601 values to those that a video of this matrix and range holds."""
    change = matrix @ RGB_FROM_601
    if not full_range:
        change = np.diag([219 / 255, 224 / 255, 224 / 255]) @ change
    black = 0 if full_range else 16
    return np.column_stack([change, np.array([black, 128, 128]) - change @ [0, 128, 128]])


def random_video_matrix(rng: np.random.Generator) -> np.ndarray:
    """Limited BT.601 mostly; now and then full range or BT.709, as careless cameras and converters have it."""
    kind = rng.random()
    if kind < FULL_RANGE_SHARE:
        return video_matrix(full_range=True)
    return video_matrix(RGB_TO_709 if kind < FULL_RANGE_SHARE + BT709_SHARE else RGB_TO_601)


def random_look(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A random look in full-range BT.601: the 3x4 matrix, and the gamma for Y that follows it (1 = none)."""
    dark = rng.random() < LOW_LIGHT_SHARE
    contrast = rng.uniform(0.15, 0.5) if dark else np.exp(rng.normal(0, 0.2))
    pivot = 20.0 if dark else 118.0
    gains = np.exp(rng.normal(0, 0.08, 3))
    change = RGB_TO_601 @ np.diag(gains / gains.mean() * contrast) @ RGB_FROM_601
    saturation = 0.0 if rng.random() < GREY_SHARE else np.exp(rng.normal(0, 0.3))
    turn = rng.normal(0, 0.1)
    hue = saturation * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    change[1:] = hue @ change[1:]
    offset = np.array([pivot + rng.normal(0, 14), 128, 128]) - change @ [pivot, 128, 128]
    gamma = np.exp(rng.normal(0, 0.25)) if rng.random() < GAMMA_SHARE else 1.0
    return np.column_stack([change, offset]), float(gamma)


def recolour(picture: np.ndarray, matrix: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """`picture` uint8 [h,w,3] through a 3x4 matrix (saturating), then gamma on Y."""
    out = cv2.transform(picture, matrix.astype(np.float32))
    if gamma != 1.0:
        ramp = np.arange(256, dtype=np.float32)
        curve = np.stack([255 * (ramp / 255) ** gamma, ramp, ramp], -1).round().astype(np.uint8)
        out = cv2.LUT(out, curve[None])
    return out


def to_planes(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Planes `y` uint8 [1,h,w] and `uv` uint8 [2,h/2,w/2] of a picture [h,w,3] of even sides: chroma is averaged."""
    height, width = picture.shape[:2]
    chroma = cv2.resize(picture[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[None, ..., 0]), np.ascontiguousarray(chroma.transpose(2, 0, 1))

"""Training samples: tiles cut from pictures, placed as mosaics, then worn down like real video."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from engines.train import colour
from engines.train.data import Picture
from engines.train.defocus import defocus

GRIDS, GRID_SHARES = (1, 2, 3, 4), (0.5, 0.3, 0.15, 0.05)
FACE_MIN_PX, FACE_MAX_PX, FACE_MAX_SHARE = 6.5, 300.0, 0.8
WHOLE_SHARE, RANDOM_PLACE_SHARE = 0.35, 0.12
#: Enlarged further, a face is a blob, and a network that learns blobs finds faces in every blurred background.
UPSCALE_MAX = 2.2
#: The least size of a picture in its tile, as a share of the size that just fits; how often it is moved to fill the tile.
COVER_MIN, FILL_SHARE = 0.7, 0.8
ROTATION_SHARE, ROTATION_DEG, ASPECT = 1 / 3, 18.0, 0.12
CUT_SHARE, FACE_IGNORED_PX = 0.5, 5.0
MASK_SHARE, CLUTTER_SHARE, OCCLUSION_SHARE, DEFOCUS_SHARE = 0.12, 0.3, 0.08, 0.15
MIRRORED = [1, 0, 2, 4, 3]


Pick = Callable[[np.random.Generator], Picture]


@dataclass
class Sample:
    """A picture [h,w,3] uint8 (Y, Cb, Cr) and what is in it; boxes xyxy in its pixels."""

    picture: np.ndarray
    boxes: np.ndarray  # float32 [f,4]
    landmarks: np.ndarray  # float32 [f,5,2], NaN where unknown
    ignore: np.ndarray  # float32 [i,4]


def _fill(target: np.ndarray, focus: np.ndarray, extent: np.ndarray, size: np.ndarray) -> np.ndarray:
    """`target` moved so that a picture of `extent` fills the tile of `size` (or lies within it); all [2], in its pixels."""
    low = target - focus
    return np.clip(low, np.minimum(size - extent, 0), np.maximum(size - extent, 0)) + focus


def _view(rng: np.random.Generator, source: Picture, width: int, height: int) -> tuple[np.ndarray, float]:
    """Where the tile looks: the 2x3 matrix from the picture to the tile, and its scale."""
    tall, wide = source.pixels.shape[:2]
    fit = min(width / wide, height / tall)
    kind = rng.random()
    faces = np.flatnonzero(~source.ignore)
    if kind < WHOLE_SHARE:
        scale = fit * rng.uniform(0.85, 1.0)
        focus = np.array([wide, tall]) / 2
        slack = np.maximum(np.array([width, height]) - scale * np.array([wide, tall]), 0) / 2
        target = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * slack
    elif kind < WHOLE_SHARE + RANDOM_PLACE_SHARE or not len(faces):
        scale = fit * np.exp(rng.uniform(np.log(1.0), np.log(4.0)))
        focus = rng.uniform(0, 1, 2) * [wide, tall]
        target = np.array([width, height]) / 2
    else:
        box = source.boxes[rng.choice(faces)]
        size = max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)
        largest = min(FACE_MAX_PX, FACE_MAX_SHARE * min(width, height), UPSCALE_MAX * size)
        # Any smaller and the picture would be a stamp in a field of nothing.
        smallest = min(max(FACE_MIN_PX, COVER_MIN * fit * size), largest)
        wanted = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
        scale = wanted / size
        focus = (box[:2] + box[2:]) / 2
        margin = min(wanted / 2, 0.4 * min(width, height))
        target = rng.uniform([margin, margin], [width - margin, height - margin])
    if rng.random() < FILL_SHARE:
        target = _fill(target, focus * scale, np.array([wide, tall]) * scale, np.array([width, height]))
    turn = np.deg2rad(rng.uniform(-ROTATION_DEG, ROTATION_DEG)) if rng.random() < ROTATION_SHARE else 0.0
    stretch = np.exp(rng.uniform(-ASPECT, ASPECT) / 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag([flip * scale * stretch, scale / stretch])
    return np.column_stack([linear, target - linear @ focus]), float(scale)


def _move(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes through an affine map, as the bounds of the moved inscribed ellipse (corners of a box are not face)."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    return np.concatenate([middle - half, middle + half], 1).astype(np.float32)


def _clip(boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut to the tile, and the share of each that is left."""
    cut = np.clip(boxes, 0, np.array([width, height] * 2)).astype(np.float32)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    return cut, np.prod(cut[:, 2:] - cut[:, :2], 1) / np.maximum(area, 1e-6)


def tile(rng: np.random.Generator, source: Picture, width: int, height: int) -> Sample:
    """A random look at `source`, `width` x `height` pixels."""
    matrix, scale = _view(rng, source, width, height)
    level = int(np.clip(np.floor(-np.log2(max(scale, 1e-3)) + 0.2), 0, 3))
    pixels = source.shrunk(level)
    # Pixel centres lie at .5: a warp by index has to be told so.
    to_source = np.diag([*(np.array(source.pixels.shape[1::-1]) / pixels.shape[1::-1]), 1.0])
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    by_index = (np.linalg.inv(centre) @ np.vstack([matrix, [0, 0, 1]]) @ to_source @ centre)[:2]
    fill = (0, 128, 128) if rng.random() < 0.4 else (int(rng.integers(256)), 128, 128)
    picture = cv2.warpAffine(pixels, by_index, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)

    boxes, left = _clip(_move(source.boxes, matrix), width, height)
    landmarks = source.landmarks @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    if np.linalg.det(matrix[:, :2]) < 0:
        landmarks = landmarks[:, MIRRORED]
    seen = ((landmarks >= 0) & (landmarks <= [width, height])).all((1, 2))
    landmarks[~seen] = np.nan
    sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], 1))
    visible = (left > 0) & (sizes > 1)
    doubtful = source.ignore | (left < CUT_SHARE) | (sizes < FACE_IGNORED_PX)
    face = visible & ~doubtful
    sample = Sample(picture, boxes[face], landmarks[face].astype(np.float32), boxes[visible & doubtful])
    _draw_on_faces(rng, sample, source.masked[face])
    if rng.random() < DEFOCUS_SHARE:
        _defocus(rng, sample)
    look, gamma = colour.random_look(rng)
    sample.picture = colour.recolour(sample.picture, look, gamma)
    return sample


def _random_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    chroma = rng.normal(128, 25, 2).clip(16, 240)
    return int(rng.integers(256)), int(chroma[0]), int(chroma[1])


def _draw_on_faces(rng: np.random.Generator, sample: Sample, masked: np.ndarray) -> None:
    """Masks over the lower half of bare faces; now and then something held before a face."""
    for box, points, has_mask in zip(sample.boxes, sample.landmarks, masked, strict=True):
        size = box[2:] - box[:2]
        if not has_mask and np.isfinite(points).all() and rng.random() < MASK_SHARE:
            eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
            down = (mouth - eyes) * rng.uniform(0.9, 1.2)
            side = (points[1] - points[0]) * rng.uniform(0.75, 1.0)
            top = eyes + (points[2] - eyes) * rng.uniform(0.3, 0.9)
            outline = [top - side, top, top + side, mouth + 0.75 * side, mouth + 0.7 * down, mouth - 0.75 * side]
            white = rng.random() < 0.4
            shade = (int(rng.integers(190, 256)), 128, 126) if white else _random_colour(rng)
            cv2.fillPoly(sample.picture, [np.round(np.array(outline) * 16).astype(np.int32)], shade, cv2.LINE_AA, 4)
        elif rng.random() < OCCLUSION_SHARE:
            middle = box[:2] + rng.uniform(0.1, 0.9, 2) * size
            axes = size * rng.uniform(0.1, 0.28, 2)
            cv2.ellipse(
                sample.picture,
                (middle.tolist(), (2 * axes).tolist(), float(rng.uniform(0, 180))),
                _random_colour(rng),
                -1,
                cv2.LINE_AA,
            )


def _defocus(rng: np.random.Generator, sample: Sample) -> None:
    sample.picture, clear = defocus(rng, sample.picture, sample.boxes)
    sample.ignore = np.concatenate([sample.ignore, sample.boxes[~clear]])
    sample.boxes, sample.landmarks = sample.boxes[clear], sample.landmarks[clear]


def _clutter(rng: np.random.Generator, sample: Sample) -> None:
    """Letters, ellipses, boxes and lines where no face is: things that are not faces."""
    height, width = sample.picture.shape[:2]
    taken = np.concatenate([sample.boxes, sample.ignore])
    for _ in range(rng.integers(2, 12)):
        size = np.exp(rng.uniform(np.log(8), np.log(0.4 * width), 2))
        if rng.random() < 0.5:
            size[1] = size[0] * rng.uniform(1, 1.5)
        low = rng.uniform(-0.2, 1, 2) * [width, height]
        high = low + size
        if ((taken[:, :2] < high + 3) & (taken[:, 2:] > low - 3)).all(1).any():
            continue
        kind, shade = rng.choice(4, p=[0.25, 0.2, 0.4, 0.15]), _random_colour(rng)
        a, b = low.astype(int).tolist(), high.astype(int).tolist()
        thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 5))
        if kind == 0:
            cv2.ellipse(sample.picture, (((low + high) / 2).tolist(), size.tolist(), 0.0), shade, thick, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(sample.picture, a, b, shade, thick)
        elif kind == 2:
            text = "".join(chr(rng.integers(33, 126)) for _ in range(rng.integers(1, 4)))
            stroke = max(1, round(size[1] * rng.uniform(0.02, 0.16)))
            scale = size[1] / 30 / max(1, len(text) * size[1] / size[0] / 1.5)
            cv2.putText(sample.picture, text, (a[0], b[1]), int(rng.integers(8)), scale, shade, stroke, cv2.LINE_AA)
        else:
            cv2.line(sample.picture, a, b, shade, int(rng.integers(1, 6)), cv2.LINE_AA)


def mosaic(rng: np.random.Generator, pick: Pick, side: int) -> Sample:
    """A square sample of `side` pixels out of 1, 4, 9 or 16 tiles; `pick(rng)` gives a `Picture`."""
    grid = rng.choice(GRIDS, p=GRID_SHARES)
    inner = (np.arange(1, grid) + rng.uniform(-0.15, 0.15, (2, grid - 1))) * side / grid
    cuts = np.pad(inner.astype(int), ((0, 0), (1, 1)), constant_values=((0, 0), (0, side)))
    canvas = np.empty((side, side, 3), np.uint8)
    boxes, landmarks, ignore = [], [], []
    for top, bottom in pairwise(cuts[0].tolist()):
        for left, right in pairwise(cuts[1].tolist()):
            part = tile(rng, pick(rng), right - left, bottom - top)
            canvas[top:bottom, left:right] = part.picture
            boxes.append(part.boxes + np.array([left, top] * 2, np.float32))
            landmarks.append(part.landmarks + np.array([left, top], np.float32))
            ignore.append(part.ignore + np.array([left, top] * 2, np.float32))
    sample = Sample(canvas, np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(ignore))
    if rng.random() < CLUTTER_SHARE:
        _clutter(rng, sample)
    return sample


def _wear_plane(plane: np.ndarray, plan: dict[str, Any]) -> np.ndarray:
    if "shrink" in plan:
        height, width = plane.shape
        small = cv2.resize(plane, None, fx=plan["shrink"], fy=plan["shrink"], interpolation=cv2.INTER_AREA)
        plane = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if "blur" in plan:
        plane = cv2.GaussianBlur(plane, (0, 0), plan["blur"])
    if "motion" in plan:
        plane = cv2.filter2D(plane, -1, plan["motion"])
    if "noise" in plan:
        grain = np.empty(plane.shape, np.int16)
        cv2.randn(grain, np.zeros(1), np.full(1, plan["noise"]))
        plane = cv2.add(plane, grain, dtype=cv2.CV_8U)
    if "quality" in plan:
        _, jpeg = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, plan["quality"]])
        plane = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE))
    return plane


def wear(rng: np.random.Generator, y: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blur, motion, noise, lost detail and block artefacts on planes [1,h,w], [2,h/2,w/2], as lenses and codecs leave them."""
    plan: dict[str, Any] = {}
    if rng.random() < 0.12:
        plan["shrink"] = rng.uniform(0.4, 0.85)
    if rng.random() < 0.12:
        plan["blur"] = rng.uniform(0.5, 1.6)
    if rng.random() < 0.08:
        length, turn = int(rng.integers(3, 10)), rng.uniform(0, np.pi)
        kernel = np.zeros((11, 11), np.float32)
        step = length / 2 * np.array([np.cos(turn), np.sin(turn)])
        cv2.line(kernel, (5 - step).round().astype(int).tolist(), (5 + step).round().astype(int).tolist(), 1.0)
        plan["motion"] = kernel / kernel.sum()
    if rng.random() < 0.2:
        plan["noise"] = rng.uniform(2, 11)
    if rng.random() < 0.4:
        plan["quality"] = int(rng.integers(25, 86))
    if not plan:
        return y, uv
    cv2.setRNGSeed(int(rng.integers(2**31)))
    worn_y = _wear_plane(y[0], plan)[None]
    plan.pop("shrink", None)
    chroma = _wear_plane(np.concatenate([uv[0], uv[1]], 1), plan)
    half = uv.shape[2]
    return worn_y, np.stack([chroma[:, :half], chroma[:, half:]])


def training_sample(rng: np.random.Generator, pick: Pick, side: int) -> tuple[np.ndarray, np.ndarray, Sample]:
    """Planes `y` [1,side,side] and `uv` [2,side/2,side/2] as a decoder would give them, and the truth."""
    sample = mosaic(rng, pick, side)
    y, uv = colour.to_planes(colour.recolour(sample.picture, colour.random_video_matrix(rng)))
    return *wear(rng, y, uv), sample

"""Pictures with labelled faces, and batches of training samples."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from engines.train import colour

LONGEST_SIDE_PX = 640
#: Sample sides by turns; the number of samples keeps the pixels of a batch equal.
SIDES_PX = (256, 320, 320, 416)
BASE_SIDE_PX = 320
SCENE_SHARE, EMPTY_WEIGHT = 0.25, 1.5


class DataError(Exception):
    """Training data that cannot be used; the message says what, where and what to do."""


@dataclass
class Picture:
    """One labelled picture. Pixels are full-range BT.601 Y, Cb, Cr; boxes are xyxy in its pixels."""

    pixels: np.ndarray  # uint8 [h,w,3]
    boxes: np.ndarray  # float32 [f,4]
    ignore: np.ndarray  # bool [f]
    masked: np.ndarray  # bool [f]; unknown counts as masked
    landmarks: np.ndarray  # float32 [f,5,2], NaN where unknown
    _smaller: list[np.ndarray] = field(default_factory=list)

    def shrunk(self, level: int) -> np.ndarray:
        """The pixels halved `level` times by area (as far as 8 pixels remain)."""
        pyramid = [self.pixels, *self._smaller]
        while len(pyramid) <= level and min(pyramid[-1].shape[:2]) >= 16:
            height, width = pyramid[-1].shape[:2]
            pyramid.append(cv2.resize(pyramid[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
            self._smaller = pyramid[1:]
        return pyramid[min(level, len(pyramid) - 1)]


@dataclass(frozen=True)
class Entry:
    """A line of a label file."""

    file: Path
    width: int
    height: int
    faces: list[dict]


def _label_file(path: Path) -> Path:
    if path.is_dir():
        path = path / "train.jsonl"
    if not path.is_file():
        raise DataError(f"no label file {path}: give a .jsonl file, or a folder with a train.jsonl")
    return path


def read_labels(path: Path) -> list[Entry]:
    """The lines of a label file (or of train.jsonl in a folder); pictures lie beside it, or in `images/` there."""
    path = _label_file(path)
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            entries.append(Entry(folder / row["file"], int(row["width"]), int(row["height"]), list(row["faces"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: not a labelled picture ({error!r})") from None
    if not entries:
        raise DataError(f"{path} names no pictures")
    return entries


def load_picture(entry: Entry) -> Picture:
    """Read and decode one picture, at most `LONGEST_SIDE_PX` long."""
    try:
        pixels = colour.decode_ycc(entry.file.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {entry.file}: {error.strerror}") from None
    if pixels is None:
        raise DataError(f"{entry.file} is not a picture that OpenCV can read")
    shrink = min(1.0, LONGEST_SIDE_PX / max(pixels.shape[:2]))
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    scale = np.array([pixels.shape[1] / entry.width, pixels.shape[0] / entry.height] * 2, np.float32)
    faces = entry.faces
    unknown = [[float("nan")] * 2] * 5
    return Picture(
        pixels,
        np.array([f["xyxy_px"] for f in faces], np.float32).reshape(-1, 4) * scale,
        np.array([bool(f.get("ignore")) for f in faces], bool),
        np.array([f.get("masked") is not False for f in faces], bool),
        np.array([f.get("landmarks_px") or unknown for f in faces], np.float32).reshape(-1, 5, 2) * scale[:2],
    )


def fitted_planes(picture: Picture, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Planes `y` [1,1,side,side] and `uv` [1,2,side/2,side/2] of a picture fitted into the corner of a black square."""
    height, width = picture.pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = (16, 128, 128)
    fitted = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[: size[1], : size[0]] = colour.recolour(fitted, colour.video_matrix())
    y, uv = colour.to_planes(canvas)
    return y[None], uv[None]


class Album:
    """Pictures, decoded when first asked for and kept: a few thousand small ones take about a gigabyte."""

    def __init__(self, entries: list[Entry], weights: np.ndarray | None = None) -> None:
        weights = np.ones(len(entries)) if weights is None else weights
        self.entries = entries
        self._pictures: dict[int, Picture] = {}
        self._until = np.cumsum(weights / weights.sum())

    def pick(self, rng: np.random.Generator) -> Picture:
        """A random picture, by its weight."""
        index = min(int(np.searchsorted(self._until, rng.random(), side="right")), len(self.entries) - 1)
        if index not in self._pictures:
            self._pictures[index] = load_picture(self.entries[index])
        return self._pictures[index]


def mixed_album(photos: list[Entry], scenes: list[Entry]) -> Album:
    """Photographs, those without a face `EMPTY_WEIGHT` times as often, with `SCENE_SHARE` of drawn scenes when there are any."""
    weights = np.array([1.0 if photo.faces else EMPTY_WEIGHT for photo in photos])
    if not scenes:
        return Album(photos, weights)
    scene = SCENE_SHARE / (1 - SCENE_SHARE) * weights.sum() / len(scenes)
    return Album(photos + scenes, np.concatenate([weights, np.full(len(scenes), scene)]))


@dataclass(frozen=True)
class Batch:
    """Samples of one size. Faces are concatenated; `picture` says whose they are."""

    y: np.ndarray  # uint8 [n,1,s,s]
    uv: np.ndarray  # uint8 [n,2,s/2,s/2]
    boxes: np.ndarray  # float32 [g,4]
    picture: np.ndarray  # int64 [g]
    landmarks: np.ndarray  # float32 [g,5,2]
    ignore: np.ndarray  # float32 [i,4]
    ignore_picture: np.ndarray  # int64 [i]


def make_batch(album: Album, seed: int, step: int, batch_size: int) -> Batch:
    """The batch of a step: the same for the same seed, step and album, so that a resumed run goes on as it would have."""
    from engines.train.augment import training_sample

    rng = np.random.default_rng([seed, step])
    side = SIDES_PX[step % len(SIDES_PX)]
    count = max(1, round(batch_size * (BASE_SIDE_PX / side) ** 2))
    ys, uvs, samples = zip(*(training_sample(rng, album.pick, side) for _ in range(count)), strict=True)

    def owners(parts: list[np.ndarray]) -> np.ndarray:
        return np.repeat(np.arange(count), [len(p) for p in parts])

    boxes, ignore = [s.boxes for s in samples], [s.ignore for s in samples]
    return Batch(
        np.stack(ys),
        np.stack(uvs),
        np.concatenate(boxes),
        owners(boxes),
        np.concatenate([s.landmarks for s in samples]),
        np.concatenate(ignore),
        owners(ignore),
    )


def batches(album: Album, seed: int, steps: Iterable[int], batch_size: int) -> Iterator[Batch]:
    """The batches of these steps."""
    cv2.setNumThreads(1)
    for step in steps:
        yield make_batch(album, seed, step, batch_size)

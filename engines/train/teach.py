"""Labels completed by teachers: several looks of other networks at the same picture, and what most of them agree on.

A look is one network at one size, plain or mirrored. What is labelled stays; looks add faces that most of them are sure of, landmarks
where these lie together, and ignore regions where fewer see a face: such a place teaches neither way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.detect.detector import Detector
from engines.frame import Detections, Frame
from engines.track.associate import overlaps
from engines.train import colour
from engines.train.data import Entry, Picture

LEAST_SCORE, SURE_SCORE = 0.3, 0.45
"""What a look counts as seen, and as surely seen."""
AGREE = 0.75
"""The share of the looks that must be sure of a face."""
SAME_FACE, LABELLED = 0.45, 0.3
"""Intersection over union of two looks' boxes of one face; and with a label, from which a box adds nothing."""
LANDMARK_SPREAD = 0.15
"""How far looks' landmarks may lie from their mean, as a share of the distance of the eyes."""
SMALLEST_PX = 8.0
MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class Look:
    """Faces one look saw: boxes [n,4], scores [n], landmarks [n,5,2], in shares of the picture's sides; NaN where unknown."""

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray


def looks_at(picture: Picture, teachers: Sequence[Detector]) -> list[Look]:
    """Each teacher's look at the picture and at its mirror image."""
    pixels = picture.pixels[: picture.pixels.shape[0] // 2 * 2, : picture.pixels.shape[1] // 2 * 2]
    y, uv = colour.to_planes(colour.recolour(pixels, colour.video_matrix()))
    plain = Frame(y[0], uv[0], uv[1], 0, 0)
    back_y, back_u, back_v = (np.ascontiguousarray(plane[:, ::-1]) for plane in (plain.y, plain.u, plain.v))
    mirror = Frame(back_y, back_u, back_v, 0, 0)
    found = []
    for teacher in teachers:
        there, back = teacher.detect([plain, mirror])
        found += [_look(there.faces(), False), _look(back.faces(), True)]
    return found


def _look(found: Detections, mirrored: bool) -> Look:
    sides = np.array([found.width, found.height], np.float32)
    boxes, landmarks = found.boxes / np.tile(sides, 2), found.landmarks / sides
    if mirrored:
        boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1)
        landmarks = landmarks[:, MIRRORED] * [-1, 1] + [1, 0]
    return Look(boxes, found.scores, landmarks)


def in_pixels(entry: Entry, picture: Picture) -> Entry:
    """YOLO's boxes are shares of the picture; here they become pixels of it."""
    if (entry.width, entry.height) != (1, 1):
        return entry
    height, width = picture.pixels.shape[:2]
    faces = [
        {**face, "xyxy_px": (np.array(face["xyxy_px"]) * np.array([width, height] * 2)).tolist()}
        for face in entry.faces
    ]
    return Entry(entry.file, width, height, faces)


def taught(entry: Entry, looks: Sequence[Look]) -> list[dict]:
    """The faces of `entry`, completed: what is added is `by` "teacher"."""
    sides = np.array([entry.width, entry.height], float)
    faces = [dict(face) for face in entry.faces]
    for face in faces:
        if not face.get("ignore") and face.get("landmarks_px") is None:
            box = np.array(face["xyxy_px"], float)[None] / np.tile(sides, 2)
            points = _landmarks(_seen(box, looks, SAME_FACE), len(looks), sides)
            if points is not None:
                face["landmarks_px"] = points
    known = np.array([face["xyxy_px"] for face in faces], float).reshape(-1, 4) / np.tile(sides, 2)
    boxes = np.concatenate([look.boxes for look in looks]) if looks else np.zeros((0, 4))
    scores = np.concatenate([look.scores for look in looks]) if looks else np.zeros(0)
    for index in np.argsort(-scores):
        if scores[index] < LEAST_SCORE:
            break
        box = boxes[index][None]
        if overlaps(box, known).max(initial=0) >= LABELLED or _inside(box[0], known):
            continue
        known = np.concatenate([known, box])
        faces.append(_new_face(_seen(box, looks, SAME_FACE), len(looks), sides))
    return faces


Seen = list[tuple[np.ndarray, float, np.ndarray]]
"""Of each look that saw a face: its box, score and landmarks."""


def _seen(box: np.ndarray, looks: Sequence[Look], least: float) -> Seen:
    found: Seen = []
    for look in looks:
        near = overlaps(box, look.boxes)[0]
        if near.max(initial=0) >= least:
            best = int(near.argmax())
            found.append((look.boxes[best], float(look.scores[best]), look.landmarks[best]))
    return found


def _inside(box: np.ndarray, known: np.ndarray) -> bool:
    """Whether half of it lies in one of those known: an ignore region may be larger than a face."""
    sides = np.minimum(box[2:], known[:, 2:]) - np.maximum(box[:2], known[:, :2])
    return bool((np.prod(np.clip(sides, 0, None), 1) > 0.5 * np.prod(box[2:] - box[:2])).any())


def _new_face(seen: Seen, looks: int, sides: np.ndarray) -> dict:
    box = np.clip(np.mean([one[0] for one in seen], 0), 0, 1) * np.tile(sides, 2)
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    sure = _agreed(seen, looks) and size >= SMALLEST_PX
    return {
        "xyxy_px": box.round(1).tolist(),
        "ignore": not sure,
        "masked": None,
        "landmarks_px": _landmarks(seen, looks, sides) if sure else None,
        "by": "teacher",
    }


def _agreed(seen: Seen, looks: int) -> bool:
    return sum(score >= SURE_SCORE for _, score, _ in seen) >= AGREE * looks


def _landmarks(seen: Seen, looks: int, sides: np.ndarray) -> list | None:
    """The mean of the sure looks, where these are most and none of them is far off."""
    sure = [points for _, score, points in seen if score >= SURE_SCORE and np.isfinite(points).all()]
    points = np.array(sure).reshape(-1, 5, 2) * sides
    if not _agreed(seen, looks) or len(points) < 2:
        return None
    mean = points.mean(0)
    eyes = float(np.linalg.norm(mean[0] - mean[1]))
    if np.linalg.norm(points - mean, axis=2).max() > LANDMARK_SPREAD * eyes:
        return None
    return mean.round(1).tolist()

"""Where every face is, exactly: boxes, landmarks and visible parts from the same geometry that draws them.

The rules:
- A face's box holds the skin between hairline, chin and the front of the ears, cut at the picture's edge.
- Up to 80 degrees of yaw it is a face; up to 110 (profile, lost profile) it is listed as `ignore`; beyond that it is the
  back of a head and not listed.
- `visible` is the part of the side of the face that is turned to the camera which is inside the picture and behind nobody;
  below 0.35 the face is `ignore`, below 0.05 it is not listed. Faces narrower or lower than 8 px are `ignore` too.
- Landmarks: eye, eye, nose, mouth corner, mouth corner from the picture's left to its right, where they would be seen if
  nothing hid them; None when one lies outside the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engines.scene import head, paint
from engines.scene.body import Pose, skeleton
from engines.scene.looks import Look

FACE_YAW_DEG, LISTED_YAW_DEG = 80.0, 110.0
LEAST_VISIBLE, LISTED_VISIBLE, LEAST_PX = 0.35, 0.05, 8.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """One face of one frame; boxes x0, y0, x1, y1 in pixels."""

    id: int
    xyxy_px: Box
    landmarks_px: tuple[tuple[float, float], ...] | None
    masked: bool
    ignore: bool
    visible: float
    yaw_deg: float
    body_xyxy_px: Box

    def to_json(self) -> dict:
        return {
            "id": self.id,
            "xyxy_px": [round(v, 2) for v in self.xyxy_px],
            "landmarks_px": self.landmarks_px and [[round(x, 2), round(y, 2)] for x, y in self.landmarks_px],
            "masked": self.masked,
            "ignore": self.ignore,
            "visible": round(self.visible, 3),
            "yaw_deg": round(self.yaw_deg, 1),
            "body_xyxy_px": [round(v, 2) for v in self.body_xyxy_px],
        }


@lru_cache(maxsize=256)
def _face_points(look: Look) -> np.ndarray:
    """(N, 3) points of the face's skin, head millimetres."""
    x, y = np.meshgrid(np.linspace(-76, 76, 23) * look.width, np.linspace(-look.hairline_mm, 111, 18))
    z = head.surface_z(look, x, y)
    keep = z > 10
    return np.stack([x[keep], y[keep], z[keep]], 1)


@lru_cache(maxsize=256)
def _landmarks(look: Look) -> np.ndarray:
    """(5, 3) in head millimetres: eye, eye, nose, mouth corner, mouth corner."""
    mouth = paint.mouth_half(look)
    eye = paint.eye_x(look)
    along, y = np.array([(-eye, 0), (eye, 0), (0, paint.NOSE_Y), (-mouth, paint.MOUTH_Y), (mouth, paint.MOUTH_Y)]).T
    x = along
    for _ in range(12):  # the map is unrolled: find the points of the surface at these angles
        x = 0.5 * x + 0.5 * head.surface_z(look, x, y) * np.tan(along * 2 * math.pi / paint.ROUND_MM)
    return np.stack([x, y, head.surface_z(look, x, y)], 1)


def _project(points: np.ndarray, turn: np.ndarray, pose: Pose) -> np.ndarray:
    return (points @ turn.T)[:, :2] * pose.k + (pose.x_px, pose.y_px)


@lru_cache(maxsize=64)
def body_box(look: Look, pose: Pose) -> Box:
    """Around everything that is drawn of a performer, not cut at the picture's edge."""
    torso, limbs = skeleton(look, pose)
    skull = head.turned(look, pose.angles)
    middle, half = np.array(torso.centre), np.array(torso.half)
    ends = np.array([(*p, r) for limb in limbs for p, r in ((limb.start, limb.start_r), (limb.end, limb.end_r))])
    places = np.concatenate([skull.centre[:, :2], ends[:, :2], np.stack([middle, torso.y], 1)])
    sizes = np.concatenate([skull.reach, ends[:, 2:].repeat(2, 1), np.stack([half, np.zeros_like(half)], 1)])
    x0, y0 = (places - sizes).min(0) * pose.k + (pose.x_px, pose.y_px)
    x1, y1 = (places + sizes).max(0) * pose.k + (pose.x_px, pose.y_px)
    return float(x0), float(y0), float(x1), float(y1)


def hides(look: Look, pose: Pose, points_px: np.ndarray) -> np.ndarray:
    """Which of the points (N, 2) lie behind this performer: (N,) bool."""
    x0, y0, x1, y1 = body_box(look, pose)
    x, y = points_px.T
    out = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    if out.any():
        out[out] = _inside(look, pose, (points_px[out] - (pose.x_px, pose.y_px)) / pose.k)
    return out


def _inside(look: Look, pose: Pose, p: np.ndarray) -> np.ndarray:
    """Which points (N, 2), in millimetres from the head's origin, lie on the drawn performer."""
    torso, limbs = skeleton(look, pose)
    skull = head.turned(look, pose.angles)
    dx, dy = p[:, 0] - skull.centre[:, :1], p[:, 1] - skull.centre[:, 1:2]
    a, b, c = skull.abc.T[:, :, None]
    out = ((a * dx + 2 * b * dy) * dx + c * dy * dy <= 1).any(0)
    half, middle = np.interp(p[:, 1], torso.y, torso.half), np.interp(p[:, 1], torso.y, torso.centre)
    out |= (np.abs(p[:, 0] - middle) <= half) & (p[:, 1] >= torso.y[0]) & (p[:, 1] <= torso.y[-1])
    for limb in limbs:
        start, along = np.array(limb.start), np.array(limb.end) - np.array(limb.start)
        t = np.clip(((p - start) @ along) / max(float(along @ along), 1e-9), 0, 1)
        gap = np.hypot(*(p - start - t[:, None] * along).T)
        out |= gap <= limb.start_r + t * (limb.end_r - limb.start_r)
    return out


def faces(cast: list[tuple[int, Look, Pose]], width: int, height: int) -> list[Face]:
    """The faces of a frame; `cast` is (id, look, pose), farthest first: the order they are drawn in."""
    out = []
    for place, (who, look, pose) in enumerate(cast):
        yaw_deg = math.degrees(math.remainder(pose.yaw, 2 * math.pi))
        if abs(yaw_deg) > LISTED_YAW_DEG:
            continue
        turn = head.rotation_of(pose.angles)
        points = _face_points(look)
        pixels = _project(points, turn, pose)
        whole = (*pixels.min(0), *pixels.max(0))
        box = cut(whole, width, height)
        if box is None:
            continue
        outward = points * (1, 0.4, 1) + (0, 0, 10)
        front = pixels[(outward @ turn.T)[:, 2] > 0]
        seen = (front[:, 0] >= 0) & (front[:, 0] < width) & (front[:, 1] >= 0) & (front[:, 1] < height)
        for _, other, other_pose in cast[place + 1 :]:
            seen[seen] = ~hides(other, other_pose, front[seen])
        visible = float(seen.mean()) if len(front) else 0.0
        if visible < LISTED_VISIBLE:
            continue
        marks = _project(_landmarks(look), turn, pose)
        marks[:2], marks[3:] = sorted(marks[:2].tolist()), sorted(marks[3:].tolist())
        inside = bool((marks >= 0).all() and (marks < (width, height)).all())
        small = min(box[2] - box[0], box[3] - box[1]) < LEAST_PX
        body = cut(body_box(look, pose), width, height)
        ignore = visible < LEAST_VISIBLE or abs(yaw_deg) > FACE_YAW_DEG or small
        points5 = tuple((float(x), float(y)) for x, y in marks) if inside else None
        out.append(Face(who, box, points5, look.masked, ignore, visible, yaw_deg, body or box))
    return out


def people(cast: list[tuple[int, Look, Pose]], width: int, height: int) -> dict[int, Box]:
    """The whole body's box of everybody in the picture, seen or hidden, by id; cut at the picture's edge."""
    boxes = {who: cut(body_box(look, pose), width, height) for who, look, pose in cast}
    return {who: box for who, box in sorted(boxes.items()) if box is not None}


def cut(box: tuple[float, ...], width: int, height: int) -> Box | None:
    """The box inside the picture, None when nothing of it is."""
    x0, y0 = max(float(box[0]), 0.0), max(float(box[1]), 0.0)
    x1, y1 = min(float(box[2]), float(width)), min(float(box[3]), float(height))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

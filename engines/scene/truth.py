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
            "landmarks_px": None if self.landmarks_px is None else [[round(x, 2), round(y, 2)] for x, y in self.landmarks_px],
            "masked": self.masked,
            "ignore": self.ignore,
            "visible": round(self.visible, 3),
            "yaw_deg": round(self.yaw_deg, 1),
            "body_xyxy_px": [round(v, 2) for v in self.body_xyxy_px],
        }


@lru_cache(maxsize=256)
def _face_points(look: Look) -> np.ndarray:
    """(N, 3) points of the face's skin, head millimetres."""
    x, y = np.meshgrid(np.linspace(-76, 76, 33) * look.width, np.linspace(-look.hairline_mm, 111, 25))
    z = head.surface_z(look, x, y)
    keep = z > 10
    return np.stack([x[keep], y[keep], z[keep]], 1)


@lru_cache(maxsize=256)
def _landmarks(look: Look) -> np.ndarray:
    """(5, 3) in head millimetres: eye, eye, nose, mouth corner, mouth corner."""
    mouth = paint.mouth_half(look)
    spots = [(-paint.eye_x(look), 0), (paint.eye_x(look), 0), (0, paint.NOSE_Y), (-mouth, paint.MOUTH_Y), (mouth, paint.MOUTH_Y)]
    out = []
    for along, y in spots:  # the map is unrolled: find the point of the surface at that angle
        angle, x = along * 2 * math.pi / paint.ROUND_MM, float(along)
        for _ in range(12):
            x = 0.5 * x + 0.5 * float(head.surface_z(look, np.array([x]), np.array([float(y)]))[0]) * math.tan(angle)
        out.append((x, y, float(head.surface_z(look, np.array([x]), np.array([float(y)]))[0])))
    return np.array(out)


def _project(points: np.ndarray, turn: np.ndarray, pose: Pose) -> np.ndarray:
    return (points @ turn.T)[:, :2] * pose.k + (pose.x_px, pose.y_px)


def turn_of(pose: Pose) -> np.ndarray:
    return head.rotation(pose.yaw, pose.pitch, pose.roll)


def body_box(look: Look, pose: Pose) -> Box:
    """Around everything that is drawn of a performer, not cut at the picture's edge."""
    torso, limbs = skeleton(look, pose)
    turn = turn_of(pose)
    boxes = [(c - h, torso.y[0], c + h, torso.y[-1]) for c, h in zip(torso.centre, torso.half, strict=True)]
    for limb in limbs:
        for (x, y), r in ((limb.start, limb.start_r), (limb.end, limb.end_r)):
            boxes.append((x - r, y - r, x + r, y + r))
    for part in head.parts(look):
        cx, cy, a, b, c = head.outline(part, turn)
        rx, ry = math.sqrt(c / (a * c - b * b)), math.sqrt(a / (a * c - b * b))
        boxes.append((cx - rx, cy - ry, cx + rx, cy + ry))
    low, high = np.min(boxes, 0), np.max(boxes, 0)
    return (pose.x_px + pose.k * low[0], pose.y_px + pose.k * low[1], pose.x_px + pose.k * high[2], pose.y_px + pose.k * high[3])  # fmt: skip


def hides(look: Look, pose: Pose, points_px: np.ndarray) -> np.ndarray:
    """Which of the points (N, 2) lie behind this performer: (N,) bool."""
    p = (points_px - (pose.x_px, pose.y_px)) / pose.k
    torso, limbs = skeleton(look, pose)
    out = np.zeros(len(p), bool)
    if not len(p):
        return out
    turn = turn_of(pose)
    for part in head.parts(look):
        cx, cy, a, b, c = head.outline(part, turn)
        dx, dy = p[:, 0] - cx, p[:, 1] - cy
        out |= a * dx * dx + 2 * b * dx * dy + c * dy * dy <= 1
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
        turn = turn_of(pose)
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
        out.append(
            Face(
                id=who, xyxy_px=box, landmarks_px=tuple((float(x), float(y)) for x, y in marks) if inside else None,
                masked=look.masked, ignore=bool(visible < LEAST_VISIBLE or abs(yaw_deg) > FACE_YAW_DEG or small),
                visible=visible, yaw_deg=yaw_deg, body_xyxy_px=body or box,
            )  # fmt: skip
        )
    return out


def cut(box: tuple[float, ...], width: int, height: int) -> Box | None:
    """The box inside the picture, None when nothing of it is."""
    x0, y0, x1, y1 = max(float(box[0]), 0.0), max(float(box[1]), 0.0), min(float(box[2]), float(width)), min(float(box[3]), float(height))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

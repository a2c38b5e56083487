"""The overlay: boxes, ids and scores drawn straight on the planes."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from engines.frame import Detections, Picture, Tracks

FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
COLOURS_YUV: Final = (
    (180, 90, 60), (170, 60, 120), (160, 170, 90), (150, 110, 200), (200, 60, 150), (140, 180, 150), (190, 120, 80),
    (150, 150, 190),
)  # fmt: skip
GREY_YUV: Final = (150, 128, 128)
INK: Final = 24
LEAST_SCORE: Final = 0.2
SHOWN_UNSEEN_S: Final = 1.0

YUV = tuple[int, int, int]


def draw(picture: Picture, detections: Detections, tracks: Tracks, others: Detections | None = None) -> None:
    """Draw confirmed tracks with id and score (thin while predicted) and, in grey, detections without a track and, by their
    names, `others`."""
    thickness = max(1, round(min(picture.width, picture.height) / 300))
    if others is not None:
        _draw_others(picture, others)
    loose = detections.scores >= LEAST_SCORE
    loose[tracks.detection[tracks.measured]] = False
    for box in np.rint(detections.boxes[loose]).astype(int).tolist():
        _rectangle(picture, box, GREY_YUV, 1)
    shown = np.flatnonzero(tracks.confirmed & (tracks.unseen_s <= SHOWN_UNSEEN_S))
    for i in shown.tolist():
        colour = COLOURS_YUV[int(tracks.ids[i]) % len(COLOURS_YUV)]
        box = np.rint(tracks.boxes[i]).astype(int).tolist()
        measured = bool(tracks.measured[i])
        _rectangle(picture, box, colour, thickness if measured else 1)
        label = f"{tracks.ids[i]}" + (f" {tracks.scores[i]:.2f}" if measured else "")
        _label(picture, box, label, colour)


def _draw_others(picture: Picture, others: Detections) -> None:
    for i in np.flatnonzero(others.scores >= LEAST_SCORE).tolist():
        box = np.rint(others.boxes[i]).astype(int).tolist()
        _rectangle(picture, box, GREY_YUV, 1)
        _label(picture, box, f"{others.names[others.classes[i]]} {others.scores[i]:.2f}", GREY_YUV)


def _rectangle(picture: Picture, box: list[int], colour: YUV, thickness: int) -> None:
    x0, y0, x1, y1 = box
    cv2.rectangle(picture.y, (x0, y0), (x1, y1), colour[0], thickness)
    half = (x0 // 2, y0 // 2), (x1 // 2, y1 // 2)
    for plane, level in ((picture.u, colour[1]), (picture.v, colour[2])):
        cv2.rectangle(plane, *half, level, max(1, thickness // 2))


def _label(picture: Picture, box: list[int], text: str, colour: YUV) -> None:
    scale = max(0.35, min(picture.width, picture.height) / 1100)
    (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
    x = min(max(box[0], 0), max(picture.width - width - 4, 0)) & ~1
    y = (box[1] if box[1] >= height + below + 4 else min(box[3], picture.height) + height + below + 4) & ~1
    corners = (x, y - height - below - 2), (x + width + 4, y)
    cv2.rectangle(picture.y, *corners, colour[0], cv2.FILLED)
    low, high = ((a // 2, b // 2) for a, b in corners)
    for plane, level in ((picture.u, colour[1]), (picture.v, colour[2])):
        cv2.rectangle(plane, low, high, level, cv2.FILLED)
    cv2.putText(picture.y, text, (x + 2, y - below), FONT, scale, INK, 1, cv2.LINE_AA)

"""Frames, detections and tracks made for a test, with as little said as possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.frame import Detections, Frame, Picture, Tracks
from engines.track.odds import Learnt, Odds, shipped
from engines.track.partings import FEATURES

SOURCE_YUV = (200, 90, 170)


def frame(width: int = 320, height: int = 240, rtp_time: int = 0, levels: tuple[int, int, int] = SOURCE_YUV) -> Frame:
    """A decoded picture of one colour, its planes read-only as a decoder's are."""
    picture = Picture(width, height)
    picture.fill(*levels)
    return Frame.from_video_frame(picture.video_frame, rtp_time, 0)


def noise_frame(width: int = 320, height: int = 240, rtp_time: int = 0, seed: int = 0) -> Frame:
    """A decoded picture in which no two neighbours are alike."""
    random = np.random.default_rng(seed)
    picture = Picture(width, height)
    for plane in (picture.y, picture.u, picture.v):
        plane[:] = random.integers(16, 235, plane.shape)
    return Frame.from_video_frame(picture.video_frame, rtp_time, 0)


def found(
    boxes: Sequence[Sequence[float]] | np.ndarray,
    scores: Sequence[float] | float = 0.9,
    *,
    of: Frame | None = None,
    complete: bool = True,
) -> Detections:
    """Complete detections of the frame, of 320 × 240 at time 0 when none is given."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    n = len(boxes)
    rtp_time, width, height = (of.rtp_time, of.width, of.height) if of else (0, 320, 240)
    return Detections(
        boxes, np.broadcast_to(np.asarray(scores, np.float32), n).copy(), np.zeros(n, np.int32),
        np.full((n, 5, 2), np.nan, np.float32), rtp_time, width, height, complete,
    )  # fmt: skip


def track(
    box: Sequence[float],
    *,
    ident: int = 1,
    unseen_s: float = 0.0,
    velocity: tuple[float, float] = (0, 0),
    spread: float = 0.0,
    confirmed: bool = True,
) -> Tracks:
    """One track; predicted (unmeasured)."""
    return Tracks(
        np.array([ident]), np.array([box], np.float32), np.array([0.9], np.float32), np.array([False]),
        np.array([-1], np.int32), np.array([unseen_s], np.float32), np.array([velocity], np.float32),
        np.array([spread], np.float32), np.array([confirmed]),
    )  # fmt: skip


def saying(odds: float) -> Learnt:
    """A tracker's weights by which two who part were exchanged with these log-odds."""
    weights = {"w0": np.zeros((FEATURES, 1), np.float32), "b0": np.array([odds], np.float32)}
    return Learnt(shipped("persons").same, Odds(weights, FEATURES))

"""Labels from clips by the tracker: a face that is found before and after, and missed between, is a face all the same.

The frames that hold such misses are the ones worth learning from; the other frames of a clip teach what the network knows already.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from engines.codecs.decode import to_i420
from engines.detect.detector import Detector
from engines.frame import Detections, Frame
from engines.track.appearance import describe
from engines.track.associate import overlaps
from engines.track.kinds import FACES
from engines.track.tracker import Tracker

MISSED_FRAMES_MAX = 10
"""A face that was missed for longer may have been hidden."""
MOVED_IOU = 0.4
"""How much the boxes before and after overlap at least: between two that do, a straight line is good enough."""
SPACING = 8
"""Frames between two that are taken."""
DOUBTFUL_SCORE, LABELLED_IOU = 0.15, 0.3


@dataclass
class _Clip:
    """What was found, frame by frame: sure boxes by track, and all that was detected."""

    sure: list[dict[int, np.ndarray]] = field(default_factory=list)
    found: list[Detections] = field(default_factory=list)


def frames_of(path: Path) -> Iterator[tuple[Frame, float]]:
    """A clip's frames and their times in seconds.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    with av.open(str(path)) as box:
        for number, picture in enumerate(box.decode(video=0)):
            time_s = picture.time if picture.time is not None else number / 25
            yield Frame.from_video_frame(to_i420(picture), 0, 0), time_s


def label(
    read: Callable[[], Iterator[tuple[Frame, float]]], detector: Detector
) -> Iterator[tuple[int, Frame, list[dict]]]:
    """Number, frame and faces of those frames in which a face was missed; `read` gives the clip, twice."""
    clip = _watch(read(), detector)
    missed = _missed(clip.sure)
    last = -SPACING
    for number, (frame, _) in enumerate(read()):
        if missed[number] and number - last >= SPACING:
            last = number
            yield number, frame, _faces(clip.sure[number], missed[number], clip.found[number])


def _watch(frames: Iterator[tuple[Frame, float]], detector: Detector) -> _Clip:
    tracker, clip = Tracker(), _Clip()
    for frame, time_s in frames:
        found = detector.detect([frame])[0].faces()
        tracks = tracker.step(found, time_s, looks=describe(frame, found.boxes))
        kept = np.flatnonzero(tracks.confirmed & tracks.measured)
        kept = kept[found.scores[tracks.detection[kept]] >= FACES.high_score]
        clip.sure.append({int(tracks.ids[k]): found.boxes[tracks.detection[k]] for k in kept})
        clip.found.append(found)
    return clip


def _missed(sure: list[dict[int, np.ndarray]]) -> list[list[np.ndarray]]:
    """Per frame the boxes of faces that were surely found shortly before and after, and not in it: on the line between."""
    missed: list[list[np.ndarray]] = [[] for _ in sure]
    last: dict[int, int] = {}
    for number, boxes in enumerate(sure):
        for track, box in boxes.items():
            before = last.get(track, number)
            gap = number - before
            if 1 < gap <= MISSED_FRAMES_MAX + 1:
                start = sure[before][track]
                if overlaps(start[None].astype(float), box[None].astype(float))[0, 0] >= MOVED_IOU:
                    for between in range(before + 1, number):
                        missed[between].append(start + (box - start) * (between - before) / gap)
            last[track] = number
    return missed


def _faces(sure: dict[int, np.ndarray], missed: list[np.ndarray], found: Detections) -> list[dict]:
    """Those found and those missed are faces; what else was detected counts neither way."""
    known = np.array([*sure.values(), *missed], float).reshape(-1, 4)
    faces = [_face(box, False, found) for box in known]
    for box in found.boxes[found.scores >= DOUBTFUL_SCORE].astype(float):
        if overlaps(box[None], known).max(initial=0) < LABELLED_IOU:
            faces.append(_face(box, True, found))
    return faces


def _face(box: np.ndarray, ignore: bool, found: Detections) -> dict:
    inside = np.clip(box, 0, [found.width, found.height] * 2).round(1).tolist()
    return {"xyxy_px": inside, "ignore": ignore, "masked": None, "landmarks_px": None, "by": "tracker"}

"""Sequences to train and judge the tracker on: detections with the truth of whom each one shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from engines.frame import Detections
from engines.scene.scene import Scene, random_scene
from engines.scene.truth import Face
from engines.track import mot
from engines.track.kalman import F64
from engines.track.pairs import overlap

NOBODY: Final = -1
SAME_OVERLAP: Final = 0.5
"""Intersection over union from which a detection shows a person of the truth."""
SCENE_FPS: Final = 30
KEPT_SHARES: Final = (0.5, 0.34)
"""Of the frames, in turn, where they are dropped at random to learn from gaps and uneven times."""


@dataclass(frozen=True, slots=True)
class Look:
    """A frame: its time, its detections, and who (n,) each one shows or NOBODY."""

    time_s: float
    detections: Detections
    who: NDArray[np.intp]


Sequence = list[Look]


def truth_of(table: F64) -> F64:
    """The rows of a MOT truth that are people to be followed: flag 1 and class 1 where there are classes."""
    counts = table[:, 6] > 0
    if table.shape[1] > 7:
        counts &= table[:, 7] == 1
    return table[counts]


def read_info(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """The sequences of folder/NAME/det that have their truth in folder/NAME/gt: what folder/seqinfo.json says of each (`fps`,
    `frames`, …) and `paths`, those of both tables.

    Raises:
        mot.BadTable: there is none.
    """
    try:
        every = json.loads((folder / "seqinfo.json").read_text())
    except (OSError, ValueError) as error:
        raise mot.BadTable(f"{folder / 'seqinfo.json'}: {error}") from error
    found = {}
    for key, info in sorted(every.items()):
        part, _, sequence = key.partition("/")
        paths = [folder / part / kind / f"{sequence}.txt.gz" for kind in ("det", "gt")]
        if part == name and paths[1].is_file():
            found[sequence] = info | {"paths": paths}
    if not found:
        raise mot.BadTable(f"{folder}: no sequence of {name!r} with its truth")
    return found


def read_set(folder: Path, name: str) -> dict[str, Sequence]:
    """The sequences of `read_info`, with whom each detection shows.

    Raises:
        mot.BadTable: a file cannot be read, or there is no such set.
    """
    return {
        key: sequence_of(mot.read(info["paths"][0]), truth_of(mot.read(info["paths"][1])), info["frames"], info["fps"])
        for key, info in read_info(folder, name).items()
    }


def sequence_of(table: F64, truth: F64, frames: int, fps: float) -> Sequence:
    people = dict(mot.per_frame(truth, frames))
    return [
        Look(
            frame / fps,
            mot.detections(rows),
            shown(mot.detections(rows).boxes, mot.detections(people[frame]).boxes, people[frame][:, 1]),
        )
        for frame, rows in mot.per_frame(table, frames)
    ]


def shown(boxes: NDArray, truth: NDArray, names: NDArray) -> NDArray[np.intp]:
    """(n,) whom each of the boxes (n, 4) shows, under the best pairing with the true boxes (m, 4) of `names` (m,)."""
    who = np.full(len(boxes), NOBODY, np.intp)
    if len(boxes) and len(truth):
        fit = overlap(truth.astype(np.float64).T, boxes.astype(np.float64).T)
        fit[fit < SAME_OVERLAP] = 0
        true, box = linear_sum_assignment(fit, maximize=True)
        good = fit[true, box] > 0
        who[box[good]] = names[true[good]]
    return who


def changing_places(random: np.random.Generator) -> Scene:
    """4 to 7 performers who go from place to place across the whole picture, past one another."""
    scene = random_scene(random, 640, 480, performers=int(random.integers(4, 8)), face_px=(30, 110))
    cast = []
    for performer in scene.performers:
        times = np.cumsum(random.uniform(1.0, 5.0, 12))
        keys = [(float(t), float(random.uniform(0.05, 0.95))) for t in times[times < scene.loop_s - 1]]
        y = float(random.uniform(0.25, 0.5))
        motion = replace(
            performer.motion,
            x=replace(performer.motion.x, keys=tuple(keys)),
            y=replace(performer.motion.y, keys=((0.0, y),)),
        )
        cast.append(replace(performer, motion=motion))
    return replace(scene, performers=tuple(cast))


def noisy(
    faces: list[Face], random: np.random.Generator, width: int, height: int
) -> tuple[Detections, NDArray[np.intp]]:
    """What a detector makes of the truth: 4 % of noise, misses, scores by how much is seen; and whom each shows."""
    seen = [face for face in faces if face.visible > 0.2 and abs(face.yaw_deg) < 90 and random.random() > 0.03]
    boxes = np.array([face.xyxy_px for face in seen], np.float32).reshape(-1, 4)
    boxes += (random.normal(0, 0.04, boxes.shape) * (boxes[:, 3:] - boxes[:, 1:2])).astype(np.float32)
    scores = np.clip([0.35 + 0.55 * face.visible + random.normal(0, 0.1) for face in seen], 0.05, 0.98)
    found = Detections(
        boxes, scores.astype(np.float32), np.zeros(len(seen), np.int32), np.full((len(seen), 5, 2), np.nan, np.float32),
        0, width, height, True,
    )  # fmt: skip
    return found, np.array([face.id for face in seen], np.intp)

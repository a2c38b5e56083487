"""What trackers are measured on: tables of detections with their truth, whole and with frames left out, and simulated walkers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engines.scene.truth import Face
from engines.track import mot
from engines.track.kalman import F64
from engines.track.kinds import FACES, PERSONS, Kind
from engines.train.tracker_data import SCENE_FPS, changing_places, noisy, read_info

FIRST_SCENE = 3_000_000
"""Scenes drawn for this benchmark count their seeds from here; the tracker has learnt from none of them."""


@dataclass(frozen=True)
class Job:
    """A table of detections and the truth (MOT, n × 7 or more), and the frames of it that are looked at."""

    column: str
    sequence: str
    fps: float
    frames: tuple[int, ...]
    table: F64
    truth: F64
    kind: Kind = PERSONS

    @property
    def name(self) -> str:
        return f"{self.column}_{self.sequence}".replace(" ", "_")

    def judged(self) -> F64:
        return self.truth[np.isin(self.truth[:, 0], self.frames)]


def of_set(data: Path, name: str, column: str) -> list[Job]:
    """The sequences of data/NAME that have their truth.

    Raises:
        mot.BadTable: a file cannot be read, or there is no such set.
    """
    jobs = []
    for key, info in read_info(data, name).items():
        table, truth = (mot.read(path) for path in info["paths"])
        jobs.append(Job(column, key, info["fps"], tuple(range(1, info["frames"] + 1)), table, truth))
    return jobs


def every(jobs: list[Job], step: int, first: int, column: str) -> list[Job]:
    return [replace(job, column=column, frames=job.frames[first::step]) for job in jobs]


def half(jobs: list[Job], seed: int, column: str) -> list[Job]:
    """A random half of the frames."""
    random = np.random.default_rng(seed)
    return [replace(job, column=column, frames=tuple(f for f in job.frames if random.random() < 0.5)) for job in jobs]


def drawn_faces(count: int, seconds: float, column: str) -> list[Job]:
    """Faces of drawn scenes whose people change places, with the noise and the misses of a detector of middling skill."""
    jobs = []
    for seed in range(FIRST_SCENE, FIRST_SCENE + count):
        random = np.random.default_rng(seed)
        scene = changing_places(random)
        found, truth, frames = [], [], range(1, round(seconds * SCENE_FPS) + 1)
        for frame in frames:
            faces = scene.truth(frame / SCENE_FPS)
            detections, _ = noisy(faces, random, scene.width, scene.height)
            found += [
                (frame, -1, x0, y0, x1 - x0, y1 - y0, score)
                for (x0, y0, x1, y1), score in zip(detections.boxes, detections.scores, strict=True)
            ]
            truth += [_true_row(frame, face) for face in faces]
        jobs.append(
            Job(column, str(seed), SCENE_FPS, tuple(frames), np.array(found, float), np.array(truth, float), FACES)
        )
    return jobs


def _true_row(frame: int, face: Face) -> tuple[float, ...]:
    """Faces that the truth says to ignore are distractors: class 8 of MOT17."""
    x0, y0, x1, y1 = face.xyxy_px
    return frame, face.id, x0, y0, x1 - x0, y1 - y0, not face.ignore, 8 if face.ignore else 1, face.visible


def walkers(count: int, frames: int = 300) -> Job:
    """People who wander at about 0.4 heights a second; boxes tremble by 1 % of the height, 5 % are missed."""
    random, rows = np.random.default_rng(count), list[tuple[float, ...]]()
    height = random.uniform(150, 400, count) * min(1, (20 / count) ** 0.5)
    place, velocity = (
        random.uniform((0, 0), (1920, 1080), (count, 2)),
        random.normal(0, 0.4, (count, 2)) * height[:, None],
    )
    for frame in range(1, frames + 1):
        place = place + velocity / 30
        velocity = np.where((place < 0) | (place > (1920, 1080)), -velocity, velocity)
        seen = place + random.normal(0, 0.01, (count, 2)) * height[:, None]
        for (x, y), h in zip(seen, height, strict=True):
            if random.random() > 0.05:
                rows.append((frame, -1, x - h * 0.2, y - h * 0.5, h * 0.4, h, random.uniform(0.5, 0.95)))
    table = np.array(rows)
    return Job("walkers", str(count), 30, tuple(range(1, frames + 1)), table, np.zeros((0, 9)))


def write(jobs: list[Job], folder: Path) -> None:
    """For benchmarks/peers/mot_trackers.py."""
    for job in jobs:
        np.savetxt(folder / f"{job.name}.txt", job.table[:, :7], fmt="%d,%d,%.2f,%.2f,%.2f,%.2f,%.3f")
    told = [{"name": job.name, "fps": job.fps, "frames": job.frames} for job in jobs]
    (folder / "jobs.json").write_text(json.dumps(told))


def tracks(folder: Path, peer: str, job: Job) -> F64:
    return mot.read(folder / peer / f"{job.name}.txt")


def columns(jobs: list[Job]) -> Iterator[tuple[str, list[Job]]]:
    for column in dict.fromkeys(job.column for job in jobs):
        yield column, [job for job in jobs if job.column == column]

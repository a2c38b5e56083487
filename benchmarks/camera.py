"""How well does a fancam follow a dancer? Error, lag and jerk of its path, beside other smoothers; and whether the face stays in.

On the people of the DanceTrack sequences whose truth is at hand, cut where the truth has a gap, at least 3 s long. A frame's look
is the detection (score 0.4 and more) matched to the person (IoU 0.5 and more, one to one); the value for a frame is compared
with the truth of that frame, however late it came.

Error: mean distance of the centre from the true one, % of the body's median height. Lag: the shift at which the velocities
correlate best (a parabola through the three best of ± 10 frames), the median over tracks that move. Jerk: root mean square of the
third difference, heights/s³, over all frames. The truth has no faces: the true box's head stands for it, the upper seventh.

The constants of "ours" were chosen on these very people; `benchmarks/LOG.md` has what half of them gives when they are chosen on the
other half.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from scipy.optimize import linear_sum_assignment

from benchmarks.report import ROOT, write_result
from benchmarks.smoothers import OTHERS, listed
from engines.frame import F32
from engines.render.camera import BODY_FACES, Camera, output_size
from engines.render.smooth import F64, LivePath, smooth_whole
from engines.track.associate import overlaps

DATA: Final = ROOT.parent / "shared/data/tracking"
LEAST_SCORE, LEAST_IOU, LEAST_S = 0.4, 0.5, 3.0
REACH: Final = 10
PRESETS: Final = ("upper body", "full body")
FACE_DOWN: Final = 0.09
"""Of the body's height from its top: the face's centre."""


@dataclass(frozen=True, slots=True)
class Person:
    """`truth` (n, 4) and `looks` (n, 4), NaN where there was none: centre, width, height px."""

    truth: F64
    looks: F64
    fps: float
    frame: tuple[int, int]

    @property
    def height(self) -> float:
        return float(np.median(self.truth[:, 3]))


def read(path: Path) -> F64:
    with gzip.open(path, "rt") as file:
        return np.loadtxt(file, delimiter=",", ndmin=2)


def centred(boxes: F64) -> F64:
    """From left, top, width, height."""
    return np.column_stack((boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]))


def corners(boxes: F64) -> F64:
    return np.column_stack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))


def face_of(body: F64) -> F32:
    """(4,) xyxy px: where the face of a body is, given as its centre, width and height (4,) px: in the middle of its top."""
    x, y, _, height = body.tolist()
    half = height / BODY_FACES / 2
    middle = y - height / 2 + FACE_DOWN * height
    return np.array((x - half * 0.8, middle - half, x + half * 0.8, middle + half), np.float32)


def people(data: Path, every: int) -> Iterator[Person]:
    """All that count, with the looks of every so manieth frame."""
    for key, about in json.loads((data / "seqinfo.json").read_text()).items():
        group, name = key.split("/")
        path = data / group / "gt" / f"{name}.txt.gz"
        if group != "dancetrack" or not path.exists():
            continue
        truth, found = read(path), read(data / group / "det" / f"{name}.txt.gz")
        found = found[found[:, 6] >= LEAST_SCORE]
        looks = np.full((len(truth), 4), np.nan)
        for frame in range(1, about["frames"] + 1, every):
            rows, boxes = np.flatnonzero(truth[:, 0] == frame), found[found[:, 0] == frame, 2:6]
            if len(rows) and len(boxes):
                near = overlaps(corners(truth[rows, 2:6]), corners(boxes))
                near[near < LEAST_IOU] = 0
                one, other = linear_sum_assignment(near, maximize=True)
                hit = near[one, other] > 0
                looks[rows[one[hit]]] = centred(boxes[other[hit]])
        for ident in np.unique(truth[:, 1]):
            rows = np.flatnonzero(truth[:, 1] == ident)
            for part in np.split(rows, np.flatnonzero(np.diff(truth[rows, 0]) > 1) + 1):
                seen = np.flatnonzero(~np.isnan(looks[part, 0]))
                part = part[seen[0] :] if len(seen) else part[:0]
                if len(part) >= LEAST_S * about["fps"]:
                    size = about["width"], about["height"]
                    yield Person(centred(truth[part, 2:6]), looks[part], about["fps"], size)


def lag_ms(path: F64, truth: F64, fps: float) -> float:
    ours, true = np.diff(path[:, :2], axis=0), np.diff(truth[:, :2], axis=0)
    n = len(ours)
    fits = [
        float((ours[max(0, by) : n + min(0, by)] * true[max(0, -by) : n + min(0, -by)]).sum())
        for by in range(-REACH, REACH + 1)
    ]
    best = int(np.argmax(fits))
    if not 0 < best < 2 * REACH:
        return float("nan")
    before, at, after = fits[best - 1 : best + 2]
    bend = before - 2 * at + after
    return (best - REACH + (0.5 * (before - after) / bend if bend else 0.0)) * 1000 / fps


class Measures:
    """Gathers the three figures over people."""

    def __init__(self) -> None:
        self._error: list[F64] = []
        self._jerk: list[F64] = []
        self._lags: list[float] = []

    def add(self, path: F64, person: Person) -> None:
        truth, height, fps = person.truth, person.height, person.fps
        self._error.append(np.hypot(*(path[:, :2] - truth[:, :2]).T) / height)
        self._jerk.append((np.diff(path[:, :2], 3, axis=0) * fps**3 / height) ** 2)
        if np.sqrt(((np.diff(truth[:, :2], axis=0) * fps / height) ** 2).sum(axis=1).mean()) >= 0.1:
            self._lags.append(lag_ms(path, truth, fps))

    def figures(self) -> dict[str, float]:
        jerk = np.sqrt(np.concatenate(self._jerk).sum(axis=1).mean())
        error = 100 * np.concatenate(self._error).mean()
        return {"error_percent": float(error), "lag_ms": float(np.nanmedian(self._lags)), "jerk": float(jerk)}


def live(person: Person, delay: int) -> tuple[F64, F64]:
    """Places and velocities (n, 4), as a live fancam has them that is `delay` frames late."""
    path = LivePath(delay)
    looks = listed(person.looks) + [None] * delay
    given = [place for n, look in enumerate(looks) if (place := path.push(n / person.fps, look)) is not None]
    return np.array([place for place, _ in given]), np.array([velocity for _, velocity in given])


def offline(person: Person) -> tuple[F64, F64]:
    path = smooth_whole([n / person.fps for n in range(len(person.looks))], listed(person.looks), person.height)
    return path, np.gradient(path, axis=0) * person.fps


def window_of(person: Person, places: F64, velocities: F64, preset: str) -> tuple[F64, int]:
    """The window's centre (n, 2) px, and in how many frames all of the head that lies in the frame is inside it."""
    (width, height), centres, inside = person.frame, [], 0
    camera = Camera(width, height, *output_size(width, height, preset), preset)
    for n, (place, velocity) in enumerate(zip(places, velocities, strict=True)):
        window = camera.step(face_of(place), True, n / person.fps, velocity)
        centres.append((window.x + window.w / 2, window.y + window.h / 2))
        x0, y0, x1, y1 = face_of(person.truth[n]).tolist()
        right, bottom = window.x + window.w, window.y + window.h
        inside += (
            window.x <= max(x0, 0) and min(x1, width) <= right and window.y <= max(y0, 0) and min(y1, height) <= bottom
        )
    return np.array(centres), inside


def measure(everyone: list[Person]) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Figures of paths, and of the windows that follow ours: the jerk of their centre, and % of the frames with the head."""
    paths = {name: Measures() for name in (*OTHERS, *OURS)}
    windows = {f"{name}, {preset}": (Measures(), [0, 0]) for name in OURS for preset in PRESETS}
    for person in everyone:
        for name, smoother in OTHERS.items():
            paths[name].add(smoother(person.looks[:, [0, 1, 3]], person.fps, person.height), person)
        for name, follow in OURS.items():
            places, velocities = follow(person)
            paths[name].add(places, person)
            for preset in PRESETS:
                centres, inside = window_of(person, places, velocities, preset)
                measures, counts = windows[f"{name}, {preset}"]
                measures.add(centres, person)
                counts[0], counts[1] = counts[0] + inside, counts[1] + len(places)
    shown = {
        name: {"jerk": measures.figures()["jerk"], "head_inside_percent": 100 * counts[0] / counts[1]}
        for name, (measures, counts) in windows.items()
    }
    return {name: row.figures() for name, row in paths.items()}, shown


OURS: Final[dict[str, Callable[[Person], tuple[F64, F64]]]] = {
    "ours (0)": lambda person: live(person, 0),
    "ours (5)": lambda person: live(person, 5),
    "ours (offline)": offline,
}


def command(
    data: Annotated[Path, typer.Option(help="Folder with dancetrack/ and seqinfo.json.")] = DATA,
) -> None:
    if not (data / "seqinfo.json").is_file():
        raise typer.BadParameter(f"{data} holds no seqinfo.json", param_hint="--data")
    results = {}
    print("the constants of ours were chosen on these very people; benchmarks/LOG.md has figures of others")
    for every in (1, 3):
        everyone = list(people(data, every))
        missed = np.concatenate([np.isnan(person.looks[:, 0]) for person in everyone]).mean()
        print(f"\nevery {every}: {len(everyone)} people, {100 * missed:.1f} % of the frames without a look")
        paths, windows = measure(everyone)
        print(f"{'path (delay in frames)':44s} error %  lag ms  jerk h/s³")
        for name, row in paths.items():
            print(f"{name:44s} {row['error_percent']:7.2f} {row['lag_ms']:7.1f} {row['jerk']:10.0f}")
        print(f"{'window (delay in frames)':44s} jerk h/s³  head inside %")
        for name, row in windows.items():
            print(f"{name:44s} {row['jerk']:9.0f} {row['head_inside_percent']:14.2f}", flush=True)
        results[f"every {every}"] = {"people": len(everyone), "paths": paths, "windows": windows}
    write_result("camera", results)

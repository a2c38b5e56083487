"""Can people be told apart by what their covers let through? An attacker that is trained on covered faces says how often.

`fancam bench reversal` covers the faces of 40 people (10 pictures each, ../shared/data/identities/ORL) with each style as the live
redactor does, 30 frames of a trembling picture at a time, trains two attackers on the means of 30 frames of some
pictures (nearest neighbour, and kernel ridge regression with a Gaussian kernel), and asks them who is on the others. Chance is
1 in 40. The same attackers must succeed on a plain blur and on a mosaic of 13 x 13 cells, or the run proves nothing.
(McPherson, Shokri, Shmatikov, Defeating Image Obfuscation with Deep Learning, arXiv 1609.00408, for the attack.)
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Annotated, Final

import cv2
import numpy as np
import typer

from benchmarks.report import ROOT, write_result
from engines.frame import Detections, Frame, Picture
from engines.render.redact import STYLES, Redactor
from engines.track.tracker import Tracker

SHARED: Final = ROOT.parent / "shared"
SET: Final = "ORL"
SIDE: Final = 160
FACE_PX: Final = 64
FRAMES: Final = 30
LOOK: Final = 32
"""Side of what the attacker looks at, the cover and a little around it."""
VARIANTS: Final = 6
"""Sequences made of each picture to train on: mirrored, nearer, lighter …"""
FOLDS: Final = 5
MUST: Final = 0.6
"""What the attackers must reach on covers that are known to be reversible."""

Cover = Callable[[list[Frame], list[np.ndarray]], list[np.ndarray]]
"""Gets frames and the face's box in each; gives the lumas that a viewer sees."""


def ours(style: str) -> Cover:
    """The live redactor, with a track of its own for each sequence."""

    def cover(frames: list[Frame], boxes: list[np.ndarray]) -> list[np.ndarray]:
        redactor, tracker, seen = Redactor(style), Tracker(), []  # type: ignore[arg-type]
        for frame, box in zip(frames, boxes, strict=True):
            found = Detections(
                box[None], np.full(1, 0.9, np.float32), np.zeros(1, np.int32), np.full((1, 5, 2), np.nan, np.float32),
                frame.rtp_time, frame.width, frame.height, True,
            )  # fmt: skip
            safe = redactor.redact(frame, found, tracker.step(found, frame.rtp_time / 90_000))
            seen.append(safe.picture.y.copy())
            safe.release()
        return seen

    return cover


def in_place(change: Callable[[np.ndarray], np.ndarray]) -> Cover:
    """A cover of 1.3 times the face that `change` makes of what is there, frame by frame."""

    def cover(frames: list[Frame], boxes: list[np.ndarray]) -> list[np.ndarray]:
        seen = []
        for frame, (x0, y0, x1, y1) in zip(frames, boxes, strict=True):
            grow_x, grow_y = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
            luma = frame.y.copy()
            part = np.s_[round(y0 - grow_y) : round(y1 + grow_y), round(x0 - grow_x) : round(x1 + grow_x)]
            luma[part] = change(luma[part])
            seen.append(luma)
        return seen

    return cover


def plain_blur(face: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(face, (0, 0), max(face.shape) / 1.3 / 8)


def fine_cells(face: np.ndarray) -> np.ndarray:
    cells = cv2.resize(face, (13, 13), interpolation=cv2.INTER_AREA)
    return cv2.resize(cells, face.shape[::-1], interpolation=cv2.INTER_NEAREST)


COVERS: Final[dict[str, Cover]] = {
    "nothing": in_place(lambda face: face),
    "Gaussian, face / 8": in_place(plain_blur),
    "13 x 13 cells": in_place(fine_cells),
    **{style: ours(style) for style in STYLES},
}
REVERSIBLE: Final = ("Gaussian, face / 8", "13 x 13 cells")


def pictures() -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(person, luma, face's box xyxy) of the set."""
    found = []
    names: dict[str, int] = {}
    with gzip.open(SHARED / "data/identities/faces.jsonl.gz", "rt") as lines:
        for line in lines:
            told = json.loads(line)
            if told["set"] == SET:
                luma = cv2.imread(str(SHARED / "data/identities" / told["file"]), cv2.IMREAD_GRAYSCALE)
                person = names.setdefault(told["person"], len(names))
                found.append((person, np.asarray(luma), np.array(told["xyxy_px"], np.float32)))
    return found


def sequence(luma: np.ndarray, box: np.ndarray, random: np.random.Generator) -> tuple[list[Frame], list[np.ndarray]]:
    """30 frames of the face in the middle of a grey picture that trembles by a pixel or so, as from a hand."""
    flip = random.random() < 0.5
    scale = FACE_PX * random.uniform(0.9, 1.1) / max(box[2] - box[0], box[3] - box[1])
    light = random.uniform(0.85, 1.15)
    centre = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]) / 2 * scale
    frames, boxes = [], []
    for n in range(FRAMES):
        middle = SIDE / 2 + random.normal(0, 0.7, 2)
        move = np.array([[scale, 0, middle[0] - scale * centre[0]], [0, scale, middle[1] - scale * centre[1]]])
        picture = Picture(SIDE, SIDE)
        picture.fill(110)
        drawn = cv2.warpAffine(luma, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture.y[:] = np.clip(drawn[:, ::-1] * light if flip else drawn * light, 16, 235)
        at = np.array((SIDE - middle[0], middle[1])) if flip else middle
        frames.append(Frame.from_video_frame(picture.video_frame, n * 3000, 0))
        jitter = random.normal(0, 0.02, 4) * FACE_PX  # a detector is never exact
        boxes.append((np.concatenate((at - half, at + half)) + jitter).astype(np.float32))
    return frames, boxes


def look(lumas: list[np.ndarray]) -> np.ndarray:
    """What the attacker makes of 30 frames: their mean over the cover, of mean 0 and deviation 1."""
    reach = round(FACE_PX * 0.8)
    part = np.mean(lumas, axis=0)[SIDE // 2 - reach : SIDE // 2 + reach, SIDE // 2 - reach : SIDE // 2 + reach]
    small = cv2.resize(_inside(part), (LOOK, LOOK), interpolation=cv2.INTER_AREA).ravel()
    return (small - small.mean()) / (small.std() + 1e-3)


def _inside(part: np.ndarray) -> np.ndarray:
    """The ellipse of the face alone: hair and background beside the cover are another question."""
    mask = np.zeros(part.shape, np.uint8)
    side = part.shape[0]
    cv2.ellipse(mask, (side // 2, side // 2), (round(side * 0.3), round(side * 0.36)), 0, 0, 360, 1, cv2.FILLED)
    return np.where(mask, part, part[mask == 1].mean())


def nearest(known: np.ndarray, who: np.ndarray, asked: np.ndarray) -> np.ndarray:
    distances = (asked**2).sum(1)[:, None] - 2 * asked @ known.T + (known**2).sum(1)
    return who[distances.argmin(axis=1)]


def kernel_ridge(known: np.ndarray, who: np.ndarray, asked: np.ndarray) -> np.ndarray:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
        return np.exp(-np.maximum(distances, 0) / width)

    distances = (known[:200] ** 2).sum(1)[:, None] - 2 * known[:200] @ known[:200].T + (known[:200] ** 2).sum(1)
    width = np.median(distances[distances > 1e-6]) if (distances > 1e-6).any() else 1.0
    truth = np.eye(who.max() + 1)[who] - 1 / (who.max() + 1)
    weights = np.linalg.solve(kernel(known, known) + 0.01 * np.eye(len(known)), truth)
    return (kernel(asked, known) @ weights).argmax(axis=1)


def attack(cover: Cover, shown: list[tuple[int, np.ndarray, np.ndarray]], seed: int = 0) -> dict[str, float]:
    """The share of pictures whose person each attacker names, trained on the others of that person."""
    random = np.random.default_rng(seed)
    looks = np.array([[look(cover(*sequence(luma, box, random))) for _ in range(VARIANTS)] for _, luma, box in shown])
    people = np.array([person for person, _, _ in shown])
    fold = np.zeros(len(people), int)
    for person in np.unique(people):
        mine = np.flatnonzero(people == person)
        fold[mine] = np.arange(len(mine)) % FOLDS
    right = {"nearest": 0, "kernel ridge": 0}
    for n in range(FOLDS):
        train, asked = fold != n, fold == n
        known, who = looks[train].reshape(-1, LOOK * LOOK), np.repeat(people[train], VARIANTS)
        for name, attacker in (("nearest", nearest), ("kernel ridge", kernel_ridge)):
            right[name] += int((attacker(known, who, looks[asked][:, 0]) == people[asked]).sum())
    return {name: count / len(people) for name, count in right.items()}


def command(
    cover: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
) -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"the faces are not here: {SHARED} does not exist")
    shown = pictures()
    chance = 1 / len({person for person, _, _ in shown})
    found = {}
    for name in cover or COVERS:
        found[name] = attack(COVERS[name], shown)
        best = max(found[name].values())
        print(
            f"{name:<20} {100 * best:5.1f} % named ({', '.join(f'{k} {100 * v:.1f}' for k, v in found[name].items())})"
            f"{f', {best / chance:.1f} times chance' if name in STYLES else ''}",
            flush=True,
        )
    works = all(max(found[name].values()) >= MUST for name in REVERSIBLE) if set(REVERSIBLE) <= set(found) else False
    print(
        f"chance is {100 * chance:.1f} %, the aim for covers twice that; the attack {'works' if works else 'is inconclusive'}"
    )
    write_result(
        "reversal", {"set": SET, "pictures": len(shown), "chance": chance, "named": found, "conclusive": works}
    )

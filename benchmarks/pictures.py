"""Labelled pictures as frames of decoded video, and a judge that counts what a detector finds in them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.report import ROOT
from engines.detect.detector import Detector
from engines.frame import Detections, Frame
from engines.scene.demo import demo_scene
from engines.scene.scene import Scene, random_scene

SHARED = ROOT.parent / "shared"
LABELS, JUDGE, WEIGHTS = SHARED / "data/faces/val.jsonl", SHARED / "judges/ap.py", SHARED / "data/weights"
LEAST_SCORE = 0.02
FIRST_SCENE_SEED, DEMO_CASTS, DEMO_FRAMES = 100, 10, 12

Labelled = tuple[dict[str, Any], Frame]
"""A line of ground truth, and the picture as a decoder would give it."""


def to_frame(bgr: np.ndarray) -> Frame:
    """A photograph as a frame of decoded video: I420, limited range, BT.601."""
    return Frame.from_video_frame(av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p"), 0, 0)


def photographs(labels: Path) -> list[Labelled]:
    """Those of one form one after the other, so that no network is compiled twice for it."""
    return sorted(_photographs(labels), key=lambda one: one[1].width / one[1].height)


def _photographs(labels: Path) -> Iterator[Labelled]:
    folder = labels.parent / "images" if (labels.parent / "images").is_dir() else labels.parent
    for line in labels.read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        bgr = cv2.imread(str(folder / truth["file"]))
        if bgr is None:
            raise SystemExit(f"cannot read {folder / truth['file']}")
        yield truth, to_frame(bgr)


def _scene_frame(scene: Scene, time_s: float, name: str) -> Labelled:
    (y, u, v), faces = scene.render(time_s)
    truth = {"file": name, "width": scene.width, "height": scene.height, "faces": [face.to_json() for face in faces]}
    return truth, Frame(y, u, v, 0, 0)


def scenes(count: int) -> Iterator[Labelled]:
    """One frame of each of `count` scenes: up to twelve performers in any light, faces from 8 px, many half hidden."""
    for seed in range(FIRST_SCENE_SEED, FIRST_SCENE_SEED + count):
        rng = np.random.default_rng(seed)
        scene = random_scene(rng)
        yield _scene_frame(scene, float(rng.uniform(0, scene.loop_s)), f"scene {seed}")


def demo_frames() -> Iterator[Labelled]:
    """The scene that `fancam scene` writes, with the default cast and with others (`--seed`)."""
    for cast in range(DEMO_CASTS):
        scene = demo_scene(seed=cast)
        for number in range(DEMO_FRAMES):
            yield _scene_frame(scene, number * scene.loop_s / DEMO_FRAMES, f"cast {cast}, frame {number}")


def prediction(truth: dict[str, Any], found: Detections) -> dict[str, Any]:
    """A line for the judge; boxes are cut at the picture's edge, as the truth's are."""
    low, high = np.zeros(4), np.array([found.width, found.height] * 2)
    boxes = np.clip(found.boxes, low, high).tolist()
    faces = [
        {"xyxy_px": box, "score": float(score), "landmarks_px": points if np.isfinite(points).all() else None}
        for box, score, points in zip(boxes, found.scores, found.landmarks.tolist(), strict=True)
        if box[2] > box[0] and box[3] > box[1]
    ]
    return {"file": truth["file"], "width": found.width, "height": found.height, "faces": faces}


def judged(truths: Iterable[dict[str, Any]], predictions: Iterable[dict[str, Any]], judge: Path) -> dict[str, Any]:
    """What the judge says of a detector's `prediction`s."""
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder) / "truth.jsonl", Path(folder) / "found.jsonl"
        truth.write_text("".join(json.dumps(line) + "\n" for line in truths))
        found.write_text("".join(json.dumps(line) + "\n" for line in predictions))
        command = [sys.executable, str(judge), "--gt", str(truth), "--pred", str(found), "--json-only"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def judged_on(detector: Detector, labelled: list[Labelled], judge: Path) -> dict[str, Any]:
    """What the judge says of the detector, run as the server runs it."""
    rows = [prediction(truth, detector.detect([frame])[0].faces()) for truth, frame in labelled]
    return judged((truth for truth, _ in labelled), rows, judge)


def check_there(**files: Path) -> None:
    """Files that options name."""
    for option, path in files.items():
        if not path.exists():
            raise SystemExit(f"{path} is not here: name it with --{option}")

"""How many faces does the default network find, and how exactly? Average precision on photographs and on drawn scenes.

`fancam bench face_ap` runs the detector as the server does (decode, scale, network, suppression) over labelled photographs and
over scenes whose seeds training never draws, in each precision, at a long side of 640 and 320 px, and lets a judge count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import av
import cv2
import numpy as np
import typer

from benchmarks.report import ROOT, write_result
from engines.detect.detector import Detector, open_detector
from engines.frame import Detections, Frame
from engines.runtimes import Precision
from engines.scene.demo import demo_scene
from engines.scene.scene import Scene, random_scene

SHARED = ROOT.parent / "shared"
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16", "int8")
LONG_SIDES_PX = (640, 320)
LEAST_SCORE = 0.02
FIRST_SCENE_SEED, DEMO_CASTS, DEMO_FRAMES = 100, 10, 12
COLUMNS = {
    "ap50": "AP@.5",
    "recall_at_precision": "recall at P .9, ≥ 24 px",
    "masked_recall": "masked",
    "landmark_error": "landmarks",
}

Labelled = tuple[dict[str, Any], Frame]
"""A line of ground truth, and the picture as a decoder would give it."""


def to_frame(bgr: np.ndarray) -> Frame:
    """A photograph as a frame of decoded video: I420, limited range, BT.601."""
    return Frame.from_video_frame(av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p"), 0, 0)


def photographs(labels: Path) -> Iterator[Labelled]:
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


def judged(detector: Detector, labelled: list[Labelled], judge: Path) -> dict[str, Any]:
    """What the judge says of the detector."""
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder) / "truth.jsonl", Path(folder) / "found.jsonl"
        truth.write_text("".join(json.dumps(line) + "\n" for line, _ in labelled))
        rows = (prediction(line, detector.detect([frame])[0]) for line, frame in labelled)
        found.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [sys.executable, str(judge), "--gt", str(truth), "--pred", str(found), "--json-only"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def command(
    labels: Annotated[Path, typer.Option(help="Photographs that training never saw.")] = SHARED
    / "data/faces/val.jsonl",
    judge: Annotated[Path, typer.Option(help="The program that counts.")] = SHARED / "judges/ap.py",
    scene_count: Annotated[int, typer.Option("--scenes", min=0, help="Drawn scenes, one frame each.")] = 120,
    model: Annotated[Path | None, typer.Option(help="Another network of the same family.")] = None,
) -> None:
    for path in (labels, judge):
        if not path.is_file():
            raise SystemExit(f"{path} is not here: name it with --{'labels' if path == labels else 'judge'}")
    sets = {"photographs": list(photographs(labels)), "default scene, ten casts": list(demo_frames())}
    if scene_count:
        sets["random scenes"] = list(scenes(scene_count))
    rows = []
    print("pictures, precision, long side: " + ", ".join(COLUMNS.values()))
    for precision in PRECISIONS if model is None else ("f32",):
        for long_side in LONG_SIDES_PX:
            detector = open_detector(model, precision=precision, long_side=long_side, conf=LEAST_SCORE)
            for name, labelled in sets.items():
                result = judged(detector, labelled, judge)
                figures = {key: result[key] for key in COLUMNS}
                rows.append({"pictures": name, "count": len(labelled), **detector.describe(), **figures})
                said = ", ".join("-" if value is None else f"{value:.3f}" for value in figures.values())
                print(f"{name}, {precision}, {long_side}: {said}", flush=True)
    if model is None:
        write_result("face_ap", {"labels": labels.name, "rows": rows})

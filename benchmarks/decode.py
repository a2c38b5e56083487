"""What does it cost to turn a network's outputs into boxes, and are they the boxes that its own makers get?

`fancam bench decode FOLDER` runs each ONNX file there once on a drawn scene and times decoding and suppression on one thread.
Where NAME.npz lies beside NAME.onnx (see benchmarks/peers/ultralytics_boxes.py), the boxes are compared with those in it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.report import write_result
from engines.detect.detector import LEAST_SCORE, Detector, open_detector, settled
from engines.detect.families import Found
from engines.detect.letterbox import Letterbox
from engines.detect.picture import PictureInput
from engines.frame import Frame
from engines.runtimes import RuntimeFailure, open_runtime
from engines.scene.scene import random_scene

ROUNDS = 200
PIXELS = 0.1
"""Boxes and points that lie no further apart are the same."""
NAMED = {"yolox_nano_416": "yolox"}
"""What a file's outputs leave open."""


def outputs_for(detector: Detector, frame: Frame, side: int) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Of the network for `frame`, and the size of its picture."""
    net_h, net_w = detector.fixed_size or (side, side)
    runtime = open_runtime(detector.model, net_h, net_w, kind="onnxruntime")
    letterbox = Letterbox.within(frame.width, frame.height, net_w, net_h)
    if detector.family.look is None:
        letterbox.fill(frame, runtime.inputs["y"][0], runtime.inputs["uv"])
    else:
        PictureInput(next(iter(runtime.inputs.values())), detector.family.look).fill(frame, letterbox)
    return runtime.run(), (net_h, net_w)


def timed(detector: Detector, outputs: list[np.ndarray], size: tuple[int, int]) -> dict[str, Any]:
    def once() -> Found:
        return settled(detector.family.decode(outputs, LEAST_SCORE, size), detector.family.iou, len(detector.names))

    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = once()
        took.append(time.perf_counter() - start)
    return {"boxes": len(found.scores), "decode_ms": round(sorted(took)[ROUNDS // 5] * 1e3, 3)}


def compared(detector: Detector, peer: Path) -> dict[str, Any]:
    """With the rows that its makers' own program got for the same picture: how many are ours too."""
    with np.load(peer) as file:
        theirs = dict(file)
    height, width = theirs["picture"].shape[1:]
    runtime = open_runtime(detector.model, height, width, kind="onnxruntime")
    next(iter(runtime.inputs.values()))[:] = theirs["picture"]
    found = detector.family.decode(runtime.run(), float(theirs["conf"]), (height, width))
    found = settled(found, detector.family.iou, len(detector.names))
    rows = theirs["rows"]
    far = np.abs(found.boxes.clip(0, (width, height) * 2)[None] - rows[:, None, :4]).max(2) > PIXELS
    far |= np.abs(found.scores[None] - rows[:, None, 4]) > 1e-4
    far |= found.classes[None] != rows[:, None, 5]
    if "points" in theirs:
        far |= np.abs(found.landmarks.clip(0, (width, height))[None] - theirs["points"][:, None]).max((2, 3)) > PIXELS
    return {"theirs": len(rows), "ours": len(found.scores), "agree": int((~far).any(1).sum())}


def command(
    folder: Annotated[Path, typer.Argument(help="A folder with ONNX files.")],
    side: Annotated[int, typer.Option(help="Of the picture, px, for networks that take any.")] = 640,
) -> None:
    cv2.setNumThreads(1)
    frame = Frame(*random_scene(5, 1280, 720, performers=6, face_px=(40, 160)).planes(1.0), 0, 0)
    rows = []
    for model in sorted(folder.glob("*.onnx")):
        try:
            detector = open_detector(model, "onnxruntime", "f32", family=NAMED.get(model.stem))
        except RuntimeFailure as refused:
            print(f"{model.name}: {refused}")
            continue
        outputs, size = outputs_for(detector, frame, side)
        row: dict[str, Any] = {"model": model.name, "family": detector.family.name, **timed(detector, outputs, size)}
        if model.with_suffix(".npz").is_file():
            row |= compared(detector, model.with_suffix(".npz"))
        rows.append({**row, "outputs": [list(output.shape) for output in outputs]})
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write_result("decode", {"folder": folder.name, "rows": rows})

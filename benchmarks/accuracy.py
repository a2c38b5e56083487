"""How many faces are found, how exactly and in which time? The default network beside YuNet_n and SCRFD-2.5G, in one run.

`fancam bench accuracy` runs each as the server does (decode, scale, network, suppression) over labelled photographs and over
scenes whose seeds training never draws, at a long side of 640 and 320 px, and lets a judge count. The networks' times on one square
picture are taken by turns, one thread each, as CPU time: on one thread that is what a free core takes, and other work
on the machine disturbs it least.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import openvino as ov
import typer

from benchmarks.pictures import (
    JUDGE,
    LABELS,
    LEAST_SCORE,
    WEIGHTS,
    check_there,
    demo_frames,
    judged_on,
    photographs,
    scenes,
)
from benchmarks.report import write_result
from engines.detect.detector import Detector, open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.runtimes import Precision

LONG_SIDES_PX = (640, 320)
ROUNDS = 60
PHOTOGRAPHS, DEFAULT_SCENE, RANDOM_SCENES = "photographs", "default scene", "random scenes"


class Contestant(NamedTuple):
    name: str
    file: Path
    precision: Precision
    family: str | None = None
    judged: bool = True
    """False: its time alone is taken, in a precision that this table does not need otherwise."""


def contestants(weights: Path, model: Path | None, folder: Path) -> list[Contestant]:
    """Our network in each precision, or `model`; and the anchors, where their files lie in `weights`."""
    if model is None:
        ours = [
            Contestant("face_nano", default_face_model("int8"), "int8"),
            Contestant("face_nano", default_face_model(), "f32"),
            Contestant("face_nano", default_face_model(), "bf16", judged=False),
        ]
    else:
        ours = [Contestant(model.stem, model, "f32")]
    anchors = []
    for name, file, family in (
        ("YuNet_n", "yunet_n_640_640.onnx", "yunet"),
        ("SCRFD-2.5G", "scrfd_2.5g.onnx", "scrfd"),
    ):
        if (weights / file).is_file():
            opened = with_open_sides(weights / file, folder)
            anchors += [Contestant(name, opened, "bf16", family), Contestant(name, opened, "f32", family, judged=False)]
        else:
            print(f"{name} is left out: {weights / file} is not here")
    return ours + anchors


def with_open_sides(model: Path, folder: Path) -> Path:
    """A copy that takes pictures of any size: YuNet_n's file says 640×640, its operators do not mind."""
    network = ov.Core().read_model(model)
    network.reshape([1, 3, -1, -1])
    path = folder / f"{model.stem}.xml"
    ov.save_model(network, path, compress_to_fp16=False)
    return path


def squared(frame: Frame, side: int) -> Frame:
    """`frame` without its proportions, `side` × `side` px."""

    def scaled(plane: np.ndarray, side: int) -> np.ndarray:
        return cv2.resize(plane, (side, side)).astype(np.uint8)

    return Frame(scaled(frame.y, side), scaled(frame.u, side // 2), scaled(frame.v, side // 2), 0, 0)


def network_times_ms(detectors: Sequence[Detector], frame: Frame, rounds: int = ROUNDS) -> list[float]:
    """Median CPU time of each detector's network alone on `frame`, taken by turns."""
    ready = []
    for detector in detectors:
        letterbox = detector.letterbox(frame.width, frame.height)
        network = detector.prepare(letterbox)
        network.fill[0](frame, letterbox)
        network.runtime.run()
        ready.append(network.runtime)
    times = np.zeros((rounds, len(ready)))
    for turn, (column, runtime) in itertools.product(range(rounds), enumerate(ready)):
        started = time.process_time()
        runtime.run()
        times[turn, column] = time.process_time() - started
    return (1000 * np.median(times, axis=0)).tolist()


def _figures(detector: Detector, sets: dict[str, Any], judge: Path, judged: bool) -> dict[str, Any]:
    nothing = dict.fromkeys(("ap50", "recall_at_precision", "masked_recall", "landmark_error"))
    said = {name: judged_on(detector, labelled, judge) if judged else nothing for name, labelled in sets.items()}
    photos = said.pop(PHOTOGRAPHS)
    return {
        "ap50": photos["ap50"],
        "recall_at_precision": photos["recall_at_precision"],
        "masked_recall": photos["masked_recall"],
        "landmark_error": photos["landmark_error"],
        **{f"ap50, {name}": result["ap50"] for name, result in said.items()},
    }


def command(
    labels: Annotated[Path, typer.Option(help="Photographs that training never saw.")] = LABELS,
    judge: Annotated[Path, typer.Option(help="The program that counts.")] = JUDGE,
    weights: Annotated[Path, typer.Option(help="Where YuNet_n and SCRFD-2.5G lie.")] = WEIGHTS,
    scene_count: Annotated[int, typer.Option("--scenes", min=0, help="Random drawn scenes, one frame each.")] = 120,
    model: Annotated[Path | None, typer.Option(help="Another network in the default one's place.")] = None,
) -> None:
    check_there(labels=labels, judge=judge)
    sets = {PHOTOGRAPHS: photographs(labels), DEFAULT_SCENE: list(demo_frames())}
    if scene_count:
        sets[RANDOM_SCENES] = list(scenes(scene_count))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        there = contestants(weights, model, Path(folder))
        for side in LONG_SIDES_PX:
            detectors = [
                open_detector(one.file, "openvino", one.precision, side, conf=LEAST_SCORE, family=one.family)
                for one in there
            ]
            times = network_times_ms(detectors, squared(sets[PHOTOGRAPHS][0][1], side))
            for one, detector, took_ms in zip(there, detectors, times, strict=True):
                figures = _figures(detector, sets, judge, one.judged)
                row = {"network": one.name, "precision": one.precision, "long_side_px": side, **figures}
                rows.append({**row, "network_cpu_ms": round(took_ms, 3)})
                if len(rows) == 1:
                    print(" | ".join(rows[0]))
                print(" | ".join(_said(value) for value in rows[-1].values()), flush=True)
    if model is None:
        counts = {name: len(labelled) for name, labelled in sets.items()}
        write_result("accuracy", {"labels": labels.name, "pictures": counts, "threads": 1, "rows": rows})


def _said(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

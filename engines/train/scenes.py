"""Drawn scenes as training pictures: rendered once into a folder, with a label file like that of the photographs."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from engines.scene.scene import random_scene

LABELS = "scenes.jsonl"
#: Scenes drawn for training count their seeds from here; seeds below are for tests and benchmarks.
FIRST_SEED = 1_000_000
SIZES_PX = ((640, 640), (640, 360), (480, 640), (480, 480))
JPEG_QUALITY = 92
#: With fewer, starting another process takes longer than drawing.
SCENES_A_PROCESS = 50


def draw(folder: Path, count: int, first_seed: int = FIRST_SEED) -> Path:
    """One frame of each of `count` scenes into `folder`, and their labels; returns the label file.

    A folder that already holds the labels of at least as many scenes is left as it is.
    """
    labels = folder / LABELS
    if labels.is_file() and len(labels.read_text(encoding="utf-8").splitlines()) >= count:
        return labels
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + count)
    if count < SCENES_A_PROCESS:
        lines = [_draw_one(folder, seed) for seed in seeds]
    else:
        processes = min(count // SCENES_A_PROCESS, os.cpu_count() or 1)
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            lines = list(pool.map(_draw_one, repeat(folder), seeds, chunksize=8))
    aside = folder / (LABELS + ".part")
    aside.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    os.replace(aside, labels)
    return labels


def _draw_one(folder: Path, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    width, height = SIZES_PX[rng.integers(len(SIZES_PX))]
    scene = random_scene(rng, width, height)
    time_s = float(rng.uniform(0, scene.loop_s))
    file = f"scene_{seed}.jpg"
    cv2.imwrite(str(folder / file), scene.picture(time_s), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return {"file": file, "width": width, "height": height, "faces": [face.to_json() for face in scene.truth(time_s)]}

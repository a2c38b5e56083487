"""Does the tracker keep the people of the drawn scene apart? IDF1 of its tracks, from exact boxes with noise or the detector's.

`fancam bench track-scene` also prints the tracker's µs a frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.report import write_result
from engines.frame import Detections, Frame, Tracks
from engines.scene.demo import demo_scene
from engines.scene.scene import Scene
from engines.scene.truth import Face
from engines.track.appearance import describe
from engines.track.associate import overlaps
from engines.track.tracker import Tracker
from engines.train.tracker_data import noisy

Named = tuple[Sequence[int], np.ndarray]
"""Ids and boxes (n, 4) xyxy of one frame."""


def idf1(truth: Sequence[Named], output: Sequence[Named], least_iou: float = 0.5) -> float:
    """2 IDTP / (true boxes + given boxes), under the best one-to-one pairing of true and given ids.

    Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016.
    """
    together: Counter[tuple[int, int]] = Counter()
    for (true_ids, true_boxes), (ids, boxes) in zip(truth, output, strict=True):
        if len(true_ids) and len(ids):
            near = overlaps(np.asarray(true_boxes, float), np.asarray(boxes, float)) >= least_iou
            together.update((true_ids[i], ids[j]) for i, j in zip(*np.nonzero(near), strict=True))
    if not together:
        return 0.0
    true_names, names = (sorted({pair[k] for pair in together}) for k in (0, 1))
    shared = np.array([[together[true, name] for name in names] for true in true_names])
    rows, columns = linear_sum_assignment(shared, maximize=True)
    total = sum(len(ids) for ids, _ in truth) + sum(len(ids) for ids, _ in output)
    return 2 * int(shared[rows, columns].sum()) / total


def judged(faces: list[Face], tracks: Tracks) -> tuple[Named, Named]:
    """The truth and the tracks of a frame: measured, confirmed, and not on a face that the truth says to ignore."""
    counted, ignored = [face for face in faces if not face.ignore], [face for face in faces if face.ignore]
    shown = tracks.measured & tracks.confirmed
    if ignored:
        near = overlaps(tracks.boxes.astype(float), np.array([face.xyxy_px for face in ignored]))
        shown &= near.max(axis=1) < 0.5
    truth = [face.id for face in counted], np.array([face.xyxy_px for face in counted]).reshape(-1, 4)
    return truth, (tracks.ids[shown].tolist(), tracks.boxes[shown])


def scene_idf1(fps: int = 30, every: int = 1, seed: int = 0) -> float:
    """IDF1 on the demo scene's one round, from noisy truth; `every` drops frames as an overloaded server does."""
    scene, random, tracker = demo_scene(), np.random.default_rng(seed), Tracker()
    pairs = []
    for n in range(0, round(scene.loop_s * fps), every):
        faces = scene.truth(n / fps)
        tracks = tracker.step(noisy(faces, random, scene.width, scene.height)[0], n / fps)
        pairs.append(judged(faces, tracks))
    return idf1([truth for truth, _ in pairs], [given for _, given in pairs])


def detected_idf1(detect: Callable[[Frame], Detections], fps: int = 30) -> tuple[float, float]:
    """IDF1 on the demo scene drawn and searched frame by frame, and the tracker's median µs a frame."""
    scene, tracker, pairs, took = demo_scene(), Tracker(), [], []
    for frame, faces in drawn(scene, fps):
        detections = detect(frame)
        started = time.perf_counter()
        tracks = tracker.step(detections, frame.rtp_time / 90_000, looks=describe(frame, detections.boxes))
        took.append(time.perf_counter() - started)
        pairs.append(judged(faces, tracks))
    return idf1([truth for truth, _ in pairs], [given for _, given in pairs]), float(np.median(took)) * 1e6


def drawn(scene: Scene, fps: int) -> Iterator[tuple[Frame, list[Face]]]:
    for n in range(round(scene.loop_s * fps)):
        (y, u, v), faces = scene.render(n / fps)
        yield Frame(y, u, v, n * 90_000 // fps, 0), faces


def command() -> None:
    from engines.detect.detector import open_detector

    figures: dict[str, float] = {}
    for every in (1, 2, 3):
        score = figures[f"noisy truth, every {every}"] = scene_idf1(every=every)
        print(f"exact boxes with noise, one frame in {every}: IDF1 {score:.3f}", flush=True)
    detector = open_detector()
    score, took_us = detected_idf1(lambda frame: detector.detect([frame])[0])
    print(f"detected by {detector.describe()}: IDF1 {score:.3f}, tracker {took_us:.0f} µs a frame")
    write_result("track_scene", {"idf1": {**figures, "detected": score}, "tracker_us": took_us, **detector.describe()})

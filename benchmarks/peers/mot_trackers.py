"""Other people's trackers on tables of detections: SORT, ByteTrack, OC-SORT and C-BIoU of `trackers`, ARC-SORT of `arcsort`,
Hybrid-SORT, BoostTrack and SFSORT of `boxmot`, and norfair.

python mot_trackers.py FOLDER

Reads FOLDER/jobs.json, [{"name", "fps", "frames"}], and FOLDER/NAME.txt (frame,-1,left,top,width,height,score); writes
FOLDER/PEER/NAME.txt and FOLDER/times.json, {PEER: {NAME: median µs a frame}}. All have their package's defaults; norfair, which leaves
them open, a distance of .7 in intersection over union and only tracks seen in the frame; arcsort its preset for DanceTrack. There are
no pictures here: what compares looks or follows the camera by them is off. Frames that are not in "frames" are left out, and only
those trackers that take a time are told so.
"""

import inspect
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import boxmot
import loguru
import norfair
import numpy as np
import supervision as sv
import trackers
from arcsort import ARCTracker

Step = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""Gets boxes (n, 4) xyxy, scores (n,) and seconds; gives ids (m,) and boxes (m, 4)."""
OF_BOXMOT = {
    "HybridSort": {"use_embeddings": False, "cmc_method": None, "variable_dt": True},
    "BoostTrack": {"use_cmc": False, "variable_dt": True},
    "SFSORT": {},
}
PEERS = ("SORT", "ByteTrack", "OCSORT", "CBIoU", "ARC-SORT", *OF_BOXMOT, "norfair")
NO_PICTURE = np.zeros((1080, 1920, 3), np.uint8)
"""Some ask for one, if only for its size."""


def of_trackers(name: str, fps: float) -> Step:
    tracker = getattr(trackers, f"{name}Tracker")(frame_rate=fps)
    timed = "timestamp" in inspect.signature(tracker.update).parameters

    def step(boxes: np.ndarray, scores: np.ndarray, now: float) -> tuple[np.ndarray, np.ndarray]:
        found = sv.Detections(xyxy=boxes, confidence=scores, class_id=np.zeros(len(scores), int))
        seen = tracker.update(found, timestamp=now) if timed else tracker.update(found)
        ids = np.zeros(0, int) if seen.tracker_id is None else seen.tracker_id
        return ids[ids >= 0] + 1, seen.xyxy[ids >= 0]

    return step


def classed(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.column_stack((boxes, scores, np.zeros(len(scores))))


def of_arcsort() -> Step:
    tracker = ARCTracker.from_preset("dancetrack", use_cmc=False)

    def step(boxes: np.ndarray, scores: np.ndarray, now: float) -> tuple[np.ndarray, np.ndarray]:
        seen = np.reshape(tracker.update(classed(boxes, scores), None), (-1, 5))
        return seen[:, 4].astype(int), seen[:, :4]

    return step


def of_boxmot(name: str) -> Step:
    tracker = getattr(boxmot, name)(**OF_BOXMOT[name])

    def step(boxes: np.ndarray, scores: np.ndarray, now: float) -> tuple[np.ndarray, np.ndarray]:
        told = {"timestamp_s": now} if tracker.variable_dt else {}
        seen = np.reshape(tracker.update(classed(boxes, scores), NO_PICTURE, **told), (-1, 8))
        return seen[:, 4].astype(int) + 1, seen[:, :4]

    return step


def of_norfair() -> Step:
    tracker = norfair.Tracker(distance_function="iou", distance_threshold=0.7)

    def step(boxes: np.ndarray, scores: np.ndarray, now: float) -> tuple[np.ndarray, np.ndarray]:
        good = scores > 0.4
        found = [norfair.Detection(points=box.reshape(2, 2)) for box in boxes[good]]
        seen = [one for one in tracker.update(detections=found) if one.last_detection in found]
        return np.array([one.id for one in seen], int), np.array([one.estimate.ravel() for one in seen]).reshape(-1, 4)

    return step


def tracker_of(peer: str, fps: float) -> Step:
    if peer == "norfair":
        return of_norfair()
    if peer == "ARC-SORT":
        return of_arcsort()
    return of_boxmot(peer) if peer in OF_BOXMOT else of_trackers(peer, fps)


def run(step: Step, table: np.ndarray, frames: list[int], fps: float) -> tuple[np.ndarray, float]:
    starts = np.searchsorted(table[:, 0], frames), np.searchsorted(table[:, 0], frames, side="right")
    rows, took = [np.zeros((0, 7))], []
    for frame, start, end in zip(frames, *starts, strict=True):
        boxes, scores = table[start:end, 2:6].copy(), table[start:end, 6].copy()
        boxes[:, 2:] += boxes[:, :2]
        started = time.perf_counter()
        ids, kept = step(boxes, scores, frame / fps)
        took.append(time.perf_counter() - started)
        size = kept[:, 2:] - kept[:, :2]
        rows.append(np.column_stack((np.full(len(ids), frame), ids, kept[:, :2], size, np.ones(len(ids)))))
    return np.concatenate(rows), float(np.median(took[min(50, len(took) // 2) :])) * 1e6


def main(folder: Path) -> None:
    loguru.logger.remove()
    logging.disable(logging.WARNING)
    times: dict[str, dict[str, float]] = {}
    for peer in PEERS:
        (folder / peer).mkdir(exist_ok=True)
        for job in json.loads((folder / "jobs.json").read_text()):
            if peer == "norfair" and job["name"].startswith("walkers_100"):
                continue  # seconds a frame
            table = np.loadtxt(folder / f"{job['name']}.txt", delimiter=",", ndmin=2)
            step = tracker_of(peer, job["fps"])
            rows, times.setdefault(peer, {})[job["name"]] = run(step, table, job["frames"], job["fps"])
            np.savetxt(folder / peer / f"{job['name']}.txt", rows, fmt="%d,%d,%.2f,%.2f,%.2f,%.2f,%.3f")
    (folder / "times.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

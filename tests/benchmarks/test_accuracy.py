"""What `fancam bench accuracy` hands to its judge, and that the anchors run at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.accuracy import network_times_ms, squared, with_open_sides
from benchmarks.pictures import demo_frames, prediction
from engines.detect.detector import open_detector
from engines.frame import Detections
from engines.track.associate import overlaps


def test_boxes_are_cut_at_the_edge_and_what_is_not_known_is_left_out() -> None:
    boxes = np.array([[-10, 5, 30, 40], [50, 50, 400, 300], [-9, 0, -1, 9]], np.float32)
    landmarks = np.full((3, 5, 2), 7, np.float32)
    landmarks[1, 2] = np.nan
    scores = np.array([0.75, 0.5, 0.25], np.float32)
    found = Detections(boxes, scores, np.zeros(3, np.int32), landmarks, 0, 320, 240, True)
    line = prediction({"file": "a.jpg", "width": 640, "height": 480}, found)
    assert (line["file"], line["width"], line["height"]) == ("a.jpg", 320, 240)
    first, second = line["faces"]
    assert first == {"xyxy_px": [0, 5, 30, 40], "score": 0.75, "landmarks_px": [[7, 7]] * 5}
    assert second == {"xyxy_px": [50, 50, 320, 240], "score": 0.5, "landmarks_px": None}


def test_an_anchor_of_one_size_runs_at_another(shared: Path, tmp_path: Path) -> None:
    opened = with_open_sides(shared / "data/weights/yunet_n_640_640.onnx", tmp_path)
    detector = open_detector(opened, "openvino", "f32", 320, conf=0.5, family="yunet")
    truth, frame = next(demo_frames())
    (found,) = detector.detect([frame])
    assert detector.fixed_size is None
    assert detector.letterbox(frame.width, frame.height).net_w == 320
    faces = np.array([face["xyxy_px"] for face in truth["faces"] if not face["ignore"]])
    assert (overlaps(faces, found.boxes.astype(float)).max(1) > 0.5).mean() > 0.5
    ours = open_detector(long_side=320)
    assert all(took > 0 for took in network_times_ms([ours, detector], squared(frame, 320), rounds=3))

"""From frames to boxes: the letterbox goes there and back, the decoding is what a plain loop says, suppression keeps its law."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.detect.detector import SHAPES_KEPT, open_detector, settled
from engines.detect.families.family import Found, no_landmarks
from engines.detect.families.fancam_face import decode
from engines.detect.letterbox import PAD_LEVEL, STRIDE, Letterbox
from engines.detect.nms import IOU, suppress
from engines.frame import Frame, Tracks
from engines.render.redact import Redactor, Unsafe
from engines.runtimes import RuntimeFailure
from engines.scene.scene import random_scene
from engines.track.associate import overlaps
from tests.engines.made import noise_frame

sides = st.integers(16, 4000)


@given(sides, sides, st.sampled_from((320, 640, 1280)), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_box_goes_there_and_back(width: int, height: int, long_side: int, shares: list[float]) -> None:
    box = Letterbox.fit(width, height, long_side)
    assert box.net_w % STRIDE == box.net_h % STRIDE == 0
    assert max(box.inner_w, box.inner_h) == long_side
    assert 0 <= box.net_w - box.inner_w < STRIDE
    assert 0 <= box.net_h - box.inner_h < STRIDE
    frame_px = np.array([shares], np.float32) * (width, height, width, height)
    net_px = (frame_px * np.tile(box.scale, 2)).astype(np.float32)
    assert (net_px <= np.float32(long_side) + 0.01).all()
    assert np.abs(box.to_frame(net_px) - frame_px).max() < 0.01


def test_at_scale_one_pixels_are_copied_and_the_rest_is_padding() -> None:
    frame = noise_frame(640, 360)
    box = Letterbox.fit(640, 360, 640)
    y, uv = np.zeros((box.net_h, box.net_w), np.uint8), np.zeros((2, box.net_h // 2, box.net_w // 2), np.uint8)
    assert y.shape == (384, 640)
    box.fill(frame, y, uv)
    assert np.array_equal(y[:360], frame.y)
    assert np.array_equal(uv[0, :180], frame.u)
    assert np.array_equal(uv[1, :180], frame.v)
    assert (y[360:] == PAD_LEVEL).all()
    assert (uv[:, 180:] == PAD_LEVEL).all()


@pytest.mark.parametrize("size", [(1280, 720), (320, 240), (202, 640)])
def test_scaled_pictures_stay_where_they_are(size: tuple[int, int]) -> None:
    width, height = size
    y = np.tile(np.linspace(16, 235, width).astype(np.uint8), (height, 1))
    grey = np.full((height // 2, width // 2), 128, np.uint8)
    box = Letterbox.fit(width, height, 640)
    into, uv = np.zeros((box.net_h, box.net_w), np.uint8), np.zeros((2, box.net_h // 2, box.net_w // 2), np.uint8)
    box.fill(Frame(y, grey, grey, 0, 0), into, uv)
    expected = np.linspace(16, 235, box.inner_w)
    assert np.abs(into[: box.inner_h, : box.inner_w] - expected).max() < 3


@given(st.integers(0, 2**32 - 1), st.sampled_from((0.1, 0.3, 0.7)))
@settings(max_examples=30)
def test_decoding_is_what_a_plain_loop_says(seed: int, conf: float) -> None:
    random = np.random.default_rng(seed)
    outputs = [random.normal(0, 3, (1, 15, 96 // s, 64 // s)).astype(np.float32) for s in (8, 16, 32)]
    boxes, scores, classes, landmarks = decode(outputs, conf, (96, 64))
    assert (classes == 0).all()
    expected = []
    for stride, (output,) in zip((8, 16, 32), outputs, strict=True):
        for row in range(output.shape[1]):
            for column in range(output.shape[2]):
                value = [float(v) for v in output[:, row, column]]
                score = 1 / (1 + math.exp(-value[0]))
                if score <= conf:
                    continue
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                left, top, right, bottom = (math.exp(min(max(v, -4.0), 5.0)) * stride for v in value[1:5])
                points = [c + v * stride for v, c in zip(value[5:], [x, y] * 5, strict=True)]
                expected.append([x - left, y - top, x + right, y + bottom, score, *points])
    assert len(boxes) == len(expected)
    got = np.concatenate((boxes, scores[:, None], landmarks.reshape(-1, 10)), 1)
    if expected:
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-2)


def test_nothing_over_the_threshold_is_empty_arrays_of_the_right_shape() -> None:
    outputs = [np.full((1, 15, 12 // s, 8 // s), -20, np.float32) for s in (1, 2, 4)]
    boxes, scores, _, landmarks = decode(outputs, 0.1, (96, 64))
    assert (boxes.shape, scores.shape, landmarks.shape) == ((0, 4), (0,), (0, 5, 2))
    assert suppress(boxes, scores).shape == (0,)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_suppression_keeps_the_best_and_no_two_on_one_thing(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 200, (count, 2)), random.uniform(5, 80, (count, 2))
    boxes = np.concatenate((corner, corner + size), 1).astype(np.float32)
    scores = random.permutation(np.linspace(0.1, 0.99, count)).astype(np.float32)
    kept = suppress(boxes, scores)
    assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) < 0).all()
    between = overlaps(boxes[kept].astype(float), boxes[kept].astype(float))
    assert (between[~np.eye(len(kept), dtype=bool)] <= IOU + 1e-4).all()
    gone = np.setdiff1d(np.arange(count), kept)
    if len(gone):  # and what went lay on something better
        shadow = overlaps(boxes[gone].astype(float), boxes[kept].astype(float)) > IOU - 1e-4
        assert (shadow & (scores[kept][None] > scores[gone][:, None])).any(1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_boxes_of_several_classes_suppress_their_own_alone(seed: int, count: int) -> None:
    """As cv2's batched suppression has it."""
    random = np.random.default_rng(seed)
    corner, size = random.uniform(-50, 200, (count, 2)), random.uniform(5, 80, (count, 2))
    boxes = np.concatenate((corner, corner + size), 1).astype(np.float32)
    scores = random.permutation(np.linspace(0.1, 0.99, count)).astype(np.float32)
    classes = random.integers(0, 4, count).astype(np.int32)
    sized = np.concatenate((corner, size), 1).astype(np.float32)
    expected = cv2.dnn.NMSBoxesBatched(sized.tolist(), scores.tolist(), classes.tolist(), 0.0, IOU)
    assert sorted(suppress(boxes, scores, classes=classes)) == sorted(expected)


def test_what_a_broken_network_says_is_left_out() -> None:
    """Boxes that are no numbers, and classes that there are not; the rest stays, best first."""
    boxes = np.array(
        [[0, 0, 9, 9], [20, 0, np.nan, 9], [40, 0, 49, np.inf], [60, 0, 69, 9], [80, 0, 89, 9]], np.float32
    )
    scores = np.array([0.5, 0.9, 0.9, 0.9, 0.7], np.float32)
    classes = np.array([1, 0, 0, -1, 0], np.int32)
    for iou in (0.5, None):
        for beyond in (classes, np.where(classes < 0, 2, classes).astype(np.int32)):
            left = settled(Found(boxes, scores, beyond, no_landmarks(5)), iou, 2)
            assert left.boxes.tolist() == [[80, 0, 89, 9], [0, 0, 9, 9]]
            assert left.classes.tolist() == [0, 1]
            assert left.landmarks.shape == (2, 5, 2)


def test_an_answer_with_what_is_no_number_is_not_taken_for_an_empty_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(*random_scene(5, 1280, 720, performers=3, face_px=(80, 200)).planes(1.0), 12_345, 0)
    detector = open_detector()
    assert detector.detect([frame])[0].complete
    runtime = detector.prepare(detector.letterbox(1280, 720)).runtime
    outputs = [output.copy() for output in runtime.run()]
    outputs[0].flat[7] = np.nan
    monkeypatch.setattr(runtime, "run", lambda count: outputs)
    (found,) = detector.detect([frame])
    with pytest.raises(Unsafe):
        Redactor().redact(frame, found, Tracks.empty())


def test_scores_that_are_none_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a network that was exported without its last sigmoid."""
    frame = Frame(*random_scene(5, 1280, 720, performers=3, face_px=(80, 200)).planes(1.0), 12_345, 0)
    detector = open_detector()

    def logits(outputs: list[Any], conf: float, size: tuple[int, int]) -> Found:
        return Found(np.float32([[9, 9, 99, 99]]), np.float32([6]), np.zeros(1, np.int32), no_landmarks(1))

    monkeypatch.setattr(detector, "family", replace(detector.family, decode=logits))
    (found,) = detector.detect([frame])
    with pytest.raises(Unsafe):
        Redactor().redact(frame, found, Tracks.empty())


def test_detections_belong_to_their_frame_and_lie_in_it() -> None:
    (y, u, v) = random_scene(5, 1280, 720, performers=3, face_px=(80, 200)).planes(1.0)
    frame = Frame(y, u, v, 12_345, 0)
    (found,) = open_detector().detect([frame])
    assert found.complete
    assert found.belong_to(frame)
    assert len(found)
    assert found.landmarks.shape == (len(found), 5, 2)
    assert (found.scores >= 0.1).all()


def test_memory_does_not_grow_with_frames_or_sizes() -> None:
    detector = open_detector(long_side=320)
    frames = [noise_frame(320, height) for height in range(64, 64 + 32 * (SHAPES_KEPT + 2), 32)]
    for frame in frames:
        detector.detect([frame])
    assert len(detector._ready) <= SHAPES_KEPT
    before = resident_mib()
    for _ in range(100):
        detector.detect([frames[0]])
    assert resident_mib() - before < 15


def resident_mib() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_the_description_says_what_really_runs() -> None:
    said = open_detector(runtime="onnxruntime", precision="f32", long_side=480).describe()
    assert said == {
        "model": "face_nano.onnx", "runtime": "onnxruntime", "precision": "f32", "long_side_px": 480, "threads": 1,
    }  # fmt: skip


def test_a_missing_runtime_is_a_visible_fallback_and_an_error_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.detect.detector.available", lambda: ("onnxruntime",))
    assert open_detector().describe()["runtime"] == "onnxruntime"
    with pytest.raises(RuntimeFailure, match="openvino cannot be used here"):
        open_detector(runtime="openvino")
    monkeypatch.setattr("engines.detect.detector.available", tuple)
    with pytest.raises(RuntimeFailure, match="no runtime here"):
        open_detector()


def test_an_unknown_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="no model at") as caught:
        open_detector(tmp_path / "none.onnx")
    assert len(str(caught.value).splitlines()) == 1

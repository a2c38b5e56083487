"""The shipped face network: its contract, its size, and that it finds drawn faces in either precision."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

from engines.detect.detector import open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.scene.demo import demo_scene
from engines.track.associate import overlaps

PRECISIONS = ("f32", "int8")


@pytest.fixture(scope="module", params=PRECISIONS)
def session(request: pytest.FixtureRequest) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(default_face_model(request.param)), providers=["CPUExecutionProvider"])


def test_both_files_together_are_small():
    assert sum(default_face_model(precision).stat().st_size for precision in PRECISIONS) <= 5 << 20


def test_the_card_lies_beside_the_files():
    card = default_face_model().with_name("face_nano.md").read_text(encoding="utf-8")
    for part in ("Licence", "Data", "Limits", "fancam bench accuracy", "fancam train faces"):
        assert part in card


@pytest.mark.parametrize(("count", "height", "width"), [(1, 64, 96), (2, 160, 64)])
def test_planes_in_three_maps_out_at_any_size(session, count, height, width):
    y = np.full((count, 1, height, width), 90, np.uint8)
    uv = np.full((count, 2, height // 2, width // 2), 128, np.uint8)
    outputs = session.run(["o8", "o16", "o32"], {"y": y, "uv": uv})
    for output, stride in zip(outputs, (8, 16, 32), strict=True):
        assert output.shape == (count, 15, height // stride, width // stride)
        assert output.dtype == np.float32
        assert np.isfinite(output).all()


def test_the_metadata_says_what_it_is(session):
    said = session.get_modelmeta().custom_metadata_map
    assert (said["family"], said["task"], said["stride"]) == ("fancam", "face", "32")
    assert json.loads(said["names"]) == {"0": "face"}
    assert int(said["imgsz"]) % 32 == 0
    assert said["version"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_finds_the_performers_and_little_else(precision):
    detector = open_detector(default_face_model(precision), runtime="onnxruntime", conf=0.5)
    scene = demo_scene()
    faces = found = extra = 0
    for number in range(12):
        (y, u, v), truth = scene.render(number * scene.loop_s / 12)
        detections = detector.detect([Frame(y, u, v, 0, 0)])[0]
        near = overlaps(np.array([face.xyxy_px for face in truth]), detections.boxes.astype(float)) >= 0.5
        counted = np.array([not face.ignore for face in truth])
        faces += int(counted.sum())
        found += int(near[counted].any(1).sum())
        extra += int((~near.any(0)).sum())
    assert faces > 20
    assert found >= 0.9 * faces
    assert extra <= 0.1 * faces

"""Other people's detectors, as they published them, find what is there in real pictures; YuNet's boxes are OpenCV's own."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engines.codecs.decode import to_i420
from engines.detect.detector import open_detector
from engines.detect.joint import JointDetector
from engines.frame import Detections, Frame
from engines.track.associate import overlaps

SURE = 0.5
STREET_FACES = np.array([(618, 159, 673, 226), (940, 148, 990, 209)], float)
"""Of frame 60 of the clip, where every detector was seen to find them."""
FACE_MODELS = (
    "face_detection_yunet_2023mar", "yunet_n_640_640", "scrfd_500m_bnkps_640", "scrfd_2.5g", "retinaface_mobile025_640",
    "yolov5n-0.5-face_640", "ulfg_rfb_320", "ulfg_rfb_640_masked_face",
)  # fmt: skip


@pytest.fixture(scope="module")
def street(shared: Path) -> Frame:
    with av.open(str(shared / "data/clips/street_walking_720p.mp4")) as box:
        for number, picture in enumerate(box.decode(video=0)):
            if number == 60:
                return Frame.from_video_frame(to_i420(picture), 0, 0)
    raise AssertionError("the clip is shorter than it was")


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[tuple[Frame, np.ndarray, np.ndarray]]:
    """Photographs as frames of video, their faces of 24 px and more (n, 4), and regions where nothing counts."""
    found = []
    for line in (shared / "data/faces/val.jsonl").read_text().splitlines()[::12]:
        truth = json.loads(line)
        bgr = cv2.imread(str(shared / "data/faces/images" / truth["file"]))
        frame = Frame.from_video_frame(av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p"), 0, 0)
        boxes = np.array([face["xyxy_px"] for face in truth["faces"]], float).reshape(-1, 4)
        size = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        ignored = np.array([face["ignore"] for face in truth["faces"]], bool) | (size < 24)
        found.append((frame, boxes[~ignored], boxes[ignored]))
    return found


def detect(model: Path, frame: Frame, family: str | None = None) -> Detections:
    (found,) = open_detector(model, precision="f32", conf=0.3, family=family).detect([frame])
    return found


@pytest.mark.parametrize("name", FACE_MODELS)
def test_it_finds_the_faces_of_the_street(name: str, shared: Path, street: Frame) -> None:
    found = detect(shared / f"data/weights/{name}.onnx", street)
    sure = found.boxes[found.scores > SURE].astype(float)
    assert (overlaps(STREET_FACES, sure).max(1) > 0.7).all()
    assert (found.faces().scores == found.scores).all()
    if not name.startswith("ulfg"):
        eyes, mouth = found.landmarks[:2, :2], found.landmarks[:2, 3:]
        assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all(), "the eyes are from the picture's left"
        assert (mouth[:, :, 1].mean(1) > eyes[:, :, 1].mean(1) + 5).all(), "the mouth lies below them"
        boxes = found.boxes[:2, None]
        assert ((found.landmarks[:2] > boxes[..., :2]) & (found.landmarks[:2] < boxes[..., 2:])).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", FACE_MODELS)
def test_it_finds_the_faces_of_photographs(
    name: str, shared: Path, pictures: list[tuple[Frame, np.ndarray, np.ndarray]]
) -> None:
    """Of faces of 24 px and more most are found, and what is surely found is one: bounds far below what each reaches."""
    detector = open_detector(shared / f"data/weights/{name}.onnx", precision="f32", conf=0.3)
    faces = right = wrong = 0
    for frame, truth, ignored in pictures:
        (found,) = detector.detect([frame])
        sure = found.boxes[found.scores > SURE].astype(float)
        faces += len(truth)
        right += int((overlaps(truth, sure).max(1, initial=0) > 0.5).sum())
        everything = np.concatenate((truth, ignored))
        wrong += int((overlaps(sure, everything).max(1, initial=0) < 0.3).sum())
    assert faces > 20
    assert right > 0.6 * faces
    assert wrong < 0.15 * right


def test_yolox_finds_the_persons_of_the_street(shared: Path, street: Frame) -> None:
    """Published with COCO's 80 classes; its form is not certain from its outputs, so it is said."""
    model = shared / "data/weights/yolox_nano_416.onnx"
    assert open_detector(model, family="yolox").describe()["long_side_px"] == 416, (
        "its own size, whatever was asked for"
    )
    found = detect(model, street, family="yolox")
    persons = found.boxes[(found.classes == 0) & (found.scores >= 0.4)].astype(float)
    assert 8 <= len(persons) <= 14
    middle = (STREET_FACES[:, None, :2] + STREET_FACES[:, None, 2:]) / 2
    inside = ((middle > persons[None, :, :2]) & (middle < persons[None, :, 2:])).all(2)
    assert inside.any(1).all(), "each of the two faces is on a person"


@pytest.mark.parametrize("name", ["face_detection_yunet_2023mar", "yunet_n_640_640"])
def test_yunets_boxes_are_opencvs(
    name: str, shared: Path, pictures: list[tuple[Frame, np.ndarray, np.ndarray]]
) -> None:
    """The same pixels to both: what OpenCV's own decoder and suppression find, ours find, to a pixel."""
    model = shared / f"data/weights/{name}.onnx"
    ours = open_detector(model, runtime="onnxruntime", precision="f32", conf=0.4)
    theirs = cv2.FaceDetectorYN.create(str(model), "", (640, 640), 0.4, 0.3, 5000)
    faces = 0
    for frame, _, _ in pictures[::2]:
        square, bgr = on_a_square(frame)
        _, rows = theirs.detect(bgr)
        (found,) = ours.detect([square])
        rows = np.zeros((0, 15), np.float32) if rows is None else rows[np.argsort(-rows[:, 14])]
        faces += len(rows)
        np.testing.assert_allclose(found.scores, rows[:, 14], atol=1e-3)
        np.testing.assert_allclose(found.boxes[:, :2], rows[:, :2], atol=1)
        np.testing.assert_allclose(found.boxes[:, 2:], rows[:, :2] + rows[:, 2:4], atol=1)
        np.testing.assert_allclose(found.landmarks.reshape(-1, 10), rows[:, 4:14], atol=1)
    assert faces > 10


def on_a_square(frame: Frame) -> tuple[Frame, np.ndarray]:
    """The frame at the top left of 640 × 640, and the BGR pixels that cv2 makes of it."""
    i420 = np.full(640 * 640 * 3 // 2, 128, np.uint8)
    y, u, v = i420[: 640 * 640].reshape(640, 640), *i420[640 * 640 :].reshape(2, 320, 320)
    for plane, source in ((y, frame.y), (u, frame.u), (v, frame.v)):
        plane[: source.shape[0], : source.shape[1]] = source
    return Frame(y, u, v, 0, 0), cv2.cvtColor(i420.reshape(960, 640), cv2.COLOR_YUV2BGR_I420)


def test_where_a_person_model_is_loaded_persons_and_faces_are_found_together(shared: Path, street: Frame) -> None:
    coco = ["person", *(f"thing {number}" for number in range(1, 80))]
    persons = open_detector(shared / "data/weights/yolox_nano_416.onnx", precision="f32", family="yolox", names=coco)
    (found,) = JointDetector([open_detector(precision="f32"), persons]).detect([street])
    assert found.belong_to(street)
    faces, bodies = found.faces(), found.of(["person"])
    sure = faces.boxes[faces.scores > SURE].astype(float)
    assert (overlaps(STREET_FACES, sure).max(1) > 0.6).all()
    assert ((bodies.scores >= 0.4).sum()) >= 8
    middle = (STREET_FACES[:, None, :2] + STREET_FACES[:, None, 2:]) / 2
    inside = ((middle > bodies.boxes[None, :, :2]) & (middle < bodies.boxes[None, :, 2:])).all(2)
    assert inside.any(1).all()
    assert np.isfinite(faces.landmarks).all()
    assert np.isnan(bodies.landmarks).all()

"""What several looks agree on becomes a label, what they doubt is ignored; and what a tracker knows was missed is a face."""

import itertools
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from client.cli.main import main
from engines.detect.detector import open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.scene.demo import demo_scene
from engines.track.associate import overlaps
from engines.train import clips, colour
from engines.train.data import Entry, Picture, load_picture, read_labels
from engines.train.teach import Look, in_pixels, looks_at, taught

SIDE = 200
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
A, B, C = [20, 20, 60, 70], [100, 30, 140, 80], [150, 120, 180, 160]


def look(*seen: tuple[list, float], shift: float = 0.0) -> Look:
    """Boxes px with scores; `shift` px moves the landmarks alone."""
    boxes = np.array([box for box, _ in seen], float).reshape(-1, 4)
    points = boxes[:, None, :2] + POINTS * (boxes[:, 2:] - boxes[:, :2])[:, None] + shift
    return Look(boxes / SIDE, np.array([score for _, score in seen]), points / SIDE)


def entry(*boxes: list) -> Entry:
    return Entry(Path("a.jpg"), SIDE, SIDE, [{"xyxy_px": box, "ignore": False, "by": "human"} for box in boxes])


def test_a_face_that_every_look_is_sure_of_is_added_with_landmarks():
    first, added = taught(entry(A), [look((A, 0.9), (B, 0.8)), look((A, 0.7), (B, 0.5), shift=1.0)])
    assert first["xyxy_px"] == A
    assert first["by"] == "human"
    assert added["by"] == "teacher"
    assert not added["ignore"]
    np.testing.assert_allclose(added["xyxy_px"], B, atol=0.1)
    for face in (first, added):
        box = np.array(face["xyxy_px"])
        np.testing.assert_allclose(face["landmarks_px"], box[:2] + POINTS * (box[2:] - box[:2]) + 0.5, atol=0.11)


@pytest.mark.parametrize(
    "looks",
    [
        [look((A, 0.9), (C, 0.9)), look((A, 0.9))],
        [look((A, 0.9), (C, 0.9)), look((A, 0.9), (C, 0.3))],
    ],
    ids=["one look alone", "one of them unsure"],
)
def test_a_face_in_doubt_is_ignored(looks):
    _, doubtful = taught(entry(A), looks)
    assert doubtful["ignore"]
    assert doubtful["landmarks_px"] is None


def test_landmarks_that_lie_apart_are_no_landmarks():
    (face,) = taught(entry(A), [look((A, 0.9)), look((A, 0.9), shift=12.0)])
    assert face.get("landmarks_px") is None


def test_what_hardly_shows_and_what_is_labelled_adds_nothing():
    near = [A[0] + 8, A[1], A[2] + 8, A[3]]
    faces = taught(entry(A), [look((near, 0.9), (B, 0.1)), look((near, 0.9))])
    assert [face["xyxy_px"] for face in faces] == [A]


def test_shares_become_pixels():
    picture = Picture(np.zeros((50, 100, 3), np.uint8), *(np.zeros(0),) * 4)
    told = in_pixels(Entry(Path("a.jpg"), 1, 1, [{"xyxy_px": [0.1, 0.2, 0.3, 0.6]}]), picture)
    assert (told.width, told.height) == (100, 50)
    np.testing.assert_allclose(told.faces[0]["xyxy_px"], [10, 10, 30, 30])


def scene_frames(count: int) -> list[Frame]:
    scene = demo_scene()
    return [Frame(*scene.render(number / 25)[0], 0, 0) for number in range(count)]


def test_a_mirrored_look_says_where_things_are_in_the_picture_itself():
    scene = demo_scene()
    bgr = cv2.cvtColor(
        np.concatenate([p.ravel() for p in scene.render(0)[0]]).reshape(-1, scene.width), cv2.COLOR_YUV2BGR_I420
    )
    _, png = cv2.imencode(".png", bgr)
    picture = Picture(colour.decode_ycc(png.tobytes()), *(np.zeros(0),) * 4)
    plain, mirrored = looks_at(picture, [open_detector(conf=0.5, long_side=480)])
    assert len(plain.boxes) > 2
    near = overlaps(plain.boxes * 1000, mirrored.boxes * 1000)
    assert (near.max(1) > 0.6).mean() > 0.7
    for one, other in zip(*np.nonzero(near > 0.6), strict=True):
        size = plain.boxes[one, 2] - plain.boxes[one, 0]
        assert np.abs(plain.landmarks[one] - mirrored.landmarks[other])[:, 0].max() < 0.3 * size


class Forgetful:
    """The built-in detector, which does not see the surest face in some frames."""

    def __init__(self, frames: range) -> None:
        self.detector, self.frames, self.seen = open_detector(long_side=320), frames, -1
        self.hidden: dict[int, np.ndarray] = {}

    def detect(self, frames):
        (found,) = self.detector.detect(frames)
        self.seen += 1
        if self.seen in self.frames:
            self.hidden[self.seen] = found.boxes[0].copy()
            found.scores[overlaps(found.boxes.astype(float), found.boxes[:1].astype(float))[:, 0] > 0.2] = 0.01
        return [found]


def test_a_tracked_face_that_was_missed_is_labelled():
    frames = scene_frames(16)
    detector = Forgetful(range(8, 10))
    rows = list(clips.label(lambda: ((frame, number / 25) for number, frame in enumerate(frames)), detector))
    (number, frame, faces), *_ = [row for row in rows if row[0] in detector.hidden]
    assert frame is frames[number]
    boxes = np.array([face["xyxy_px"] for face in faces if not face["ignore"]], float)
    assert overlaps(detector.hidden[number][None].astype(float), boxes).max() > 0.7
    assert all(b[0] - a[0] >= clips.SPACING for a, b in itertools.pairwise(rows))


def fancam(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_the_command_writes_labels_that_training_reads(tmp_path, labelled, capsys):
    out = tmp_path / "taught.jsonl"
    words = ["dataset", "teach", "--data", str(labelled), "--teacher", str(default_face_model()), "--out", str(out)]
    assert fancam(*words) == 0
    before, after = read_labels(labelled), read_labels(out)
    assert [entry.file for entry in after] == [entry.file.absolute() for entry in before]
    assert all(len(b.faces) >= len(a.faces) for a, b in zip(before, after, strict=True))
    load_picture(after[0])
    assert fancam(*words) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_clip_becomes_a_folder_to_train_on(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as box:
        frames = scene_frames(16)
        stream = box.add_stream("h264", rate=25, width=frames[0].width, height=frames[0].height, pix_fmt="yuv420p")
        for frame in frames:
            planes = np.concatenate([plane.ravel() for plane in (frame.y, frame.u, frame.v)])
            box.mux(stream.encode(av.VideoFrame.from_ndarray(planes.reshape(-1, frame.width), format="yuv420p")))
        box.mux(stream.encode())
    forgetful = Forgetful(range(8, 10))
    monkeypatch.setattr("engines.detect.networks.open_networks", lambda networks: forgetful)
    assert fancam("dataset", "clips", str(path), "--out", str(tmp_path / "more")) == 0
    entries = read_labels(tmp_path / "more")
    picture = load_picture(entries[0])
    assert (~picture.ignore).any()
    assert json.loads((tmp_path / "more/train.jsonl").read_text().splitlines()[0])["faces"][0]["by"] == "tracker"

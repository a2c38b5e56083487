"""Several networks on one frame: one table of classes, faces first, and nothing complete that is not wholly so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engines.detect.joint import JointDetector
from engines.frame import Detections, Frame
from engines.pipeline import OverlayFeed, Pipeline, RedactedFeed
from tests.engines.made import found, frame


class Knows:
    """A detector that finds the same in every frame: (class, box, score)."""

    long_side = 640

    def __init__(
        self, names: Sequence[str], rows: Sequence[tuple[str, Sequence[float], float]], **more: object
    ) -> None:
        self.names, self.rows, self.more = tuple(names), rows, more
        self.face_names = tuple(name for name in names if "face" in name) or self.names

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        classes = np.array([self.names.index(name) for name, _, _ in self.rows], np.int32)
        boxes, scores = [box for _, box, _ in self.rows], [score for _, _, score in self.rows]
        return [
            replace(
                found(boxes, scores, of=one), classes=classes, names=self.names, face_names=self.face_names, **self.more
            )
            for one in frames
        ]

    def warm_up(self, width: int, height: int) -> None: ...

    def describe(self) -> dict[str, object]:
        return {"model": f"{self.names[0]}.onnx", "runtime": "none"}


FACE, BODY, PLATE = [140, 60, 190, 120], [100, 50, 230, 236], [20, 180, 80, 200]


def joint() -> JointDetector:
    faces = Knows(["face"], [("face", FACE, 0.9)])
    others = Knows(["bicycle", "person", "plate"], [("person", BODY, 0.8), ("plate", PLATE, 0.7)])
    return JointDetector([faces, others])  # type: ignore[list-item]


def test_faces_and_persons_are_found_together_under_one_table_of_classes() -> None:
    (all_of_it,) = joint().detect([frame()])
    assert all_of_it.complete
    assert all_of_it.names == ("face", "bicycle", "person", "plate")
    assert [all_of_it.names[index] for index in all_of_it.classes] == ["face", "person", "plate"]
    assert all_of_it.of(["person"]).boxes.tolist() == [BODY]
    assert all_of_it.of(["plate", "person"]).scores.tolist() == pytest.approx([0.8, 0.7])
    assert all_of_it.faces().boxes.tolist() == [FACE]
    others = all_of_it.others()
    assert others is not None
    assert others.boxes.tolist() == [BODY, PLATE]
    assert np.isnan(others.landmarks).all()


def test_a_network_that_knows_faces_alone_has_no_others() -> None:
    one = found([FACE])
    assert one.faces() is one
    assert one.others() is None


def test_members_are_the_faces_beside_whom_persons_are_others() -> None:
    """The classes of a first network none of which is called a face are all faces."""
    members = Knows(["ada", "grace"], [("grace", FACE, 0.9)])
    detector = JointDetector([members, Knows(["person"], [("person", BODY, 0.8)])])  # type: ignore[list-item]
    (all_of_it,) = detector.detect([frame()])
    assert all_of_it.faces().boxes.tolist() == [FACE]


def test_two_networks_that_know_the_same_find_it_once() -> None:
    near = [value + 2 for value in FACE]
    twice = JointDetector([Knows(["face"], [("face", FACE, 0.6)]), Knows(["face"], [("face", near, 0.9)])])  # type: ignore[list-item]
    (once,) = twice.detect([frame()])
    assert once.boxes.tolist() == [near]


def test_it_is_complete_only_when_every_network_is() -> None:
    halves = Knows(["face"], []), Knows(["person"], [], complete=False)
    (half,) = JointDetector(halves).detect([frame()])  # type: ignore[arg-type]
    assert not half.belong_to(frame())


def test_faces_alone_are_tracked_and_covered_and_the_overlay_names_the_rest() -> None:
    pipeline, source = Pipeline(joint()), frame()  # type: ignore[arg-type]
    for _ in range(3):
        seen = pipeline.analyse(source)
    assert seen.tracks.boxes.tolist() == [FACE]
    assert len(seen.detections) == 1
    covered = RedactedFeed((320, 240)).render(seen)
    x, y = BODY[0] + 10, BODY[3] - 10
    assert covered.picture.y[y, x] == source.y[y, x]
    assert covered.picture.y[90, 165] != source.y[90, 165]
    overlay = OverlayFeed("overlay", (320, 240)).render(seen)
    assert overlay is not None
    assert (overlay.y[BODY[1] : BODY[3], BODY[0]] != source.y[BODY[1] : BODY[3], BODY[0]]).all()


def test_the_long_side_is_every_networks_and_the_description_names_all() -> None:
    detector = joint()
    detector.long_side = 320
    assert [one.long_side for one in detector.detectors] == [320, 320]
    assert detector.describe() == {"model": "face.onnx", "runtime": "none", "beside": ["bicycle.onnx"]}

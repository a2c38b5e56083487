"""Besides faces: plates and the like are covered as faces are, and heads of those whose face is not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.besides import Besides, head_boxes, unseen_heads
from engines.frame import RTP_CLOCK_HZ, Detections, Frame
from engines.models.networks import UnknownClass
from engines.pipeline import Analysed, DelayLine, Pipeline, RedactedFeed
from engines.render.redact import STYLES, Style, Unsafe
from tests.engines.made import frame

NAMES = ("face", "person", "plate")
FACE, PERSON, PLATE = range(3)
FPS = 30
AT = (100.0, 120.0, 160.0, 140.0)
SOMEBODY = (100.0, 40.0, 160.0, 220.0)


def seen(of: Frame, *things: tuple[int, tuple[float, ...], float]) -> Detections:
    """Complete detections of a frame: class, box and score of each."""
    n = len(things)
    return Detections(
        np.array([box for _, box, _ in things], np.float32).reshape(-1, 4),
        np.array([score for *_, score in things], np.float32), np.array([kind for kind, *_ in things], np.int32),
        np.full((n, 5, 2), np.nan, np.float32), of.rtp_time, of.width, of.height, True, NAMES, NAMES[:1],
    )  # fmt: skip


def play(pipeline: Pipeline, script: list[list[tuple[int, tuple[float, ...], float]]]) -> list[Analysed]:
    """One analysed frame for each entry."""
    frames = [frame(rtp_time=n * RTP_CLOCK_HZ // FPS) for n in range(len(script))]
    return [pipeline.track(one, seen(one, *things)) for one, things in zip(frames, script, strict=True)]


def covered(
    analysed: Analysed, box: tuple[float, ...], style: Style = "solid", extra: np.ndarray | None = None
) -> float:
    """The share of the box that is painted over in the redacted picture."""
    feed = RedactedFeed((320, 240), style)
    safe = feed.render(analysed, extra)
    x0, y0, x1, y1 = map(int, box)
    changed = safe.picture.y[y0:y1, x0:x1] != analysed.frame.y[y0:y1, x0:x1]
    assert safe.picture.width == 320
    return float(changed.mean())


@pytest.mark.parametrize("style", STYLES)
def test_a_plate_is_covered_whole_only_when_it_shall_be(style: Style) -> None:
    script = [[(PLATE, AT, 0.8)]]
    (plain,) = play(Pipeline(), script)
    assert covered(plain, AT, style) == 0
    (told,) = play(Pipeline(besides=Besides(["plate"])), script)
    assert covered(told, AT, style) == 1


def test_a_lost_plate_stays_covered_for_a_second() -> None:
    script = [[(PLATE, AT, 0.8)]] * 10 + [[]] * 40
    analysed = play(Pipeline(besides=Besides(["plate"])), script)
    assert all(covered(one, AT) == 1 for one in analysed[: 10 + FPS - 1])
    assert covered(analysed[-1], AT) == 0


def test_what_comes_later_tells_where_a_plate_was() -> None:
    script: list[list[tuple[int, tuple[float, ...], float]]] = [[]] * 20 + [[(PLATE, AT, 0.8)]] * 20
    line, out = DelayLine(), []
    for one in play(Pipeline(besides=Besides(["plate"])), script):
        out += line.push(one)
    out += line.flush()
    assert len(out) == len(script)
    assert all(len(extra) == 0 for _, extra in out)  # those are faces'
    assert all(covered(item, AT) == 1 for item, _ in out)


def test_plates_are_no_people() -> None:
    analysed = play(Pipeline(besides=Besides(["plate"], heads=True)), [[(PLATE, AT, 0.8), (PERSON, SOMEBODY, 0.9)]] * 5)
    assert all(len(one.tracks) == 0 for one in analysed)
    assert all(len(one.detections) == 0 for one in analysed)


def test_a_box_that_is_no_number_shows_nothing() -> None:
    nowhere = (float("nan"),) * 4
    for besides, kind in ((Besides(["plate"]), PLATE), (Besides(heads=True), PERSON)):
        (analysed,) = play(Pipeline(besides=besides), [[(kind, nowhere, 0.9)]])
        with pytest.raises(Unsafe):
            RedactedFeed((320, 240)).render(analysed)


@pytest.mark.parametrize(
    ("besides", "said"),
    [(Besides(["dog"]), "'dog': known are face, person, plate"), (Besides(heads=True), "'person': known are face")],
)
def test_what_no_network_finds_stops_the_stream(besides: Besides, said: str) -> None:
    pipeline, one = Pipeline(besides=besides), frame()
    found = seen(one)
    with pytest.raises(UnknownClass, match=said):
        pipeline.track(one, found if besides.classes else replace(found, names=("face",)))


def test_the_head_of_one_who_is_turned_away_is_covered() -> None:
    head = (115, 40, 145, 66)
    (plain,) = play(Pipeline(), [[(PERSON, SOMEBODY, 0.9)]])
    assert covered(plain, head) == 0
    (told,) = play(Pipeline(besides=Besides(heads=True)), [[(PERSON, SOMEBODY, 0.9)]])
    assert covered(told, head) == 1
    assert covered(told, (100, 120, 160, 220)) == 0  # the body is not


def test_a_face_that_is_seen_is_enough_and_one_that_was_lost_is_followed_by_the_head() -> None:
    face = (120.0, 44.0, 142.0, 70.0)
    with_face = [(PERSON, SOMEBODY, 0.9), (FACE, face, 0.9)]
    script = [with_face] * 20 + [[(PERSON, SOMEBODY, 0.9)]] * 60
    analysed = play(Pipeline(besides=Besides(heads=True)), script)
    assert all(one.besides is not None and len(one.besides.boxes) == 0 for one in analysed[:20])
    assert all(covered(one, face) == 1 for one in analysed)


def test_one_face_speaks_for_one_person() -> None:
    persons = np.array([[0, 0, 60, 180], [20, 4, 80, 184]], np.float32)
    found = seen(frame(), *((PERSON, tuple(box), 0.9) for box in persons.tolist()))
    left = unseen_heads(found, np.array([[15, 5, 45, 35]], np.float32))
    assert left.boxes.tolist() == head_boxes(persons[1:]).tolist()
    assert len(unseen_heads(found, np.array([[15, 5, 45, 35], [35, 9, 65, 39]], np.float32))) == 0
    assert len(unseen_heads(found, np.array([[200, 5, 230, 35]], np.float32))) == 2


sides = st.floats(2, 2000, width=32)


@given(st.lists(st.tuples(sides, sides, sides, sides), max_size=5))
def test_heads_lie_at_the_top_of_persons(boxes: list[tuple[float, ...]]) -> None:
    persons = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32).reshape(-1, 4)
    heads = head_boxes(persons)
    assert heads.shape == persons.shape
    assert (heads[:, 1] == persons[:, 1]).all()
    assert (heads[:, 3] <= persons[:, 3] + 0.01).all()
    assert (heads[:, 2] > heads[:, 0]).all()


def test_heads_of_real_persons_hold_their_faces(shared) -> None:
    """Persons of a real clip by YOLOX, faces by the built-in network: where both are sure, the head's cover holds the face."""
    from engines.codecs.files import VideoFile
    from engines.detect.networks import open_networks
    from engines.models import COCO
    from engines.models.networks import Network, Networks
    from engines.render.covers import GROW

    names = tuple(COCO.read_text(encoding="utf-8").split("\n")[:80])
    street = Network(str(shared / "data/weights/yolox_nano_416.onnx"), "yolox", names)
    detector = open_networks(Networks((Network(), street)), threads=2)
    inside = faces = 0
    with VideoFile(shared / "data/clips/street_walking_720p.mp4") as video:
        for number, one in enumerate(video):
            if number > 100:
                break
            if number % 20:
                continue
            (found,) = detector.detect([one])
            persons, seen_faces = found.of(("person",)), found.faces()
            persons = replace(persons, boxes=persons.boxes[persons.scores > 0.6])
            for face in seen_faces.boxes[seen_faces.scores > 0.6]:
                heads = head_boxes(persons.boxes)
                grown = (heads[:, :2] + heads[:, 2:]) / 2, (heads[:, 2:] - heads[:, :2]) / 2 * GROW
                holds = (face[:2] >= grown[0] - grown[1]).all(axis=1) & (face[2:] <= grown[0] + grown[1]).all(axis=1)
                faces += 1
                inside += bool(holds.any())
    assert faces >= 6
    assert inside >= 0.75 * faces

"""The drawn scene: the same pixels every time, and a truth that agrees with them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.scene.demo import FPS, LEAVER, LOOP_S, MASKED, SMALL, WALKER, demo_scene
from engines.scene.scene import Scene, random_scene
from engines.scene.stage import Stage
from engines.scene.truth import Face

TIMES = np.arange(0, LOOP_S, 1 / FPS)


@pytest.fixture(scope="module")
def demo() -> Scene:
    return demo_scene()


@pytest.fixture(scope="module")
def story(demo: Scene) -> list[dict[int, Face]]:
    """The demo's truth, frame by frame, by id."""
    return [{face.id: face for face in demo.truth(float(t))} for t in TIMES]


def plain_stage(width: int, height: int) -> Stage:
    green = np.full((height, width, 3), (40, 220, 40), np.uint8)
    return Stage(green, (), (), 20.0, (0.9, 0.9, 0.9), (0.4, 0.4, 0.4), (0.0, 0.0, 0.0), 0.0, 0.0)


def centre_x(face: Face) -> float:
    return (face.xyxy_px[0] + face.xyxy_px[2]) / 2


def longest(flags: list[bool]) -> int:
    best = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        best = max(best, run)
    return best


@pytest.mark.parametrize("make", [lambda: demo_scene(320, 240), lambda: random_scene(7, 320, 240)])
def test_the_same_seed_gives_the_same_pixels_and_truth(make) -> None:
    first, second = make(), make()
    for a, b in zip(first.render(3.3)[0], second.render(3.3)[0], strict=True):
        assert np.array_equal(a, b)
    assert first.truth(3.3) == second.truth(3.3)


def test_another_seed_gives_another_scene() -> None:
    assert not np.array_equal(random_scene(1, 160, 120).picture(0), random_scene(2, 160, 120).picture(0))
    assert not np.array_equal(demo_scene(160, 120, seed=1).picture(0), demo_scene(160, 120).picture(0))


def test_planes_are_i420_in_limited_range(demo: Scene) -> None:
    y, u, v = demo.planes(0.0)
    assert (y.shape, u.shape, v.shape) == ((480, 640), (240, 320), (240, 320))
    assert all(p.dtype == np.uint8 and p.min() >= 16 and p.max() <= 240 for p in (y, u, v))


def test_an_odd_size_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="even width and height, not 161x120"):
        random_scene(0, 161, 120).planes(0.0)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), t=st.floats(0, 20))
def test_truth_is_inside_the_picture_and_in_order(seed: int, t: float) -> None:
    scene = random_scene(seed, 192, 128)
    faces = scene.truth(t)
    assert len({face.id for face in faces}) == len(faces) <= len(scene.performers)
    for face in faces:
        x0, y0, x1, y1 = face.xyxy_px
        assert 0 <= x0 < x1 <= 192
        assert 0 <= y0 < y1 <= 128
        assert 0.05 <= face.visible <= 1
        assert abs(face.yaw_deg) <= 110
        if abs(face.yaw_deg) > 80 or face.visible < 0.35:
            assert face.ignore
        a0, b0, a1, b1 = face.body_xyxy_px
        assert a0 <= x0 <= x1 <= a1
        assert b0 <= y0 <= y1 <= b1
        if face.landmarks_px:
            marks = np.array(face.landmarks_px)
            assert marks[0, 0] <= marks[1, 0]
            assert marks[3, 0] <= marks[4, 0]
            if min(x0, y0) > 0 and x1 < 192 and y1 < 128:
                slack = 0.06 * (y1 - y0)
                assert (marks >= (x0 - slack, y0 - slack)).all()
                assert (marks <= (x1 + slack, y1 + slack)).all()


@pytest.mark.parametrize("seed", range(8))
def test_boxes_agree_with_the_pixels(seed: int) -> None:
    """Alone before a plain wall: the changed pixels are the body's box, and the face's box is full of them."""
    scene = replace(
        random_scene(seed, 320, 320, performers=1, face_px=(30, 60)), stage=plain_stage(320, 320), noise=0.0
    )
    empty = replace(scene, performers=())
    for t in (0.0, 4.5, 11.0):
        changed = np.abs(scene.picture(t).astype(int) - empty.picture(t)).max(2) > 10
        (box,) = scene.people(t).values()
        ys, xs = np.nonzero(changed)
        assert np.abs(np.array(box) - (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).max() <= 3
        for face in scene.truth(t):
            x0, y0, x1, y1 = (round(v) for v in face.xyxy_px)
            assert changed[y0:y1, x0:x1].mean() > 0.85


def test_pupils_and_lips_are_where_the_landmarks_say(demo: Scene) -> None:
    seen = 0
    for t in np.arange(0.2, LOOP_S, 0.4):
        poses = {who: pose for who, _, pose in demo.state(t)}
        picture = demo.picture(t).astype(int)
        for face in demo.truth(t):
            pose, marks = poses[face.id], face.landmarks_px
            frontal = abs(face.yaw_deg) < 25 and face.visible > 0.95 and marks is not None
            if not frontal or pose.lids != "open" or face.id in (LEAVER, SMALL):  # glasses; too small to tell
                continue
            for (x, y), (mx, my) in ((marks[0], marks[3]), (marks[1], marks[4])):
                eye = picture[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].sum(2).min()
                cheek = picture[round(y + 0.55 * (my - y)), round(x + 0.3 * (mx - x))].sum()
                assert eye < 0.75 * cheek
                seen += 1
    assert seen > 40


def test_visible_is_the_part_of_the_pixels_that_is_left(demo: Scene, story: list[dict[int, Face]]) -> None:
    alone = replace(demo, performers=tuple(p for p in demo.performers if p.id == SMALL))
    checked = 0
    for n, faces in enumerate(story):
        face = faces.get(SMALL)
        if face is None or not 0.25 < face.visible < 0.75:
            continue
        t = float(TIMES[n])
        x0, y0, x1, y1 = (round(v) for v in alone.truth(t)[0].xyxy_px)
        same = (np.abs(alone.picture(t).astype(int) - demo.picture(t)).max(2) < 3)[y0:y1, x0:x1]
        assert abs(same.mean() - face.visible) < 0.2
        checked += 1
    assert checked >= 5


def test_the_demo_repeats_without_a_seam(demo: Scene) -> None:
    first, last = demo.picture(0.0).astype(int), demo.picture(LOOP_S - 1 / FPS).astype(int)
    assert np.array_equal(first, demo.picture(LOOP_S))
    step = np.abs(demo.picture(1 / FPS).astype(int) - first).mean()
    assert np.abs(first - last).mean() < 2 * step + 0.5


def test_the_demo_has_crossings_with_faces_that_meet(demo: Scene) -> None:
    crossings, before = 0, {}
    for t in TIMES:
        now = {who: (pose.x_px, pose.y_px, pose.k) for who, _, pose in demo.state(float(t))}
        for a in now:
            for b in now:
                if a < b and before and (now[a][0] - now[b][0]) * (before[a][0] - before[b][0]) < 0:
                    crossings += abs(now[a][1] - now[b][1]) < 60 * max(now[a][2], now[b][2]) + 20
        before = now
    assert crossings >= 3


def test_the_demo_hides_a_face_for_half_a_second_and_shows_it_again(story: list[dict[int, Face]]) -> None:
    hidden = longest([SMALL not in faces for faces in story])
    assert 0.4 * FPS <= hidden <= 1.0 * FPS


def test_the_demo_has_one_who_leaves_and_returns_and_one_masked(demo: Scene, story: list[dict[int, Face]]) -> None:
    away = [LEAVER not in demo.people(float(t)) for t in TIMES]
    assert 1 * FPS < longest(away) < 4 * FPS
    assert not away[0]
    assert not away[-1]
    masked = {face.id for faces in story for face in faces.values() if face.masked}
    assert masked == {MASKED}


def test_the_demo_has_a_turned_back_without_a_face(demo: Scene, story: list[dict[int, Face]]) -> None:
    backs = [
        n
        for n, t in enumerate(TIMES)
        for who, _, pose in demo.state(float(t))
        if who == LEAVER and math.cos(pose.yaw) < -0.5
    ]
    assert len(backs) > FPS
    assert all(LEAVER not in story[n] for n in backs)


def test_the_demo_s_faces_are_40_to_110_px(story: list[dict[int, Face]]) -> None:
    heights = [f.xyxy_px[3] - f.xyxy_px[1] for faces in story for f in faces.values() if not f.ignore]
    assert np.percentile(heights, 1) >= 38
    assert np.percentile(heights, 99) <= 115
    assert np.mean([len(faces) for faces in story]) > 4


def test_the_walker_s_box_walks(story: list[dict[int, Face]]) -> None:
    xs = [centre_x(faces[WALKER]) for faces in story[2 * FPS : 6 * FPS]]
    assert np.diff(xs).min() > 0
    assert xs[-1] - xs[0] > 350


def test_a_detector_of_real_faces_finds_the_drawn_ones(shared: Path, demo: Scene) -> None:
    net = cv2.FaceDetectorYN.create(str(shared / "data/weights/face_detection_yunet_2023mar.onnx"), "", (640, 480), 0.6)
    found = wanted = 0
    for t in np.arange(0.1, LOOP_S, 1.0):
        rows = net.detect(demo.picture(t))[1]
        middles = np.empty((0, 2)) if rows is None else rows[:, :2] + rows[:, 2:4] / 2
        for face in demo.truth(t):
            if face.ignore or abs(face.yaw_deg) > 40 or face.visible < 0.9:
                continue
            x0, y0, x1, y1 = face.xyxy_px
            near = np.hypot(*(middles - ((x0 + x1) / 2, (y0 + y1) / 2)).T) < 0.25 * (y1 - y0)
            wanted, found = wanted + 1, found + bool(near.any())
    assert found >= 0.8 * wanted > 20

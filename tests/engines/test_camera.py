"""The camera operator's laws: one shape, inside the frame, no jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.render.camera import CLOSE_IN, HASTE, PAN, PRESETS, Camera, Window, output_size

FPS = 30
SIZES = [(640, 480), (1920, 1080), (480, 640), (200, 700), (64, 48)]
numbers = st.one_of(st.floats(-500, 2500), st.sampled_from([float("nan"), float("inf"), 0.0]))
boxes = st.one_of(st.none(), st.tuples(numbers, numbers, st.floats(1, 600), st.floats(1, 600)))
steps = st.lists(
    st.tuples(boxes, st.booleans(), st.sampled_from([1 / 60, 1 / 30, 1 / 15, 0.0, -0.5, 0.7, 20.0])),
    min_size=2,
    max_size=40,
)


def box_at(x: float, y: float, height: float) -> np.ndarray:
    return np.array([x - height * 0.4, y - height / 2, x + height * 0.4, y + height / 2], np.float32)


@settings(max_examples=150)
@given(steps, st.sampled_from(SIZES), st.sampled_from(sorted(PRESETS)))
def test_whatever_happens_the_window_stays_inside_keeps_its_shape_and_never_jumps(
    sequence: list, size: tuple[int, int], preset: str
) -> None:
    out = output_size(*size, preset)
    camera, now, last = Camera(*size, *out, preset), 0.0, None
    seen = False
    for place, measured, dt in sequence:
        box = (
            None
            if place is None
            else np.array([place[0], place[1], place[0] + place[2], place[1] + place[3]], np.float32)
        )
        before, now = now, now + dt
        window = camera.step(box, measured, now)
        assert -1e-6 <= window.x <= size[0] - window.w + 1e-6
        assert -1e-6 <= window.y <= size[1] - window.h + 1e-6
        assert window.w / window.h == pytest.approx(out[0] / out[1], rel=1e-6)
        if last is not None and seen:
            allowed = min(max(now - before, 0.0), 0.25)
            taller = max(window.h, last.h)
            grown = np.expm1(CLOSE_IN.speed * allowed + 1e-9) * taller
            assert abs(window.h - last.h) <= grown + 1e-6
            for a, b, side, old in ((window.x, last.x, window.w, last.w), (window.y, last.y, window.h, last.h)):
                moved = abs((a + side / 2) - (b + old / 2))
                assert moved <= HASTE * PAN.speed * taller * allowed + grown + 1e-6
        seen = seen or (box is not None and bool(np.isfinite(box).all()))
        last = window


def walk(
    places: list[tuple[float, float, float]], preset: str = "upper body", size: tuple[int, int] = (1280, 720)
) -> list[Window]:
    camera = Camera(*size, *output_size(*size, preset), preset)
    return [camera.step(box_at(*place), True, n / FPS) for n, place in enumerate(places)]


def test_the_camera_begins_on_the_person_and_frames_the_upper_body() -> None:
    (window,) = walk([(640, 300, 60)])
    assert window.x + window.w / 2 == pytest.approx(640, abs=1)
    assert window.h == pytest.approx(330, rel=0.01)
    assert (300 - window.y) / window.h == pytest.approx(0.3, abs=0.01)


def test_it_rests_while_the_person_only_sways() -> None:
    windows = walk([(640 + 8 * np.sin(n / 5), 300, 60 + 3 * np.sin(n / 7)) for n in range(90)])
    assert len(set(windows)) == 1


def test_it_gives_room_and_does_not_zoom_in_on_somebody_who_bends_down() -> None:
    bends = walk([(640, 300, 60)] * 30 + [(640, 320, 50)] * 60)
    assert {window.h for window in bends} == {bends[0].h}
    nears = walk([(640, 300, 60)] * 30 + [(640, 300, 68)] * 90)
    assert nears[-1].h > 1.08 * nears[0].h


def test_it_keeps_a_walking_person_inside() -> None:
    places = [(200 + 6 * n, 300.0, 60.0) for n in range(150)]  # three heights of the face a second
    for (x, y, _), window in zip(places, walk(places), strict=True):
        assert window.x + 20 < x < window.x + window.w - 20
        assert window.y < y - 30


def test_its_motion_is_smooth() -> None:
    random = np.random.default_rng(1)
    places = [
        (400 + 150 * np.sin(n / 25) + random.normal(0, 3), 300 + random.normal(0, 3), 60 + random.normal(0, 3))
        for n in range(200)
    ]
    windows = walk(places)
    centres = np.array([window.x + window.w / 2 for window in windows])
    heights = np.array([window.h for window in windows])
    speed_change = np.abs(np.diff(centres, 2)) * FPS**2
    assert speed_change.max() <= PAN.acceleration * HASTE**2 * heights.max() * 1.1
    jitter_in = np.abs(np.diff([x for x, _, _ in places], 2)).mean()
    assert np.abs(np.diff(centres, 2)).mean() < jitter_in / 6


def test_at_the_edge_the_window_is_moved_and_not_shrunk() -> None:
    middle, edge = walk([(640, 300, 60)])[0], walk([(5, 40, 60)])[0]
    assert (edge.w, edge.h) == (middle.w, middle.h)
    assert (edge.x, edge.y) == (0, 0)


def test_a_frame_too_small_for_the_window_is_filled_once_and_for_all() -> None:
    windows = walk([(300 + n, 240, 200) for n in range(30)], size=(640, 480))
    assert {window.h for window in windows} == {480}
    assert {window.w for window in windows} == {windows[0].w}


def test_a_prediction_moves_the_camera_but_does_not_zoom_it() -> None:
    camera = Camera(1280, 720, 404, 720)
    first = camera.step(box_at(400, 300, 60), True, 0.0)
    for n in range(1, 40):
        last = camera.step(box_at(400 + 4 * n, 300, 60 + 3 * n), False, n / FPS)
    assert last.h == first.h
    assert last.x > first.x + 50


def test_without_a_person_the_camera_waits_where_it_is() -> None:
    camera = Camera(1280, 720, 404, 720)
    for n in range(30):
        camera.step(box_at(400 + 5 * n, 300, 60), True, n / FPS)
    waits = [camera.step(None, False, 1 + n / FPS) for n in range(60)]
    assert waits[-1].x == pytest.approx(waits[-2].x, abs=1e-3)
    assert abs(waits[-1].x - waits[0].x) < waits[0].w


@pytest.mark.parametrize(
    ("size", "preset", "expected"),
    [
        ((640, 480), "upper body", (270, 480)),
        ((1920, 1080), "face", (540, 960)),
        ((640, 360), "full body", (202, 360)),
        ((360, 640), "upper body", (360, 640)),
        ((300, 900), "upper body", (300, 532)),
        ((1920, 1080), "seeds", (200, 630)),
        ((640, 480), "seeds", (200, 630)),
    ],
)
def test_a_fancams_size_fits_its_source(size: tuple[int, int], preset: str, expected: tuple[int, int]) -> None:
    assert output_size(*size, preset) == expected

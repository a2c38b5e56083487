"""Privacy zones: nothing of what lies in them is left, and nothing outside is touched."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.render.zones import BURNT_YUV, Zones
from tests.engines.made import noise_frame

share = st.floats(0, 1)
polygon = st.lists(st.tuples(share, share), min_size=3, max_size=8)


@settings(max_examples=60)
@given(st.lists(polygon, min_size=1, max_size=3), st.integers(16, 90), st.integers(16, 90), st.integers(0, 99))
def test_every_pixel_in_a_zone_is_burnt_on_all_planes(zones: list[Any], width: int, height: int, seed: int) -> None:
    frame = noise_frame(width, height, seed=seed)
    burnt = Zones.parse([[list(point) for point in corners] for corners in zones]).burn(frame)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    for corners in zones:
        outline = (np.array(corners, np.float32) * (width, height)).astype(np.float32)
        for x, y in zip(columns.ravel()[::7].tolist(), rows.ravel()[::7].tolist(), strict=True):
            if cv2.pointPolygonTest(outline, (x + 0.5, y + 0.5), True) > 0.6:
                assert burnt.y[y, x] == BURNT_YUV[0]
                assert (burnt.u[y // 2, x // 2], burnt.v[y // 2, x // 2]) == BURNT_YUV[1:]


def test_the_rest_of_the_picture_is_as_it_was_and_so_is_the_decoders_own() -> None:
    frame = noise_frame()
    before = [plane.copy() for plane in (frame.y, frame.u, frame.v)]
    burnt = Zones.parse([[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]).burn(frame)
    for plane, was, now in zip((frame.y, frame.u, frame.v), before, (burnt.y, burnt.u, burnt.v), strict=True):
        np.testing.assert_array_equal(plane, was)
        half = plane.shape[1] // 2
        np.testing.assert_array_equal(now[:, : half - 1], was[:, : half - 1])
        assert len(np.unique(now[:, half:])) == 1
    assert (burnt.rtp_time, burnt.arrival_ns, burnt.ledger) == (frame.rtp_time, frame.arrival_ns, frame.ledger)


STAR = [[0.5, 0.0], [0.8, 1.0], [0.0, 0.4], [1.0, 0.4], [0.2, 1.0]]
TWICE_AROUND = [[0, 0], [1, 0], [1, 1], [0, 1]] * 2


@pytest.mark.parametrize("corners", [STAR, TWICE_AROUND], ids=["star", "twice around"])
def test_what_an_outline_goes_around_twice_is_inside_too(corners: Any) -> None:
    frame = noise_frame(320, 240)
    burnt = Zones.parse([corners]).burn(frame)
    assert (burnt.y[110:140, 150:170] == BURNT_YUV[0]).all()
    assert (burnt.u[55:70, 75:85] == BURNT_YUV[1]).all()


def test_zones_hold_when_the_picture_changes_its_size() -> None:
    zones = Zones.parse([[[0, 0], [0.25, 0], [0.25, 1], [0, 1]]])
    for width, height in ((320, 240), (641, 361), (320, 240)):
        burnt = zones.burn(noise_frame(width, height))
        assert (burnt.y[:, : width // 4] == BURNT_YUV[0]).all()
        assert (burnt.y[:, width // 4 + 3 :] != BURNT_YUV[0]).mean() > 0.9


def test_without_zones_nothing_is_copied() -> None:
    frame = noise_frame()
    assert Zones().burn(frame) is frame
    assert Zones.parse([]).burn(frame) is frame


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "zone",
        {"a": 1},
        [[]],
        [[[0, 0], [1, 1]]],
        [[[0, 0], [1, 1], [2, 0]]],
        [[[0, 0], [1, 1], [float("nan"), 0]]],
        [[[0, 0], [1, 1], [True, 0]]],
        [[[0, 0], [1, 1], ["1", 0]]],
        [[[0, 0], [1, 1], [0]]],
        [[[0, 0]] * 65],
        [[[0, 0], [0, 1], [1, 1]]] * 33,
    ],
)
def test_wrong_zones_are_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        Zones.parse(wrong)

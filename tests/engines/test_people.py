"""The people of a file: one fancam a person, with a name that says who."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engines.frame import Detections, Frame
from engines.people import People, file_names
from engines.pipeline import Pipeline
from tests.engines.made import found, frame

TICKS = 3000


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ([None, "ada"], ["fancam-1.mp4", "fancam-ada.mp4"]),
        (["ada", "Ada"], ["fancam-ada-1.mp4", "fancam-Ada-2.mp4"]),
        ([None, "1"], ["fancam-1.mp4", "fancam-1-2.mp4"]),
        (["../x/y", "지수"], ["fancam-_x_y.mp4", "fancam-지수.mp4"]),
    ],
)
def test_files_are_called_by_whom_they_show_and_never_alike(names: list[str | None], files: list[str]) -> None:
    assert file_names(["1", "2"], names) == files


def seen(face: list[list[float]], body: list[float], of: Frame) -> Detections:
    classes = np.array([0] * len(face) + [1], np.int32)
    return replace(found([*face, body], of=of), classes=classes, names=("face", "person"))


def test_a_face_that_comes_back_under_another_track_is_one_person() -> None:
    pipeline, people, items = Pipeline(), People(1.0), []
    for n in range(300):
        source = frame(640, 240, rtp_time=n * TICKS)
        face, body = [140.0 + n, 24, 160 + n, 50], [118.0 + n, 20, 182 + n, 220]
        away = 30 <= n < 200  # longer than a track of faces lives
        items.append(pipeline.track(source, seen([] if away else [face], body, source)))
    shown = []
    for n, item in enumerate(items):
        people.add(item)
        if n >= 33:
            shown.append(people.at(items[n - 33]))
    assert all(len(there) == 1 for there in shown)
    tracks = [next(iter(there)) for there in shown]
    first, later = tracks[0], tracks[-1]
    assert first != later
    assert tracks == sorted(tracks), "it never goes back"
    assert shown[tracks.index(later)][later].earlier == {first}

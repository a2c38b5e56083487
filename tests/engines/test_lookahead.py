"""Offline, a face is covered before it was first found and all through its gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from engines.frame import Tracks
from engines.track.lookahead import MOST_FRAMES, Lookahead
from engines.track.tracker import Tracker
from tests.engines.made import found

FPS = 30


@dataclass
class Moment:
    number: int
    tracks: Tracks
    shot: int = 1
    time_s: float = 0.0


def play(faces: dict[int, list[float]], frames: int, cut_at: int | None = None) -> dict[int, np.ndarray]:
    """Push `frames` frames with a face where `faces` says so; the extra boxes by frame."""
    line, tracker, out = Lookahead(), Tracker(), []
    for n in range(frames):
        tracks = tracker.step(found([faces[n]] if n in faces else []), n / FPS, cut=n == cut_at)
        shot = 2 if cut_at is not None and n >= cut_at else 1
        out += line.push(Moment(n, tracks, shot, n / FPS))
    out += line.flush()
    assert [moment.number for moment, _ in out] == list(range(frames))
    return {moment.number: boxes for moment, boxes in out}


def walking(n: int) -> list[float]:
    return [100 + 2 * n, 80, 148 + 2 * n, 140]


def holds(boxes: np.ndarray, face: list[float], slack: float = 3.0) -> bool:
    face = [face[0] + slack, face[1] + slack, face[2] - slack, face[3] - slack]
    return any((box[:2] <= face[:2]).all() and (box[2:] >= face[2:]).all() for box in boxes)


def test_a_face_is_covered_for_a_second_before_it_was_found() -> None:
    extra = play({n: walking(n) for n in range(60, 90)}, 90)
    assert all(len(extra[n]) == 0 for n in range(27))
    assert all(len(extra[n]) >= 1 for n in range(30, 60))
    assert all(len(extra[n]) == 0 for n in range(62, 90))
    assert all(holds(extra[n], walking(n)) for n in range(52, 60))


def test_a_gap_is_filled_between_both_sides() -> None:
    extra = play({n: walking(n) for n in range(90) if not 40 <= n < 60}, 90)
    assert all(holds(extra[n], walking(n)) for n in range(40, 60))
    assert all(len(extra[n]) == 0 for n in range(40))
    middle, side = extra[50][0], extra[41][0]
    assert middle[2] - middle[0] > side[2] - side[0]


def test_nothing_reaches_across_a_cut() -> None:
    extra = play({n: walking(40) for n in range(40, 70)}, 70, cut_at=35)
    assert all(len(extra[n]) == 0 for n in range(35))
    assert all(len(extra[n]) >= 1 for n in range(35, 40))


def test_a_face_before_a_cut_is_covered_in_its_own_shot() -> None:
    faces = {n: walking(0) for n in (*range(20, 30), *range(34, 60))}
    extra = play(faces, 60, cut_at=34)
    assert all(len(extra[n]) >= 1 for n in range(20))
    assert all(len(extra[n]) == 0 for n in range(30, 34))


def test_a_face_seen_in_two_frames_alone_reaches_back_as_far() -> None:
    extra = play({n: walking(n) for n in range(60, 62)}, 90)
    assert all(len(extra[n]) == 0 for n in range(26))
    assert all(len(extra[n]) >= 1 for n in range(30, 60))


def test_frames_come_out_whatever_their_times_say() -> None:
    line: Lookahead[Moment] = Lookahead()
    out = [pair for n in range(500) for pair in line.push(Moment(n, Tracks.empty()))]
    assert len(out) == 500 - MOST_FRAMES
    assert len(line.flush()) == MOST_FRAMES


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_live_as_many_frames_wait_as_are_asked_for(k: int) -> None:
    line, tracker, out = Lookahead[Moment](frames=k), Tracker(), {}
    for n in range(40):
        tracks = tracker.step(found([walking(n)] if n >= 20 else []), n / FPS)
        ready = line.push(Moment(n, tracks, 1, n / FPS))
        assert [moment.number for moment, _ in ready] == ([n - k] if n >= k else [])
        out |= {moment.number: boxes for moment, boxes in ready}
    assert all(len(out[n]) == 0 for n in out if not 20 - k <= n < 22)
    assert all(holds(out[n], walking(n)) for n in range(20 - k, 20))


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_a_video_shorter_than_the_delay_comes_out_whole(frames: int) -> None:
    extra = play({frames - 1: walking(0)}, frames)
    assert all(len(extra[n]) == 1 for n in range(frames - 1))

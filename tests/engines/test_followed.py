"""Whom a fancam follows: held a while, found again by who they are; in files, gaps filled, marked and no longer than allowed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engines.codecs.mux import Mp4Writer
from engines.frame import Tracks
from engines.people import Fancam, Seen
from engines.pipeline import Analysed, FancamFeed
from engines.render.followed import HELD_S, Follower, Paths, Place
from tests.engines.made import found, noise_frame, track

FPS = 25


def box_at(x: float) -> list[float]:
    return [x - 10, 80, x + 10, 106]


def seen_at(x: float, ident: int = 1, member: int | None = None) -> Tracks:
    tracks = replace(track(box_at(x), ident=ident), measured=np.array([True]), detection=np.array([0], np.int32))
    return replace(tracks, members=np.array([-1 if member is None else member], np.int32))


def nobody() -> Tracks:
    return replace(Tracks.empty(), members=np.zeros(0, np.int32))


def middle(place: object) -> float:
    return float((place.face[0] + place.face[2]) / 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("delay", [0, 5])
def test_who_leaves_is_held_for_a_while_and_then_gone(delay: int) -> None:
    follower, places = Follower(1, delay), []
    for n in range(100 + delay):
        there = n < 40
        tracks = seen_at(100 + n) if there else nobody()
        places.append(follower.push(found([box_at(100 + n)] if there else []), tracks, n / FPS))
    places = places[delay:]
    assert all(place is not None and place.seen for place in places[:40])
    held = places[40 : 40 + round(HELD_S * FPS)]
    assert all(place is not None and not place.seen for place in held)
    assert abs(middle(held[-1]) - 139) < 15
    assert not any(places[42 + round(HELD_S * FPS) :])
    assert not follower.there


@pytest.mark.parametrize("delay", [0, 5])
def test_the_same_member_is_followed_again_under_another_track(delay: int) -> None:
    follower, places = Follower(1, delay), []
    for n in range(120 + delay):
        if n < 30:
            tracks = seen_at(100, member=3)
        elif n < 80:
            tracks = seen_at(200, ident=7)  # somebody whom nobody knows
        else:
            tracks = seen_at(250, ident=9, member=3)
        places.append(follower.push(found(tracks.boxes), tracks, n / FPS))
    places = places[delay:]
    assert not any(places[60:80])
    assert all(place is not None and abs(middle(place) - 250) < 1 for place in places[80:])
    assert follower.track_id == 9


def test_nobody_is_followed_whom_two_tracks_claim_to_be() -> None:
    follower = Follower(1)
    follower.push(found([box_at(100)]), seen_at(100, member=3), 0.0)
    two = [seen_at(200, ident=7, member=3), seen_at(300, ident=8, member=3)]
    both = Tracks(*(np.concatenate([getattr(one, name) for one in two]) for name in Tracks.__slots__))
    for n in range(1, 60):
        place = follower.push(found(both.boxes), both, n / FPS)
    assert place is None


@pytest.mark.parametrize("max_gap_s", [0.0, 0.3, 1.0])
def test_gaps_are_filled_and_marked_and_no_longer_than_allowed(max_gap_s: float) -> None:
    paths, gaps = Paths(max_gap_s), {20: 5, 50: 15, 90: 40}
    missing = {n for first, length in gaps.items() for n in range(first, first + length)}
    for n in range(160):
        if n not in missing:
            paths.add(found([box_at(100 + n)]), seen_at(100 + n), 1, n / FPS)
    assert paths.at(1, 1, 159.5 / FPS) is None
    assert paths.at(1, 2, 10 / FPS) is None, "another shot"
    for n in range(160):
        place = paths.at(1, 1, n / FPS)
        if n not in missing:
            assert place is not None
            assert place.seen
            assert abs(middle(place) - (100 + n)) < 2
        else:
            length = next(length for first, length in gaps.items() if first <= n < first + length)
            if (length + 1) / FPS <= max_gap_s:
                assert place is not None
                assert not place.seen
                assert abs(middle(place) - (100 + n)) < 4
            else:
                assert place is None


def test_a_members_file_goes_on_after_a_slate(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "fancam-1.mp4", 136, 240, fps=Fraction(FPS), preset="ultrafast", crf=23) as video:
        fancam = Fancam(FancamFeed(1, (136, 240)), video, 0, 1, "1")
        for n in [*range(20), *range(100, 120)]:
            source = noise_frame(rtp_time=n * 90_000 // FPS)
            state = Analysed(source, found([], of=source), Tracks.empty(), 1, False)
            place = Place(np.array(box_at(150), np.float32), np.zeros(2), seen=True)
            fancam.write(state, 1 if n < 50 else 9, Seen(place, 2.0, 3))
    with av.open(str(tmp_path / "fancam-1.mp4")) as file:
        pictures = [(picture.time, picture.to_ndarray()[:240].std()) for picture in file.decode(video=0)]
    times = [time for time, _ in pictures]
    assert times[0] == 0
    assert times[-1] == pytest.approx(119 / FPS, abs=0.001)
    dull = [time for time, contrast in pictures if contrast < 25]
    assert dull == [pytest.approx(19 / FPS + 0.5, abs=0.001)], "the slate, half a second after the last picture"

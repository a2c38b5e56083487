"""Hours of a publisher whose clock is 200 ppm off: nothing jumps, nothing piles up, sound and picture stay together."""

from __future__ import annotations

import random

import pytest

from server.door.feed import FeedClock
from server.studio.intake import Timeline

HOURS = 6
NS = 1_000_000_000


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_video_and_sound_go_on_at_the_publishers_pace_and_stay_together(ppm: int) -> None:
    video, audio, chance = FeedClock(90_000), FeedClock(48_000), random.Random(ppm)
    offsets: set[tuple[int, int]] = set()
    last = -1
    for second in range(HOURS * 3600):
        captured_s = second * (1 + ppm / 1e6)  # by the publisher's clock
        arrival_ns = second * NS + int(chance.uniform(0, 0.05) * NS)
        placed = video.place(round(captured_s * 90_000), arrival_ns)
        heard = audio.place(round(captured_s * 48_000), arrival_ns + 5_000_000)
        assert placed > last
        last = placed
        offsets.add((video.offset, audio.offset))
        assert abs(placed / 90_000 - heard / 48_000 - (video.offset / 90_000 - audio.offset / 48_000)) < 0.001
    assert offsets == {(0, 0)}, "nothing was ever moved"


@pytest.mark.parametrize("ppm", [-200, 200])
def test_the_studio_places_frames_without_a_jump(ppm: int) -> None:
    timeline, chance = Timeline(), random.Random(ppm)
    before: int | None = None
    for second in range(HOURS * 3600):
        rtp_time = round(second * (1 + ppm / 1e6) * 90_000)
        placed = timeline.place(rtp_time, second * NS + int(chance.uniform(0, 0.05) * NS))
        assert before is None or 0 < placed - before < 91_000
        before = placed

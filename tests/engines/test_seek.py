"""Frames by number are those that decoding from the beginning gives, whatever the file and the order."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from engines.codecs.files import FileError, VideoFile
from engines.codecs.seek import FramesByNumber
from tests.client.clips import write_clip
from tests.engines.videos import write_video


@pytest.mark.parametrize("kind", ["b frames", "mkv of uneven times", "raw h264", "gif", "transport stream"])
def test_each_frame_is_the_one_of_that_number(tmp_path: Path, kind: str) -> None:
    path = {
        "b frames": lambda: write_clip(tmp_path / "a.mp4", frames=90, b_frames=3),
        "mkv of uneven times": lambda: write_video(
            tmp_path / "a.mkv", 8, times_ms=[0, 33, 50, 250, 251, 900, 940, 2400]
        ),
        "raw h264": lambda: write_clip(tmp_path / "a.h264", frames=70),
        "gif": lambda: write_video(tmp_path / "a.gif", codec="gif", format_="rgb8"),
        "transport stream": lambda: write_clip(tmp_path / "a.ts", frames=70),
    }[kind]()
    with VideoFile(path) as video:
        known = [(frame.rtp_time, frame.y.copy()) for frame in video]
    frames = FramesByNumber(path, [rtp_time for rtp_time, _ in known])
    order = [len(known) - 1, 0, *random.Random(1).sample(range(len(known)), min(len(known), 12)), len(known) - 1]
    for number in order:
        frame = frames.get(number)
        assert frame.rtp_time == known[number][0]
        np.testing.assert_array_equal(frame.y, known[number][1])
    frames.close()


def test_a_file_that_is_another_one_now_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=30)
    frames = FramesByNumber(path, [7 * n for n in range(30)])
    with pytest.raises(FileError, match=r"a\.mp4: frame 20 is not as it was"):
        frames.get(20)
    frames.close()

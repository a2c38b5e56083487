"""Files' fancams by who is there: a member's goes on in its file, and two people never share one frame of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engines.codecs.files import VideoFile
from engines.frame import Tracks
from engines.offline import Options, Ready, Summary, write
from engines.people import Seen
from engines.pipeline import Analysed
from engines.render.followed import Place
from tests.engines.made import found
from tests.engines.videos import write_video


def ada(x: float) -> Seen:
    place = Place(np.array([x, 40, x + 20, 66], np.float32), np.zeros(2), seen=True)
    return Seen(place, 2.0, 0, (0, "confirmed"))


def test_two_tracks_of_one_member_that_are_there_at_once_have_a_file_each(tmp_path: Path) -> None:
    """Both once wrote into the same file at the same time, which ended the whole run."""

    def frames(source: VideoFile) -> Iterator[Ready]:
        for n, frame in enumerate(source):
            who = [(1,), (2,), (1, 2)][n // 10]
            item = Analysed(frame, found([], of=frame), Tracks.empty(), 1, False)
            yield Ready(item, np.zeros((0, 4), np.float32), (), {track: ada(20.0 + 50 * track) for track in who})

    options = Options(members=("ada",))
    with VideoFile(write_video(tmp_path / "a.mp4", 30)) as source:
        summary = write(source, frames(source), tmp_path, options, Summary.of(source, options))
    counts = {}
    for path in tmp_path.glob("fancam-*.mp4"):
        with av.open(str(path)) as file:
            counts[path.name] = sum(1 for _ in file.decode(video=0))
    assert counts == {"fancam-ada-1.mp4": 30, "fancam-ada-1.2.mp4": 10}
    assert {person.track: person.fancam for person in summary.people} == {
        1: "fancam-ada-1.2.mp4",
        2: "fancam-ada-1.mp4",
    }


@pytest.mark.timeout(60)
def test_a_fault_after_the_last_frame_ends_the_run_and_does_not_hang(tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*_: object) -> list[str]:
        raise OSError("no names")

    monkeypatch.setattr("engines.offline.file_names", fail)
    with VideoFile(write_video(tmp_path / "a.mp4", 3)) as source, pytest.raises(OSError, match="no names"):
        write(source, iter(()), tmp_path, Options(), Summary.of(source, Options()))
    assert not list(tmp_path.glob("*.csv"))

"""The people of a file: where each is seen, their fancams, and their lines in `tracks.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from engines.codecs.mux import Mp4Writer
from engines.frame import RTP_CLOCK_HZ, Picture
from engines.pipeline import Analysed, Due, FancamFeed
from engines.render.followed import OUT_OF_SIGHT, Paths, Place

HELD_S: Final = 0.5
"""A fancam's last picture stays so long before the slate says that nobody is there."""
COLUMNS: Final = ("frame", "class", "x", "y", "w", "h", "pts_s", "track", "score", "state")


class People:
    """What is known of the tracks, as far as frames have been analysed."""

    def __init__(self, max_gap_s: float) -> None:
        self.paths = Paths(max_gap_s)
        self.confirmed: set[int] = set()
        self.members: dict[int, int] = {}
        """Whom a track was last surely recognised as."""

    def add(self, item: Analysed) -> None:
        tracks = item.tracks
        self.paths.add(item.detections, tracks, item.shot, item.time_s, item.turned)
        self.confirmed.update(tracks.ids[tracks.confirmed].tolist())
        if tracks.members is not None:
            sure = np.flatnonzero(tracks.members >= 0)
            self.members.update(zip(tracks.ids[sure].tolist(), tracks.members[sure].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Seen:
    """A person in one frame."""

    place: Place
    span_s: float
    """Seconds the track is known to be seen in all."""
    member: int | None


@dataclass(slots=True, eq=False)
class Fancam:
    feed: FancamFeed
    writer: Mp4Writer
    start: int
    """RTP time of its first frame."""
    member: int | None = None
    last: int | None = None
    """RTP time of its latest frame."""

    def write(self, item: Analysed, track: int, seen: Seen) -> None:
        time, held = item.frame.rtp_time, round(HELD_S * RTP_CLOCK_HZ)
        if self.last is not None and time - self.last > held:
            self.feed.show(Due(item, None, track, None))
            self._write(self.feed.slate(OUT_OF_SIGHT), self.last + held)
        self.member = self.member if seen.member is None else seen.member
        self._write(self.feed.show(Due(item, None, track, seen.place)), time)

    def _write(self, picture: Picture | None, time: int) -> None:
        if picture is not None:
            self.writer.write(picture, time - self.start)
            self.feed.release(picture)
            self.last = time


class Rows:
    """`tracks.csv`, written aside: a line per person and frame, boxes normalised, x and y the centre."""

    def __init__(self, path: Path) -> None:
        self._path, self._aside = path, path.with_name(f".{path.name}.part")
        self._file = self._aside.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow(COLUMNS)

    def write(self, index: int, track: int, place: Place, item: Analysed) -> str:
        """Returns the row's state: measured, or filled between two measurements."""
        x0, y0, x1, y1 = (float(value) for value in place.face)
        width, height = item.frame.width, item.frame.height
        at = item.tracks.index_of(track)
        score = float(item.tracks.scores[at]) if at is not None else 0.0
        state = "measured" if place.seen else "filled"
        shape = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        pts_s = item.frame.rtp_time / RTP_CLOCK_HZ
        self._csv.writerow(
            [index, "face", *(f"{value:.6f}" for value in shape), f"{pts_s:.6f}", track, f"{score:.3f}", state]
        )
        return state

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink()

"""The people of a file: where each is seen, their fancams, and their lines in `tracks.csv`."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from engines.codecs.mux import Mp4Writer
from engines.frame import RTP_CLOCK_HZ, Picture
from engines.pipeline import Analysed, Due, FancamFeed
from engines.render.followed import OUT_OF_SIGHT, Paths, Place
from engines.track.naming import State

HELD_S: Final = 0.5
"""A fancam's last picture stays so long before the slate says that nobody is there."""
LONGEST_NAME: Final = 60
"""Characters of a member's name in a file's."""
COLUMNS: Final = ("frame", "class", "x", "y", "w", "h", "pts_s", "track", "score", "state", "member", "member_state")


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

    def at(self, item: Analysed) -> dict[int, Seen]:
        """Who is seen in a frame that has waited, by their tracks."""
        found = {}
        for track, span_s in self.paths.spans(item.shot, item.time_s).items():
            place = self.paths.at(track, item.shot, item.time_s)
            if track in self.confirmed and place is not None:
                row = item.tracks.index_of(track)
                name = item.names.of(row) if item.names is not None and row is not None else None
                found[track] = Seen(place, span_s, self.members.get(track), name)
        self.paths.forget(item.time_s)
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """A person in one frame."""

    place: Place
    span_s: float
    """Seconds the track is known to be seen in all."""
    member: int | None
    """Whom the track was last surely recognised as."""
    name: tuple[int, State] | None = None
    """The member whose name the track has in this frame, and how sure that is."""


@dataclass(slots=True, eq=False)
class Fancam:
    feed: FancamFeed
    writer: Mp4Writer
    start: int
    """RTP time of its first frame."""
    track: int
    """Whom it follows now."""
    key: str
    """Of the track it began with: no other has it."""
    member: int | None = None
    last: int | None = None
    """RTP time of its latest frame."""
    names: Counter[int] = field(default_factory=Counter)
    """In how many frames it surely showed each member."""

    @property
    def shows(self) -> int | None:
        """The member that it shows, None where that was never sure."""
        return self.names.most_common(1)[0][0] if self.names else None

    def write(self, item: Analysed, track: int, seen: Seen) -> None:
        self.track = track
        time, held = item.frame.rtp_time, round(HELD_S * RTP_CLOCK_HZ)
        if self.last is not None and time - self.last > held:
            self.feed.show(Due(item, None, track, None))
            self._write(self.feed.slate(OUT_OF_SIGHT), self.last + held)
        self.member = self.member if seen.member is None else seen.member
        if seen.name is not None and seen.name[1] == "confirmed":
            self.names[seen.name[0]] += 1
        self._write(self.feed.show(Due(item, None, track, seen.place)), time)

    def _write(self, picture: Picture | None, time: int) -> None:
        if picture is not None:
            self.writer.write(picture, time - self.start)
            self.feed.release(picture)
            self.last = time


def file_names(keys: Sequence[str], names: Sequence[str | None]) -> list[str]:
    """One a fancam: by whom it shows; by its key where that is nobody known, and by both where two show one member.
    What is no letter, digit or underscore becomes an underscore."""
    words = [name and re.sub(r"\W+", "_", name)[:LONGEST_NAME] for name in names]
    uses = Counter(word.casefold() for word in words if word)
    made = []
    for key, word in zip(keys, words, strict=True):
        alone = word and uses[word.casefold()] == 1 and not word.isdecimal()  # a number would be taken for a track
        made.append(f"fancam-{word if alone else f'{word}-{key}' if word else key}.mp4")
    return made


class Rows:
    """`tracks.csv`, written aside: a line per person and frame, boxes normalised, x and y the centre. `members` are the names by
    their numbers."""

    def __init__(self, path: Path, members: Sequence[str] = ()) -> None:
        self._members = tuple(members)
        self._path, self._aside = path, path.with_name(f".{path.name}.part")
        self._file = self._aside.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow(COLUMNS)

    def write(self, index: int, track: int, seen: Seen, item: Analysed) -> str:
        """Returns the row's state: measured, or filled between two measurements."""
        place = seen.place
        x0, y0, x1, y1 = (float(value) for value in place.face)
        width, height = item.frame.width, item.frame.height
        at = item.tracks.index_of(track)
        score = float(item.tracks.scores[at]) if at is not None else 0.0
        state = "measured" if place.seen else "filled"
        shape = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        pts_s = item.frame.rtp_time / RTP_CLOCK_HZ
        member, sure = (self._members[seen.name[0]], seen.name[1]) if seen.name is not None else ("", "")
        where = [f"{value:.6f}" for value in (*shape, pts_s)]
        self._csv.writerow([index, "face", *where, track, f"{score:.3f}", state, member, sure])
        return state

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink()

"""Do names stay with people? Tracks of dancers, a simulated recogniser, and who is named right how often.

`fancam bench identity` tracks the sequences of ../shared/data/tracking/dancetrack that have their truth. In each frame each
detection of a person is claimed to be a member: the right one as often as the recogniser is good, else any other; mistakes last
0.2 s on average, as they do where a face is turned away; the claims' scores say how good it is. Names are judged in every frame
in which a track shows a person of the truth. The same claims are given to a rule without memory: named as claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.report import ROOT, write_result
from engines.frame import Tracks
from engines.track.identity import NOBODY, Claims
from engines.track.kinds import PERSONS
from engines.track.naming import Naming
from engines.track.odds import Learnt, shipped
from engines.track.tracker import Tracker
from engines.train.tracker_data import Look, Sequence, read_set

DATA: Final = ROOT.parent / "shared/data/tracking"
SKILLS: Final = (0.95, 0.8, 0.6)
AIMS: Final = (96.0, 94.0, 90.0)
MISTAKE_S: Final = 0.2


@dataclass(slots=True)
class Count:
    """Over all frames: looks at people and how many were named right; frames, and in how many two had one name; changes of a
    person's name; seconds that people were seen; and how long swaps stood."""

    looks: int = 0
    right: int = 0
    frames: int = 0
    doubled: int = 0
    changes: int = 0
    seen_s: float = 0.0
    undone_s: list[float] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)

    def add(self, who: np.ndarray, named: np.ndarray, step_s: float) -> None:
        """`who` (n,) and how they are `named` (n,) or NOBODY, members counted from 0."""
        self.looks += len(who)
        self.right += int((who == named).sum())
        self.frames += 1
        said = named[named != NOBODY].tolist()
        self.doubled += len(set(said)) < len(said)
        self.seen_s += len(who) * step_s
        for person, name in zip(who.tolist(), named.tolist(), strict=True):
            self.changes += name != NOBODY and self.last.get(person, name) != name
            if name != NOBODY:
                self.last[person] = name

    def figures(self) -> dict[str, float]:
        return {
            "right_percent": 100 * self.right / max(self.looks, 1),
            "two_with_one_name_percent": 100 * self.doubled / max(self.frames, 1),
            "changes_a_minute": 60 * self.changes / max(self.seen_s, 1e-9),
            "swaps_undone": len(self.undone_s),
            "median_s_to_undo": float(np.median(self.undone_s)) if self.undone_s else 0.0,
        }


class Recogniser:
    """Takes a person for the right member with probability `skill`; what it says of a person lasts MISTAKE_S on average."""

    def __init__(self, skill: float, members: int, random: np.random.Generator) -> None:
        self._skill, self._members, self._random = skill, members, random
        self._says: dict[int, int] = {}

    def claim(self, who: np.ndarray, step_s: float) -> Claims:
        said = [self._of(int(person), step_s) if person != NOBODY else NOBODY for person in who]
        return Claims(np.array(said, np.int32), np.full(len(who), self._skill, np.float32))

    def _of(self, person: int, step_s: float) -> int:
        if person not in self._says or self._random.random() > np.exp(-step_s / MISTAKE_S):
            wrong = (person + int(self._random.integers(1, max(self._members, 2)))) % self._members
            self._says[person] = person if self._random.random() < self._skill else wrong
        return self._says[person]


def tracked(sequence: Sequence) -> Iterator[tuple[Look, Tracks]]:
    tracker = Tracker(PERSONS, Learnt(shipped(PERSONS.name).same))  # as faces' ids, these are never exchanged
    for look in sequence:
        yield look, tracker.step(look.detections, look.time_s)


def judge(sequence: list[tuple[Look, Tracks]], skill: float, seed: int, count: Count, bare: Count) -> None:
    """Names the people of one sequence by `Naming` into `count`, and as claimed into `bare`."""
    people = sorted({int(who) for look, _ in sequence for who in look.who if who != NOBODY})
    number = {who: k for k, who in enumerate(people)} | {NOBODY: NOBODY}
    recogniser, naming = Recogniser(skill, len(people), np.random.default_rng(seed)), Naming(len(people))
    count.last, bare.last = {}, {}
    before_s = sequence[0][0].time_s - 0.05
    for look, tracks in sequence:
        who = np.array([number[int(i)] for i in look.who], np.int32)
        step_s, before_s = look.time_s - before_s, look.time_s
        claims = recogniser.claim(who, step_s)
        names = naming.step(tracks, claims, look.time_s)
        shown = np.flatnonzero(tracks.measured & tracks.confirmed)
        shown = shown[who[tracks.detection[shown]] != NOBODY]
        at = tracks.detection[shown]
        count.add(who[at], names.members[shown], step_s)
        bare.add(who[at], claims.members[at], step_s)
        count.undone_s += [swap.undone_s - swap.since_s for swap in names.swaps]


def command(data: Annotated[Path, typer.Option(help="Folder with seqinfo.json and dancetrack/.")] = DATA) -> None:
    runs = [[*tracked(sequence)] for sequence in read_set(data, "dancetrack").values()]
    figures = {}
    print(
        f"{'recogniser':12}{'memory':10}{'right %':>9}{'twice %':>9}{'changes/min':>13}{'undone':>8}{'after s':>9}{'aim %':>8}"
    )
    for skill, aim in zip(SKILLS, AIMS, strict=True):
        counts = {"none": Count(), "naming": Count()}
        for seed, run in enumerate(runs):
            judge(run, skill, seed, counts["naming"], counts["none"])
        for memory, count in counts.items():
            told = figures[f"{skill:.0%}, {memory}"] = count.figures()
            print(
                f"{skill:<12.0%}{memory:10}{told['right_percent']:9.1f}{told['two_with_one_name_percent']:9.1f}"
                f"{told['changes_a_minute']:13.1f}{told['swaps_undone']:8.0f}{told['median_s_to_undo']:9.2f}{aim:8.0f}",
                flush=True,
            )
    write_result("identity", {"names": figures, "mistakes_last_s": MISTAKE_S})

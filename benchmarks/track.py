"""Does the tracker keep people apart, at what cost? HOTA, AssA, IDF1, MOTA, switches and µs a frame, beside other people's trackers.

`fancam bench track` runs on the detections of ../shared/data/tracking (dancers; pedestrians, from whom nothing was learnt), whole,
every third frame and a random half, on faces of drawn scenes, and on simulated walkers for the time. `--folds 2` first learns anew and
scores no dancers' sequence by weights that saw it (some minutes); without it the shipped weights are judged, which have seen those with
their truth. `--peers DIR` adds SORT, ByteTrack, OC-SORT and C-BIoU of the package `trackers`, ARC-SORT of `arcsort`, Hybrid-SORT,
BoostTrack and SFSORT of `boxmot`, and norfair, all by boxes alone; DIR is made with
`python3.11 -m venv DIR && DIR/bin/pip install -r benchmarks/peers/trackers.txt && DIR/bin/pip install --no-deps norfair==2.1.1`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks import mot_jobs
from benchmarks.mot_jobs import Job
from benchmarks.mot_score import Sums, sums, total
from benchmarks.report import ROOT, write_result
from engines.track import mot
from engines.track.follow import follow
from engines.track.kinds import PERSONS
from engines.track.odds import Learnt, load
from engines.track.tracker import Tracker
from engines.train.tracker_data import read_info

DATA: Final = ROOT.parent / "shared/data/tracking"
PEERS_SCRIPT: Final = Path(__file__).parent / "peers/mot_trackers.py"
WALKERS: Final = (5, 20, 100)
WARM_UP: Final = 50
ROUNDS: Final = 3
FILLED: Final = "fancam --filled"
"""The same tracks, with the short gaps in them filled, as `fancam track --filled` writes them."""


def jobs_of(data: Path) -> list[Job]:
    dancers = mot_jobs.of_set(data, "dancetrack", "dancers")
    return [
        *dancers,
        *mot_jobs.every(dancers, 3, 0, "every third"),
        *mot_jobs.half(dancers, 7, "random half"),
        *mot_jobs.of_set(data, "mot17_halfval", "pedestrians"),
        *mot_jobs.drawn_faces(4, 20.0, "drawn faces"),
    ]


def by_folds(data: Path, folds: int, folder: Path) -> dict[str, Learnt]:
    """For each of the dancers' sequences weights that were learnt without it."""
    sequences, learnt = [*read_info(data, "dancetrack")], dict[str, Learnt]()
    for fold in range(folds):
        left_out, out = sequences[fold::folds], folder / f"fold{fold}.npz"
        without = [word for name in left_out for word in ("--without", name)]
        train = [sys.executable, "-m", "client.cli.main", "train", "tracker"]
        subprocess.run([*train, "--data", str(data), "--out", str(out), *without], check=True)
        learnt |= dict.fromkeys(left_out, load(out))
    return learnt


def frame_us(job: Job) -> float:
    """Median µs of the tracker's step."""
    tracker, took = Tracker(job.kind), []
    for frame, rows in mot.per_frame(job.table, len(job.frames)):
        detections = mot.detections(rows)
        started = time.perf_counter()
        tracker.step(detections, frame / job.fps)
        took.append(time.perf_counter() - started)
    return float(np.median(took[WARM_UP:])) * 1e6


def run_peers(python: Path, folder: Path) -> dict[str, dict[str, float]]:
    subprocess.run([python, "-W", "ignore", PEERS_SCRIPT, folder], check=True)
    return dict(json.loads((folder / "times.json").read_text()))


def timed(peers: Path | None, folder: Path) -> dict[str, dict[str, float]]:
    """µs a frame by tracker and number of objects, the best of ROUNDS by turns."""
    jobs, best = [mot_jobs.walkers(count) for count in WALKERS], dict[str, dict[str, float]]()
    mot_jobs.write(jobs, folder)
    for _ in range(ROUNDS):
        taken = {"fancam": {job.name: frame_us(job) for job in jobs}}
        if peers is not None:
            taken |= run_peers(peers / "bin/python", folder)
        for name, times in taken.items():
            for job in jobs:
                if job.name in times:
                    us = best.setdefault(name, {})
                    us[job.sequence] = min(us.get(job.sequence, np.inf), times[job.name])
    return best


def show(figures: dict[str, dict[str, Any]], us: dict[str, dict[str, float]]) -> None:
    width = max(map(len, figures))
    for column in next(iter(figures.values())):
        print(f"\n{column:{width}}    HOTA   AssA   IDF1   MOTA  switches")
        for name, of in figures.items():
            told = of[column]
            print(
                f"{name:{width}}  "
                + "".join(f"{told[key]:7.1f}" for key in ("HOTA", "AssA", "IDF1", "MOTA"))
                + f"{told['switches']:10}"
            )
    print(f"\n{'µs a frame':{width}}  " + "".join(f"{count:>8} objects" for count in WALKERS))
    for name, times in us.items():
        ratios = (
            f"{times[n]:9.0f}" + (f" ×{times[n] / us['SORT'][n]:.2f}" if "SORT" in us else "")
            for n in map(str, WALKERS)
            if n in times
        )
        print(f"{name:{width}}  " + "  ".join(ratios))


def command(
    data: Annotated[Path, typer.Option(help="Folder with seqinfo.json, dancetrack/ and mot17_halfval/.")] = DATA,
    peers: Annotated[Path | None, typer.Option(help="The peers' environment.")] = None,
    folds: Annotated[int, typer.Option(help="Learn this many times, each without a share of the dancers.")] = 0,
) -> None:
    jobs = jobs_of(data)
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        learnt = by_folds(data, folds, Path(folder)) if folds else {}
        us = timed(peers, Path(folder))
        if peers is not None:
            mot_jobs.write(jobs, Path(folder))
            run_peers(peers / "bin/python", Path(folder))
        for name in (*us, FILLED):
            figures[name] = {}
            for column, part in mot_jobs.columns(jobs):
                scored: list[Sums] = []
                for job in part:
                    if name in ("fancam", FILLED):
                        own = learnt.get(job.sequence) if job.kind is PERSONS else None
                        looked = frozenset(job.frames)
                        rows = follow(job.table, job.fps, job.kind, own, frames=looked, filled=name == FILLED)
                    else:
                        rows = mot_jobs.tracks(Path(folder), name, job)
                    scored.append(sums(job.judged(), rows))
                figures[name][column] = total(scored)
    show(figures, us)
    write_result("track", {"folds": folds, "figures": figures, "us_a_frame": us})

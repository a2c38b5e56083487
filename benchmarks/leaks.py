"""Which faces of real clips can still be seen in what `fancam process` makes of them? Judged by the script of ../shared/judges.

`fancam bench leaks [CLIP …]` processes each clip at the defaults and judges every fourth frame; a clip's name is one of
../shared/data/clips. Prints leaks of sure and of known faces, coverage, how much of the picture is covered, faces a frame and people.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import ROOT, write_result

SHARED = ROOT.parent / "shared"
CLIPS = ("crowd_walking_360p", "kpop_dance_street_720p")


def judge(clip: str, step: int, keep: Path | None) -> dict[str, Any]:
    source = SHARED / "data/clips" / f"{clip}.mp4"
    with tempfile.TemporaryDirectory() as folder:
        out = keep / clip if keep else Path(folder)
        fancam = [sys.executable, "-m", "client.cli.main"]
        subprocess.run([*fancam, "process", str(source), "--out", str(out)], check=True, stderr=subprocess.DEVNULL)
        summary = json.loads((out / "summary.json").read_text())
        options = ["--step", str(step), "--threads", "1", "--json"]
        verdict = subprocess.run(
            [sys.executable, str(SHARED / "judges/leaks.py"), str(source), str(out / "redacted.mp4"), *options],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    faces = json.loads(verdict.strip().splitlines()[-1])
    people = summary["people"]
    return {
        "judge": faces,
        "faces_a_frame": round(summary["faces"] / summary["frames"], 2),
        "people": len(people),
        "people_seen_1_s": sum(person["last_s"] - person["first_s"] >= 1 for person in people),
        "detector": summary["detector"],
    }


def command(
    clips: Annotated[list[str] | None, typer.Argument(help="Names of clips.")] = None,
    step: Annotated[int, typer.Option(min=1, help="Judge every n-th frame.")] = 4,
    keep: Annotated[Path | None, typer.Option(help="Keep what was made in this folder.")] = None,
) -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"the clips and the judge are not here: {SHARED} does not exist")
    results = {}
    for clip in clips or CLIPS:
        result = results[clip] = judge(clip, step, keep)
        every = result["judge"]["classes"]["all"]
        print(
            f"{clip}: sure {every['leaks']} leaks of {every['sure']} (upper bound {every['leak_pct_upper95']} %, aim 0), "
            f"known {every['known_leaks']} of {every['known']}; {every['uncovered_pct']} % of the sure not covered to 95 % (aim ≤ 1 %); "
            f"{result['judge']['picture_covered_pct']} % of the picture covered; {result['faces_a_frame']} faces a frame, "
            f"{result['people_seen_1_s']} tracks of 1 s and more",
            flush=True,
        )
    write_result("leaks", {"step": step, "clips": results})

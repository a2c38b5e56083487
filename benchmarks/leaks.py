"""Which faces of real clips can still be seen in the redacted feed, beside deface? Judged by the script of ../shared/judges.

`fancam bench leaks [CLIP …]` processes each clip of ../shared/data/clips at the defaults, judges every fourth frame by an outside
detector's faces, and prints leaks by size of face and the share of the picture that is covered. With `--peers DIR` (made with
`python3.11 -m venv DIR && DIR/bin/pip install -r benchmarks/peers/requirements.txt`) deface runs on the same clips, covering solidly
too. With `--live` the clips go through a live studio at their own speed instead; frames that it does not show cannot leak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.live_redaction import redact_live
from benchmarks.report import ROOT, write_result
from engines.report import add_uncovered

SHARED: Final = ROOT.parent / "shared"
JUDGE: Final = SHARED / "judges/leaks.py"
KNOWN_PCT: Final = {"ge64": 0.05, "32_63": 0.2, "24_31": 0.3}
"""Aims: leaks of known faces by size in px, in per cent. Of sure faces none may leak."""
SIZES: Final = (*KNOWN_PCT, "all")


@dataclass
class Judged:
    """What the judge says of one redacted clip. `faces`: size class → sure, sure leaks, known, known leaks."""

    faces: dict[str, tuple[int, int, int, int]]
    uncovered: int
    """Sure faces that are not covered to 95 %."""
    picture_pct: float
    frames: int
    frames_match: bool
    """Whether the redacted clip has a frame for each of the source: else pictures of different moments were compared."""
    leaks: list[dict[str, Any]]
    """Known faces that leak: frame, box, size; never a pixel."""

    def told(self) -> str:
        sure, sure_leaks, known, known_leaks = self.faces["all"]
        told = f"sure {sure_leaks}/{sure}, known {known_leaks}/{known}, {self.picture_pct:.1f} % of the picture"
        return told if self.frames_match else f"{told}; has not the source's frames, so these figures say nothing"


class Clips:
    """One run over some clips: truth is found once a clip, then each redacted file is judged by it."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step

    def truth(self, source: Path) -> Path:
        """The judge's own faces of a clip, found while it judges the clip beside itself."""
        path = self.folder / f"{source.stem}.faces.jsonl"
        if not path.is_file():
            aside = path.with_suffix(".part")
            self._run_judge(source, source, "--save-faces", str(aside))
            aside.replace(path)
        return path

    def judge(self, source: Path, redacted: Path, truth: Path) -> Judged:
        leaking = self.folder / "leaking.jsonl"
        verdict = self._run_judge(source, redacted, "--truth", str(truth), "--leaks", str(leaking))
        classes = verdict["classes"]
        keys = ("sure", "leaks", "known", "known_leaks")
        return Judged(
            {size: tuple(classes[size][key] for key in keys) for size in SIZES},  # type: ignore[misc]
            classes["all"]["uncovered"],
            verdict["picture_covered_pct"],
            verdict["frames_judged"],
            verdict["frames_match"],
            [json.loads(line) for line in leaking.read_text().splitlines()],
        )

    def _run_judge(self, source: Path, redacted: Path, *more: str) -> dict[str, Any]:
        words = [sys.executable, str(JUDGE), str(source), str(redacted), "--step", str(self.step), "--json", *more]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        if not run.stdout.strip():
            raise SystemExit(f"the judge failed on {redacted}: {run.stderr[-300:]}")
        verdict: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
        return verdict


def redact(source: Path, folder: Path, report: Path | None) -> Path:
    """By `fancam process`, at its defaults."""
    words = [sys.executable, "-m", "client.cli.main", "process", str(source), "--out", str(folder / source.stem)]
    more = ["--report", str(report / source.stem)] if report is not None else []
    subprocess.run([*words, "--no-fancams", *more], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / source.stem / "redacted.mp4"


def run_deface(source: Path, folder: Path, peers: Path) -> Path:
    """By deface, solid; what it made of this clip before is taken again, since it makes the same of it each time."""
    made = folder / f"{source.stem}.deface.mp4"
    if not made.is_file():
        aside = made.with_suffix(".part.mp4")
        words = [f"{peers}/bin/deface", str(source), "--replacewith", "solid", "--output", str(aside)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        aside.replace(made)
    return made


def total(judged: list[Judged]) -> dict[str, tuple[int, ...]]:
    return {size: tuple(map(sum, zip(*(one.faces[size] for one in judged), strict=True))) for size in SIZES}


def print_totals(ours: list[Judged], theirs: list[Judged]) -> None:
    """By size of face, with the aims."""
    theirs = [one for one in theirs if one.frames_match]
    sums, deface = total(ours), total(theirs) if theirs else None
    for size in SIZES:
        sure, sure_leaks, known, known_leaks = sums[size]
        rate = 100 * known_leaks / max(known, 1)
        if size in KNOWN_PCT:
            aim = f"aim {KNOWN_PCT[size]} %"
        elif deface:
            aim = f"aim a third of deface's {100 * deface[size][3] / max(deface[size][2], 1):.2f} %"
        else:
            aim = "deface was not run"
        line = f"{size:>6} px: sure {sure_leaks}/{sure} (aim 0), known {known_leaks}/{known} = {rate:.2f} % ({aim})"
        print(line + (f"; deface sure {deface[size][1]}, known {deface[size][3]}" if deface else ""))


def command(
    clips: Annotated[list[str] | None, typer.Argument(help="Names of clips; all of them when none is given.")] = None,
    step: Annotated[int, typer.Option(min=1, help="Judge every n-th frame.")] = 4,
    peers: Annotated[Path | None, typer.Option(help="The peers' environment: run deface too.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep what was made, and take up again what is there.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="A report for each clip, with what still can be seen, in this folder.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Through a live studio, at the clips' own speed.")] = False,
) -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"the clips and the judge are not here: {SHARED} does not exist")
    if live and report:
        raise typer.BadParameter("a report is made by `fancam process`, not live")
    sources = {path.stem: path for path in sorted((SHARED / "data/clips").glob("*.mp4"))}
    if unknown := set(clips or ()) - sources.keys():
        raise typer.BadParameter(f"no clip {', '.join(sorted(unknown))}: one of {', '.join(sources)}")
    ours: dict[str, Judged] = {}
    theirs: dict[str, Judged] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run = Clips(folder, step)
        for name in clips or sources:
            source = sources[name]
            truth = run.truth(source)
            line = ""
            if live:
                shown = redact_live(source, folder / f"{name}.live.mp4", truth)
                ours[name] = run.judge(source, shown.video, shown.truth)
                ours[name].picture_pct /= max(shown.share, 1e-9)  # frames not shown stand there untouched
                line = f"; {100 * shown.share:.0f} % of the frames shown"
            else:
                ours[name] = run.judge(source, redact(source, folder, report), truth)
                if report is not None:
                    add_uncovered(report / name, [(leak["frame"], leak["xyxy_px"]) for leak in ours[name].leaks])
            print(f"{name}: {ours[name].told()}{line}", flush=True)
            if peers is not None:
                theirs[name] = run.judge(source, run_deface(source, folder, peers), truth)
                more = theirs[name].frames_match and ours[name].picture_pct > theirs[name].picture_pct
                line = "; less of the picture than ours" if more else ""
                print(f"{'deface':>{len(name)}}: {theirs[name].told()}{line}", flush=True)
    print_totals(list(ours.values()), list(theirs.values()))
    result = {
        "step": step,
        "clips": {name: vars(one) for name, one in ours.items()},
        "deface": {name: vars(one) for name, one in theirs.items()},
    }
    write_result("leaks_live" if live else "leaks", result)

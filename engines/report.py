"""What a redaction did, for whoever has to answer for it: figures a frame, places to look at, and what was processed by what.

Says where somebody was found, never who it was and never a pixel; members' names stand there where the policy named them and in the
names of their fancams' files. A face that the network never found is not in here: rates of
those are the model's, and stand in its card.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.disk import sha256_of
from engines.frame import F32
from engines.pipeline import Analysed
from engines.render.covers import HOLD_S, scores_to_cover
from engines.render.exempt import cover_all_but, surely
from engines.track.associate import overlaps

SURE_SCORE: Final = 0.5
SHORT_S: Final = 0.3
EDGE_SHARE: Final = 0.03
"""Of the picture's width: who was last seen this near its edge has walked out of it."""
SAME_OVERLAP: Final = 0.3
MASK_SCALE: Final = 8


@dataclass(slots=True)
class FrameReport:
    """One frame: faces found (score 0.5 and more), doubtful ones (covered too), faces covered though not found in this frame, and
    the share of the picture that is covered."""

    time_s: float
    found: int
    doubtful: int
    coasted: int
    covered_share: float
    shown: list[list[float]]
    """Boxes xyxy px of those who are seen by policy."""


@dataclass(slots=True)
class Sighting:
    """A track, from its first to its last measurement; xyxy px at its last."""

    track: int
    first_s: float
    last_s: float
    looks: int
    best_score: float
    last_box: list[float]


@dataclass(slots=True)
class Doubt:
    """A place to look at."""

    time_s: float
    track: int
    box: list[float]
    why: str


@dataclass(slots=True)
class Report:
    """Collects, frame by frame in order, and writes `report.json` and `report.html`."""

    width: int
    height: int
    frames: list[FrameReport] = field(default_factory=list)
    sightings: dict[int, Sighting] = field(default_factory=dict)

    def add(
        self,
        item: Analysed,
        extra_boxes: F32,
        shown: Collection[int] = (),
        removed: NDArray[np.int32] | None = None,
    ) -> None:
        """The next frame, with the boxes that only its neighbours in time know of, the members who may be seen, and the
        covers (m, 4) that a person has taken away."""
        tracks, detections = item.tracks, item.detections
        seen = surely(tracks, () if item.wary else shown)
        covers = cover_all_but(seen, detections, tracks, item.with_besides(extra_boxes), wary=item.wary)
        if removed is not None:
            covers = covers.without(removed)
        self.frames.append(
            FrameReport(
                round(item.time_s, 3),
                int((detections.scores >= SURE_SCORE).sum()),
                int(((detections.scores >= scores_to_cover(detections)) & (detections.scores < SURE_SCORE)).sum()),
                int((~tracks.measured & (tracks.unseen_s <= HOLD_S)).sum()),
                round(self._share(covers.boxes), 4),
                np.round(tracks.boxes[np.isin(tracks.ids, seen)], 1).tolist(),
            )
        )
        for i in np.flatnonzero(tracks.measured).tolist():
            self._see(int(tracks.ids[i]), item.time_s, tracks.boxes[i], float(tracks.scores[i]))

    def _see(self, track: int, time_s: float, where: F32, score: float) -> None:
        box = [round(float(value), 1) for value in where]
        seen = self.sightings.get(track) or self._begun(track, where)
        if seen is None:
            seen = Sighting(track, time_s, time_s, 0, 0.0, box)
        seen.track, seen.last_s, seen.last_box, seen.looks = track, time_s, box, seen.looks + 1
        seen.best_score = max(seen.best_score, round(score, 3))
        self.sightings[track] = seen

    def _begun(self, track: int, where: F32) -> Sighting | None:
        """What a track that has just been confirmed was called in the frame before."""
        if track < 0 or len(self.frames) < 2:
            return None
        before_s, here = self.frames[-2].time_s, where[None].astype(float)
        for name, seen in self.sightings.items():
            just_now = name < 0 and abs(seen.last_s - before_s) < 0.001
            if just_now and overlaps(np.array([seen.last_box]), here)[0, 0] > SAME_OVERLAP:
                return self.sightings.pop(name)
        return None

    def doubts(self) -> list[Doubt]:
        """Where a person should look: faces seen for a moment only, never surely, or gone in the middle of the picture."""
        end_s = self.frames[-1].time_s if self.frames else 0.0
        found = []
        for seen in self.sightings.values():
            at_edge = (
                min(seen.last_box[0], self.width - seen.last_box[2]) < EDGE_SHARE * self.width
                or min(seen.last_box[1], self.height - seen.last_box[3]) < EDGE_SHARE * self.width
            )
            short = seen.last_s - seen.first_s < SHORT_S
            if seen.best_score < SURE_SCORE and not short:
                found.append(Doubt(seen.first_s, seen.track, seen.last_box, "never surely a face"))
            elif seen.best_score >= SURE_SCORE and short:
                found.append(Doubt(seen.first_s, seen.track, seen.last_box, "a face for a moment"))
            elif not short and not at_edge and end_s - seen.last_s > SHORT_S:
                found.append(Doubt(seen.last_s, seen.track, seen.last_box, "lost in the middle of the picture"))
        return sorted(found, key=lambda doubt: doubt.time_s)

    def write(
        self,
        folder: Path,
        source: Path,
        outputs: Iterable[Path],
        made_with: dict[str, Any],
        changes: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Both files, whole or not at all. `made_with`: the model, the options; `changes`: what a person decided about the
        covers, each with its `time_s`, `until_s` and `what`.

        Raises:
            OSError: the folder cannot be written.
        """
        doubts = self.doubts()
        count = max(len(self.frames), 1)
        told = {
            "source": file_facts(source),
            "outputs": [file_facts(path) for path in outputs],
            "made_with": made_with,
            "width": self.width,
            "height": self.height,
            "frames": len(self.frames),
            "found": sum(frame.found for frame in self.frames),
            "doubtful": sum(frame.doubtful for frame in self.frames),
            "coasted": sum(frame.coasted for frame in self.frames),
            "shown": sum(len(frame.shown) for frame in self.frames),
            "covered_share": round(sum(frame.covered_share for frame in self.frames) / count, 4),
            "look_at": [asdict(doubt) for doubt in doubts],
            "changed": list(changes),
            "per_frame": [asdict(frame) for frame in self.frames],
        }
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, told)

    def _share(self, boxes: np.ndarray) -> float:
        mask = np.zeros((-(-self.height // MASK_SCALE), -(-self.width // MASK_SCALE)), np.uint8)
        for x0, y0, x1, y1 in (boxes / MASK_SCALE).tolist():
            centre, axes = (round((x0 + x1) / 2), round((y0 + y1) / 2)), (round((x1 - x0) / 2), round((y1 - y0) / 2))
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, cv2.FILLED)
        return float(mask.mean())


def add_uncovered(folder: Path, faces: Iterable[tuple[int, Sequence[float]]]) -> None:
    """Put into a report that was written what another detector still sees: frame number and box (xyxy px) of each face."""
    told = json.loads((folder / "report.json").read_text())
    told["uncovered"] = [
        {"frame": frame, "time_s": told["per_frame"][frame]["time_s"], "box": list(box)} for frame, box in faces
    ]
    _write(folder, told)


def _write(folder: Path, told: dict[str, Any]) -> None:
    for name, text in (("report.json", json.dumps(told, indent=1) + "\n"), ("report.html", _page(told))):
        write_whole(folder / name, text)


def write_whole(path: Path, text: str) -> None:
    """The file is there with all of its text, or as it was before."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text)
    aside.replace(path)


def file_facts(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


STYLE: Final = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{text-align:left;padding:.3rem .8rem .3rem 0;
border-bottom:1px solid #d8dde3;vertical-align:top}code{font-size:.85em;overflow-wrap:anywhere}
svg{width:100%;height:9rem;background:#f4f6f8}"""


def _page(told: dict[str, Any]) -> str:
    """A page of its own: no script, nothing from elsewhere."""
    files = [("source", told["source"]), *(("written", file) for file in told["outputs"])]
    doubts = told["look_at"]
    return "\n".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>Redaction of {escape(told['source']['name'])}</title><style>{STYLE}</style>",
            f"<h1>Redaction of {escape(told['source']['name'])}</h1>",
            f"<p>{told['frames']} frames. Found in them: {told['found']} faces, and {told['doubtful']} places that may be one, "
            f"all of them covered{_but(told['shown'])}; {told['coasted']} times a face was covered that was not found in that very frame. "
            f"{100 * told['covered_share']:.1f} % of the picture is covered on average.</p>",
            "<p>A face that was never found is not covered and not listed here.</p>",
            *_uncovered(told),
            "<h2>Covered share of the picture over time</h2>",
            _curve([frame["covered_share"] for frame in told["per_frame"]]),
            f"<h2>Places to look at ({len(doubts)})</h2>",
            _table(
                ("at", "why", "person", "box, px"),
                [(_clock(d["time_s"]), d["why"], str(d["track"]), _box(d["box"])) for d in doubts],
            ),
            "<h2>What a person changed</h2>",
            _table(
                ("from", "to", "what"),
                [(_clock(one["time_s"]), _clock(one["until_s"]), one["what"]) for one in told["changed"]],
            ),
            "<h2>Files</h2>",
            _table(
                ("", "name", "bytes", "SHA-256"),
                [(role, file["name"], str(file["bytes"]), file["sha256"]) for role, file in files],
            ),
            "<h2>Made with</h2>",
            _table(("setting", "value"), [(key, str(value)) for key, value in told["made_with"].items()]),
            "</html>",
            "",
        )
    )


def _uncovered(told: dict[str, Any]) -> list[str]:
    """The section of a report to which another detector's faces were added."""
    if "uncovered" not in told:
        return []
    rows = [(_clock(face["time_s"]), str(face["frame"]), _box(face["box"])) for face in told["uncovered"]]
    return [f"<h2>Faces that another detector still sees ({len(rows)})</h2>", _table(("at", "frame", "box, px"), rows)]


def _box(box: Sequence[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)


def _but(shown: int) -> str:
    return f" but for {shown} times that one was seen by policy" if shown else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return "<p>None.</p>"
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rest = "".join(f"<tr>{''.join(f'<td><code>{escape(cell)}</code></td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{rest}</table>"


def _curve(shares: list[float]) -> str:
    step = 1000 / max(len(shares) - 1, 1)
    points = " ".join(f"{i * step:.1f},{100 - 100 * share:.1f}" for i, share in enumerate(shares))
    line = f'<polyline points="{points}" fill="none" stroke="#0b6bcb" stroke-width="1.5" vector-effect="non-scaling-stroke"/>'
    return f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img">{line}</svg>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:06.3f}"

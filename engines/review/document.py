"""Decisions as JSON: the file that repeats a review without anybody looking, and what it must be to be believed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engines.report import file_facts, write_whole
from engines.review.decisions import Add, Box, Decision, Decisions, Remove

FORMAT: Final = 1
MOST_DECISIONS: Final = 10_000
FAR: Final = 1.0
"""How far beyond the picture an added cover may reach, of its width and height."""


class Wrong(Exception):
    """A file of decisions that cannot be used here; one line, with its name."""


def save(path: Path, decisions: Decisions, source: dict[str, Any], made_with: dict[str, Any]) -> None:
    """The file, whole or as it was. `source` as `file_facts` has it; `made_with`: the model and the options."""
    told = {
        "format": FORMAT,
        "source": source,
        "decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": made_with,
        "decisions": [plain(one) for one in decisions],
    }
    write_whole(path, json.dumps(told) + "\n")


def load(path: Path, video: Path, frames: int, width: int, height: int) -> Decisions:
    """The decisions in a file that was saved for `video`, which has `frames` frames.

    Raises:
        Wrong: it cannot be read, or is of another video.
    """
    try:
        told = json.loads(path.read_text())
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise ValueError(f"not a file of decisions of format {FORMAT}")
        source, decisions = told.get("source"), told.get("decisions")
        if not isinstance(source, dict) or source.get("sha256") != file_facts(video)["sha256"]:
            name = source.get("name") if isinstance(source, dict) else None
            raise ValueError(f"was made for another video ({name}), not for {video}")
        if not isinstance(decisions, list) or len(decisions) > MOST_DECISIONS:
            raise ValueError(f"decisions are a list of at most {MOST_DECISIONS}")
        return tuple(parse(one, frames, width, height) for one in decisions)
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror}") from error
    except ValueError as error:  # no JSON, or not what it must be
        raise Wrong(f"{path}: {error}") from error


def plain(decision: Decision) -> dict[str, Any]:
    if isinstance(decision, Remove):
        return {
            "kind": "remove",
            "cover": decision.life,
            "first": decision.first,
            "last": decision.last,
            "score": decision.score,
            "seen": [list(one) for one in decision.seen],
        }
    keys = [[frame, *(round(value, 1) for value in box)] for frame, box in decision.keys]
    if decision.stretches is None:
        return {"kind": "add", "keys": keys}
    return {"kind": "stretch", "cover": decision.stretches, "keys": keys}


def parse(value: Any, frames: int, width: int, height: int) -> Decision:
    """One decision about a video of that many frames of that size.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "remove":
        first, last = frame_of(value.get("first"), frames), frame_of(value.get("last"), frames)
        seen, score = value.get("seen"), value.get("score")
        if first > last or not isinstance(seen, list) or not _is_number(score):
            raise ValueError("a removal has first ≤ last, a score and what was seen")
        rows = tuple(_row(row, frames, width, height) for row in seen)
        if not all(first <= row[0] <= last for row in rows):
            raise ValueError("a removal takes away what was seen from its first to its last frame")
        return Remove(_life(value.get("cover")), first, last, float(score), rows)
    if kind in ("add", "stretch"):
        keys = value.get("keys")
        if not isinstance(keys, list) or not keys:
            raise ValueError("an added cover has at least one key: [frame, x0, y0, x1, y1]")
        places = tuple(_key(key, frames, width, height) for key in keys)
        if any(a[0] >= b[0] for a, b in pairwise(places)):
            raise ValueError("the frames of an added cover's keys rise")
        return Add(places, _life(value.get("cover")) if kind == "stretch" else None)
    raise ValueError("a decision is of the kind add, stretch or remove")


def frame_of(value: Any, frames: int) -> int:
    """Raises ValueError: no frame of a video of that many."""
    if not _is_whole(value) or not 0 <= value < frames:
        raise ValueError(f"a frame is a whole number from 0 to {frames - 1}")
    return int(value)


def box_of(value: Any, width: int, height: int) -> Box:
    """Raises ValueError: no box xyxy px about a picture of that size."""
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(side) for side in value):
        raise ValueError("a box is four numbers: x0, y0, x1, y1")
    x0, y0, x1, y1 = (float(side) for side in value)
    inside = -FAR * width <= x0 < x1 <= (1 + FAR) * width and -FAR * height <= y0 < y1 <= (1 + FAR) * height
    if not inside:
        raise ValueError(f"a box has x0 < x1 and y0 < y1, in or near the picture of {width} x {height}")
    return x0, y0, x1, y1


def _key(value: Any, frames: int, width: int, height: int) -> tuple[int, Box]:
    if not isinstance(value, list) or len(value) != 5:
        raise ValueError("a key is [frame, x0, y0, x1, y1]")
    return frame_of(value[0], frames), box_of(value[1:], width, height)


def _row(value: Any, frames: int, width: int, height: int) -> tuple[int, int, int, int, int]:
    if not isinstance(value, list) or len(value) != 5 or not all(_is_whole(one) for one in value):
        raise ValueError("what was seen is [frame, x0, y0, x1, y1] in whole numbers")
    frame, x0, y0, x1, y1 = value
    if max(map(abs, value[1:])) > 10 * max(width, height):
        raise ValueError("a cover was seen too far from the picture")
    return frame_of(frame, frames), x0, y0, x1, y1


def _life(value: Any) -> int:
    if not _is_whole(value):
        raise ValueError("a cover is named by a whole number")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

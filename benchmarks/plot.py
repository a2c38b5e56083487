"""A plot of samples over time, drawn with OpenCV: one panel a quantity, one line a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.proc import QUANTITIES, Sample

WIDTH, PANEL = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 30
INK, GRID, SHADE = (40, 40, 40), (225, 225, 225), (244, 244, 244)
COLOURS = {"door": (180, 90, 20), "studio": (30, 60, 200)}  # BGR
TITLES = {"rss_mb": "resident memory, MB", "threads": "threads", "fds": "file descriptors"}


def save_plot(path: Path, samples: Sequence[Sample], warm_up_s: float) -> None:
    """A PNG of WIDTH x 3·PANEL pixels; the time that is not counted is shaded."""
    picture = np.full((PANEL * len(QUANTITIES), WIDTH, 3), 255, np.uint8)
    for number, quantity in enumerate(QUANTITIES):
        _panel(picture[number * PANEL : (number + 1) * PANEL], quantity, samples, warm_up_s)
    cv2.imwrite(str(path), picture)


def _panel(picture: np.ndarray, quantity: str, samples: Sequence[Sample], warm_up_s: float) -> None:
    end_s = max(1.0, samples[-1].at_s)
    lines = {process: [getattr(sample, f"{process}_{quantity}") for sample in samples] for process in COLOURS}
    top = _ceiling(max(max(values) for values in lines.values()))

    def x(at_s: float) -> int:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * at_s / end_s)

    def y(value: float) -> int:
        return round(PANEL - BOTTOM - (PANEL - TOP - BOTTOM) * value / top)

    cv2.rectangle(picture, (LEFT, TOP), (x(min(warm_up_s, end_s)), PANEL - BOTTOM), SHADE, -1)
    for value in np.linspace(0, top, 5):
        cv2.line(picture, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), GRID, 1)
        _text(picture, f"{value:g}", 8, y(value) + 5, INK)
    for minute in range(int(end_s // 60) + 1):
        _text(picture, f"{minute} min", x(60 * minute) - 18, PANEL - 10, INK)
    _text(picture, TITLES[quantity], LEFT, 22, INK)
    for number, (process, values) in enumerate(lines.items()):
        points = np.array([(x(sample.at_s), y(value)) for sample, value in zip(samples, values, strict=True)], np.int32)
        cv2.polylines(picture, [points], False, COLOURS[process], 2, cv2.LINE_AA)
        _text(picture, process, WIDTH - 160 + 70 * number, 22, COLOURS[process])


def _ceiling(value: float) -> float:
    """The next of 4, 8, 20, 40, 80 …, which a quarter of is round."""
    steps = [part * 10**power for power in range(6) for part in (4, 8, 20)]
    return float(next(step for step in steps if step >= value))


def _text(picture: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)

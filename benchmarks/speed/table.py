"""A run's rows as Markdown and as a plot, and two runs beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

Row = Mapping[str, Any]
COLUMNS: Final = {
    "net": "net", "side": "px", "batch": "batch", "floor_ms": "floor", "pre_ms": "pre", "infer_ms": "infer", "nms_ms": "NMS",
    "copy_ms": "copy", "total_ms": "all", "fps": "FPS", "p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99",
    "share_of_floor": "of the floor", "memory_mib": "MiB", "ready_s": "ready, s", "sm_mhz": "MHz",
    "eager_ms": "torch eager", "compiled_ms": "torch compiled",
    "v100_ms": "V100, YOLOv5's table",
}  # fmt: skip
WIDTH, LINE, LEFT, RIGHT, TOP = 900, 26, 150, 90, 60
INK, GRID = (40, 40, 40), (225, 225, 225)
BARS: Final = {"floor_ms": (200, 200, 200), "total_ms": (180, 90, 20), "v100_ms": (30, 60, 200)}
NAMES: Final = {"floor_ms": "floor", "total_ms": "measured, all stages", "v100_ms": "V100, YOLOv5's table, batch 32"}


def markdown(rows: Sequence[Row]) -> str:
    """Milliseconds a picture; a column that no row has is left out."""
    shown = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    lines = [[COLUMNS[key] for key in shown], ["---"] * len(shown)]
    lines += [[_cell(key, row.get(key)) for key in shown] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def compared(before: Sequence[Row], after: Sequence[Row]) -> str:
    """Each net and batch that both have: all stages then and now, and how many times as fast."""
    old = {_place(row): row for row in before}
    lines = ["| net | batch | before, ms | after, ms | times as fast |", "| --- | --- | --- | --- | --- |"]
    for row in after:
        if (was := old.get(_place(row))) is not None:
            pair = f"{was['total_ms']:.4g} | {row['total_ms']:.4g} | {was['total_ms'] / row['total_ms']:.2f}"
            lines.append(f"| {row['net']} | {row['batch']} | {pair} |")
    return "\n".join(lines) + "\n"


def _place(row: Row) -> tuple[Any, ...]:
    return row["net"], row["side"], row["batch"]


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "share_of_floor":
        return f"{value:.0%}"
    if key.endswith("_ms") and value < 100:
        return f"{value:.3g}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def save_plot(path: Path, rows: Sequence[Row], title: str) -> None:
    """A PNG: a line a row, milliseconds a picture on a logarithmic axis."""
    values = [row[key] for row in rows for key in BARS if row.get(key)]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    height = TOP + LINE * len(rows) * len(BARS) // 2 + 40
    picture = np.full((height, WIDTH, 3), 255, np.uint8)

    def x(value: float) -> int:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / max(1, high - low))

    for power in range(low, high + 1):
        cv2.line(picture, (x(10**power), TOP - 8), (x(10**power), height - 30), GRID, 1)
        _text(picture, f"{10.0**power:g} ms", x(10**power) - 18, height - 12)
    _text(picture, title, 10, 20)
    for number, key in enumerate(BARS):
        cv2.rectangle(picture, (10 + 250 * number, 32), (22 + 250 * number, 44), BARS[key], -1)
        _text(picture, NAMES[key], 28 + 250 * number, 43)
    for number, row in enumerate(rows):
        y = TOP + number * LINE * len(BARS) // 2
        _text(picture, f"{row['net']}, {row['side']} px, {row['batch']}", 10, y + 22)
        for place, (key, colour) in enumerate(BARS.items()):
            if row.get(key):
                top = y + place * 10
                cv2.rectangle(picture, (LEFT, top), (max(LEFT + 1, x(row[key])), top + 8), colour, -1)
                _text(picture, f"{row[key]:.3g}", x(row[key]) + 5, top + 9)
    cv2.imwrite(str(path), picture)


def _text(picture: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)

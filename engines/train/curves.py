"""A run's losses and learning rate over its steps, as a picture."""

import json
import os
from pathlib import Path

from matplotlib.figure import Figure

PANELS = ("total", "score", "box", "landmarks", "lr")


def save_curves(log: Path, out: Path) -> None:
    """Draw the lines of a run's log into the PNG `out`; without any, nothing is written."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    if not rows:
        return
    figure = Figure(figsize=(9, 11), layout="constrained")
    steps = [row["step"] for row in rows]
    for panel, name in zip(figure.subplots(len(PANELS), 1, sharex=True), PANELS, strict=True):
        panel.plot(steps, [row[name] for row in rows], linewidth=1)
        panel.set_ylabel("learning rate" if name == "lr" else f"{name} loss")
        panel.grid(alpha=0.3)
    panel.set_xlabel("step")
    aside = out.with_name(out.name + ".part")
    figure.savefig(aside, format="png", dpi=100)
    os.replace(aside, out)

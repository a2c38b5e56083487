"""A run's losses, average precision and learning rate over its steps, as a picture."""

import json
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

PANELS = ("total", "score", "box", "landmarks", "held_out_ap", "lr")
NAMES = {"lr": "learning rate", "held_out_ap": "AP, held out"}


def save_curves(log_file: Path, out: Path) -> None:
    """Draw the lines of a run's log into the PNG `out`; without any, nothing is written."""
    rows = (
        [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()] if log_file.is_file() else []
    )
    if not rows:
        return
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:  # on a lent machine with torch and little else, a run is worth more than its picture
        log.warning("no %s: matplotlib is not installed; %s has the figures", out.name, log_file.name)
        return
    figure = Figure(figsize=(9, 11), layout="constrained")
    for panel, name in zip(figure.subplots(len(PANELS), 1, sharex=True), PANELS, strict=True):
        points = [(row["step"], row[name]) for row in rows if name in row]
        panel.plot(*zip(*points, strict=True) if points else ([], []), linewidth=1)
        panel.set_ylabel(NAMES.get(name, f"{name} loss"))
        panel.grid(alpha=0.3)
    panel.set_xlabel("step")
    aside = out.with_name(out.name + ".part")
    figure.savefig(aside, format="png", dpi=100)
    os.replace(aside, out)

"""Where results go: benchmarks/results/NAME.json, with the commit and the machine they were taken on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The checkout's commit, with a + when there are changes that it does not hold; `unknown` outside a checkout."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return "unknown"
    dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout
    return head.stdout.strip() + ("+" if dirty.strip() else "")


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}


def write_result(name: str, figures: dict[str, Any], folder: Path | None = None) -> Path | None:
    """Write figures into `folder`, else beside the checkout's other results; there is none in an installed wheel, then None."""
    if folder is None:
        folder = ROOT / "benchmarks" / "results"
        if not (ROOT / "pyproject.toml").is_file():
            return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    when = time.strftime("%Y-%m-%d", time.gmtime())
    path.write_text(
        json.dumps({"name": name, "date": when, "commit": commit(), "machine": machine(), **figures}, indent=1) + "\n"
    )
    print(f"written: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    return path

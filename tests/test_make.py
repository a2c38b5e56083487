"""`make help` names every target that says what it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_help_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    targets = re.findall(r"^(\S+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    said = subprocess.run(["make", "-s", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in said.splitlines()] == targets
    assert "bench-%" in targets

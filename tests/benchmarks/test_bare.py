"""What benchmarks/gpu/TODO.md runs, runs on a machine without PyAV, aiortc, OpenVINO and the server's packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from client.cli.main import VERBS

TODO = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "TODO.md"
BARE = """
import sys

class Bare:
    LACKS = {"av", "aiortc", "aioice", "openvino", "pydantic_settings", "fastapi", "uvicorn", "cryptography", "torch", "onnx"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.LACKS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Bare())
"""


def rows() -> list[str]:
    """The commands of fancam in the table, without what follows them."""
    return [
        part.split(" && ")[0]
        for part in re.findall(r"`[^`]*?(fancam (?:bench sizes|train|export) [^`]+)`", TODO.read_text())
    ]


def bare(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BARE + code], capture_output=True, text=True, check=False)


def test_the_way_from_a_frame_to_boxes_is_imported_without_them() -> None:
    done = bare("import benchmarks.sizes, benchmarks.speed.measure, engines.train.data, engines.train.colour")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", sorted({" ".join(row.split()[1:3]) for row in rows()}))
def test_each_command_starts_and_ends_with_one_line_where_torch_is_not(words: str) -> None:
    assert words.split()[0] in VERBS
    row = next(row for row in rows() if " ".join(row.split()[1:3]) == words)
    arguments = re.sub(r"\$\w+", "/nowhere", row).split()[1:]
    done = bare(f"from client.cli.main import main; sys.argv[1:] = {arguments}; main()")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip()

"""The wheel alone, in an empty environment and from another folder: models, page and cards come along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*words: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(w) for w in words], cwd=cwd, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel and its dependencies only."""
    folder = tmp_path_factory.mktemp("env")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_models_page_and_cards_and_no_results(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    models = ("engines/models/face_nano.onnx", "engines/models/face_nano.md")
    for wanted in (*models, "engines/track/persons.npz", "engines/track/weights.md", "client/web/index.html"):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/results/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_doctor_scene_and_process_work_from_elsewhere(installed: Path, tmp_path: Path) -> None:
    fancam = installed / "fancam"
    report = json.loads(run(fancam, "doctor", "--json", cwd=tmp_path))
    assert report
    run(fancam, "scene", "--out", "scene.mp4", "--truth", "scene.jsonl", "--seconds", "3", cwd=tmp_path)
    run(fancam, "process", "scene.mp4", "--out", "out", cwd=tmp_path)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["frames"] == 90
    assert (tmp_path / "out/redacted.mp4").stat().st_size > 10_000


def test_serve_shows_its_page_from_elsewhere(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    server = subprocess.Popen([str(installed / "fancam"), "serve", "--port", str(port)], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert "Fancam" in page
    finally:
        server.terminate()
        assert server.wait(15) == 0

"""One server, one scene, and what the clients that nobody here wrote need from the system."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.browser import Server, serving
from engines.scene.write import write_scene
from tests.clients.watching import Scene

TOKEN = "a-secret"


def need(there: bool, what: str) -> None:
    """Skip the test, or fail it where all clients have to be there."""
    if not there:
        if os.environ.get("TESTS_NEED_CLIENTS") == "1":
            pytest.fail(f"{what}, and TESTS_NEED_CLIENTS=1 asks for it")
        pytest.skip(what)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """3 s of the demo scene, 640x480, a key frame each second, with the frame's number in the picture."""
    folder = tmp_path_factory.mktemp("clients")
    video, truth = folder / "scene.mp4", folder / "truth.jsonl"
    write_scene(video, truth, seconds=3, marker=True)
    return Scene(video, [json.loads(line)["faces"] for line in truth.read_text().splitlines()])


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """`fancam serve` that asks for a token; each test has a stream of its own."""
    with serving("--token", TOKEN) as running:
        yield running

"""One server, one scene, and what the clients that nobody here wrote need from the system."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.browser import PATIENT, Server, serving, stop
from engines.scene.write import write_scene
from tests.clients.watching import Scene, seen, write_again
from tests.networks.serving import started

TOKEN = "a-secret"


def need(there: bool, what: str) -> None:
    """Skip the test, or fail it where all clients have to be there."""
    if not there:
        if os.environ.get("TESTS_NEED_CLIENTS") == "1":
            pytest.fail(f"{what}, and TESTS_NEED_CLIENTS=1 asks for it")
        pytest.skip(what)


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """2 s of the demo scene, 640x480, a key frame each second, with the frame's number in the picture; and a minute of that."""
    folder = tmp_path_factory.mktemp("clients")
    video, truth = folder / "scene.mp4", folder / "truth.jsonl"
    write_scene(video, truth, seconds=2, marker=True)
    faces = [json.loads(line)["faces"] for line in truth.read_text().splitlines()]
    return Scene(video, write_again(video, folder / "again.mp4", 30), faces)


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """`fancam serve` that asks for a token; each test has a stream of its own."""
    with serving("--token", TOKEN, *PATIENT) as running:
        yield running


@contextmanager
def running(*words: str, cwd: Path | None = None) -> Iterator[None]:
    """While inside, a client runs, and has to go on running."""
    process = subprocess.Popen(words, cwd=cwd)
    try:
        yield
        assert process.poll() is None, "the client ended"
    finally:
        stop(process)  # it deletes its session: a stream that is left takes room


@contextmanager
def published(server: Server, scene: Scene, name: str) -> Iterator[None]:
    """While inside, our own client publishes the scene, and its redacted feed shows it."""
    with started("publish", str(scene.video), f"{server.url}/whip/{name}", "--loop", "--token", TOKEN):
        seen(f"{server.url}/whep/{name}/redacted", TOKEN, 5)
        yield

"""`fancam demo`: the server, and the built-in scene published to it through its own WHIP endpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

STREAM: Final = "demo"
READY_S: Final = 60
STOP_S: Final = 6


def command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on, on this machine alone.")] = 8080,
) -> None:
    from client.cli.main import Failure

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is started with SIGINT ignored
        signal.signal(number, _interrupt)
    try:
        scene = _scene()
        address = f"http://127.0.0.1:{port}"
        with _running(scene.parent, "serve", "--port", str(port)) as server:
            _wait_until_ready(server, address)
            with _running(scene.parent, "publish", str(scene), f"{address}/whip/{STREAM}", "--loop") as publisher:
                print(_welcome(address), flush=True)
                while server.poll() is None and publisher.poll() is None:
                    time.sleep(0.2)
        raise Failure("the server ended" if server.returncode else "the publisher ended; its lines above say why")
    except KeyboardInterrupt:
        print("\nstopped")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _welcome(address: str) -> str:
    return f"""
  The page              {address}
  Redacted feed (WHEP)  {address}/whep/{STREAM}/redacted
  Publish here (WHIP)   {address}/whip/NAME

  On the page, "Use my camera" shows you instead of the scene. Ctrl-C stops everything.
"""


def _scene() -> Path:
    """The demo scene as a file, rendered once per version."""
    import importlib.metadata

    from client.cli.progress import progress
    from engines.disk import cache_folder
    from engines.scene.demo import demo_scene
    from engines.scene.write import write_scene

    cache = cache_folder()
    path = cache / f"scene-{importlib.metadata.version('fancam')}.mp4"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        print("Drawing the scene, once …", flush=True)
        with progress("drawing the scene", "frames") as update:
            write_scene(path, scene=demo_scene(), progress=update)
    return path


@contextlib.contextmanager
def _running(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A verb of ours as a process of its own, which ends with this one; what it has to complain of is seen, no more.

    It runs in `folder` and without FANCAM_* variables: how the user's own server is set up is no matter of the demo's.
    """
    words = (sys.executable, "-m", "client.cli.main", *words)
    variables = {name: value for name, value in os.environ.items() if not name.upper().startswith("FANCAM_")}
    process = subprocess.Popen(words, cwd=folder, env=variables, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    from client.cli.main import Failure

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failure("the server did not start; its line above says why")
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise Failure(f"the server was not ready within {READY_S} s")

"""`fancam demo` beside a server's configuration."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.client.clips import write_clip
from tests.ports import free_port
from tests.server.door.running import wait_until


def test_it_comes_up_wherever_it_is_started(tmp_path: Path) -> None:
    """The folder's fancam.toml and FANCAM_* are the user's server's, which the demo is not."""
    cache = tmp_path / "cache" / "fancam"
    cache.mkdir(parents=True)
    write_clip(cache / f"scene-{importlib.metadata.version('fancam')}.mp4", frames=60)
    (tmp_path / "fancam.toml").write_text('host = "192.0.2.1"\ntoken = ["secret"]\nnonsense = 1\n')
    port = free_port()
    demo = subprocess.Popen(
        [sys.executable, "-P", "-m", "client.cli.main", "demo", "--port", str(port)], cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(cache.parent), "FANCAM_MAX_STREAMS": "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    def states() -> list[str]:
        assert demo.poll() is None, demo.communicate()[0]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/streams", timeout=5) as answer:
                return [stream["state"] for stream in json.load(answer)["streams"]]
        except OSError:
            return []

    try:
        wait_until(lambda: states() == ["live"], "the demo's stream", 60)
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=30)
        assert "stopped" in said
    finally:
        demo.kill()
        demo.communicate()

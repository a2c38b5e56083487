"""A server, a publisher and a headless Chromium as processes of their own: what the measurements and tests in a browser share."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

PROBE_JS = Path(__file__).with_name("probe.js")
"""Reads the marker of engines.scene.marker in a page: `probe`, a global object."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
READY_S, STOP_S = 150, 10
PATIENT = ("--budget-ms", "2000")
"""For questions that are not about time, on machines that may be busy."""


def chromium() -> str | None:
    """Where Chromium or Chrome is, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def flags(camera: Path | None = None) -> list[str]:
    """What Chromium is started with; `camera` (Y4M) stands in for the webcam and repeats."""
    return [*FLAGS, *([f"--use-file-for-fake-video-capture={camera}"] if camera else [])]


def write_camera(video: Path, y4m: Path) -> None:
    """A video file (I420) as Y4M, which Chromium takes for a camera."""
    with av.open(str(video)) as source, open(y4m, "wb") as out:
        stream = source.streams.video[0]
        rate = stream.average_rate
        assert rate is not None
        out.write(f"YUV4MPEG2 W{stream.width} H{stream.height} F{rate.numerator}:{rate.denominator} Ip C420\n".encode())
        for frame in source.decode(stream):
            out.write(b"FRAME\n")
            out.write(frame.to_ndarray(format="yuv420p").tobytes())


class Server:
    """`fancam serve` on a port of loopback, which it keeps when it is started again."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when a warm studio serves."""
        self._process = start("serve", "--port", str(self.port), *self._flags)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                self.get("/readyz")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not get ready") from None
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)


@contextmanager
def serving(*flags: str) -> Iterator[Server]:
    server = Server(*flags)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def publishing(video: Path, url: str) -> Iterator[None]:
    """`fancam publish VIDEO URL --loop` meanwhile."""
    process = start("publish", str(video), url, "--loop")
    try:
        yield
    finally:
        stop(process)


def start(*words: str) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for the one who started it, which then stops it in order.
    return subprocess.Popen(
        [sys.executable, "-m", "client.cli.main", *words], stdout=subprocess.DEVNULL, start_new_session=True
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

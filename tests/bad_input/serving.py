"""A real server in a folder of its own, and a good stream through it, whose frames are to go on whatever others send."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.watch import Watcher
from tests.server.door.running import Answer

FANCAM = (sys.executable, "-P", "-m", "client.cli.main")
START_S, END_S = 60, 30
ANSWER_S = 10
GOOD = "good"
AUDIT = Path(__file__).with_name("audit")
"""Its sitecustomize writes down what the server's processes write to, where FANCAM_TEST_AUDIT_FILE says."""


@dataclass
class Server:
    """`fancam serve` in `folder`; `frames_s` holds when each frame of the good stream came to its viewer."""

    folder: Path
    process: subprocess.Popen[str]
    port: int
    frames_s: list[float] = field(default_factory=list)
    _sources: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def source(self) -> str:
        """Another loopback address each time: offers are limited by address."""
        number = next(self._sources)
        return f"127.1.{number // 250}.{number % 250 + 1}"

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, source: str | None = None, **headers: str
    ) -> Answer:
        """One request from an address of its own; `_` in header names stands for `-`."""
        came_from = (source or self.source(), 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S, source_address=came_from)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        return self.ask("GET", path).json()

    def streams(self) -> dict[str, dict[str, Any]]:
        return {stream["name"]: stream for stream in self.get("/streams")["streams"]}

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{|\s)", line))

    def wait_frames(self, count: int, deadline_s: float = 10.0) -> None:
        """Until so many more frames of the good stream have come."""
        wanted, end_s = len(self.frames_s) + count, time.monotonic() + deadline_s
        while len(self.frames_s) < wanted:
            assert time.monotonic() < end_s, f"the good stream stands: {self.log[-2000:]}"
            time.sleep(0.02)


def start(folder: Path, *flags: str) -> Server:
    """`fancam serve` with its home, its temporary folder and its working directory in `folder`."""
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir()
    environment = {
        **os.environ, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(AUDIT),
        "AUDIT_FILE": str(folder / "written"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [*FANCAM, "serve", "--port", "0", *flags],
            stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, env=environment, cwd=folder / "work",
        )  # fmt: skip
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], START_S)[0], "fancam serve printed nothing"
    found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
    assert found, (folder / "log").read_text()
    return Server(folder, process, int(found[1]))


def publish(video: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*FANCAM, "publish", str(video), url, "--loop"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


class Looking:
    """A viewer of the good stream's redacted feed, in a thread, until `stop`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    async def _run(self) -> None:
        url = f"{self._server.url}/whep/{GOOD}/redacted"
        frames_s = self._server.frames_s
        async with Watcher(url, on_unit=lambda unit: frames_s.append(time.monotonic())) as watcher:
            while not self._over.is_set() and not watcher.over:  # noqa: ASYNC110 (another thread's event)
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(END_S)


def written(folder: Path) -> set[str]:
    """The files that the server's processes opened to write to, made, moved or removed, by Python's account."""
    file = folder / "written"
    return {json.loads(line) for line in file.read_text().splitlines()} if file.exists() else set()

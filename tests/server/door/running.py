"""A real door on a free port of loopback, with the fake studio behind it, and plain HTTP to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.models.networks import Networks
from server.door.door import Door
from server.door.serve import Server, listen
from server.settings import Settings

FAKE_STUDIO = (sys.executable, str(Path(__file__).parents[1] / "fake_studio.py"))
DEADLINE_S = 15


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A door that serves; `door` belongs to another thread: look, do not touch."""

    door: Door
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request; `_` in header names stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


def wait_until(true: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until `true()` is, and return what it returned."""
    end_s = time.monotonic() + deadline_s
    while not (value := true()):
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)
    return value


@contextmanager
def running_door(
    command: tuple[str, ...] = FAKE_STUDIO, *, warm: bool = True, networks: Networks | None = None, **settings: Any
) -> Iterator[Running]:
    """Serve in a thread; `warm` waits until the studio is ready."""
    door = Door(Settings(port=0, **settings), command, networks)
    with listen("127.0.0.1", 0) as listener:
        server = Server(door, listener, announce=lambda text: None)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), "the server's start")
            running = Running(door, listener.getsockname()[1], door._tasks[0].get_loop())
            if warm:
                wait_until(lambda: running.ask("GET", "/readyz").status == 200, "a warm studio", 60)
            yield running
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "the door did not end"

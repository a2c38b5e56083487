"""`fancam serve` as a process: what it prints, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.server.door.running import wait_until

SERVE = (sys.executable, "-P", "-m", "client.cli.main", "serve")
LOADED = 3  # how much slower a machine may be that does other things as well


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, from any of its threads."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended since
            found += map(int, file.read_text().split())
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the address that it prints."""
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0], "nothing printed"
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, "no address printed"
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_5_s_and_leaves_no_process(number: signal.Signals) -> None:
    with serving() as (process, url):
        studios = wait_until(lambda: children(process.pid), "a studio")
        with urllib.request.urlopen(f"{url}/events", timeout=10):  # a response without an end
            began_s = time.monotonic()
            os.killpg(process.pid, number)  # as a terminal does it
            assert process.wait(timeout=30) == 0
            assert time.monotonic() - began_s < 5 * LOADED
        wait_until(lambda: all(map(is_gone, studios)), "the studio's end")


def test_a_studio_does_not_outlive_a_door_that_is_killed() -> None:
    with serving() as (process, _):
        studios = wait_until(lambda: children(process.pid), "a studio")
        process.kill()
        wait_until(lambda: all(map(is_gone, studios)), "the studio's end")


def test_it_ends_with_1_when_a_part_of_it_has_failed_so_that_a_service_manager_starts_it_again() -> None:
    code = "from client.cli.main import main; from server.door.hub import Hub; Hub.tick = lambda hub: 1 / 0; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code, *SERVE[-1:], "--port", "0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("fancam serve: ")


@pytest.mark.parametrize(
    ("flags", "status", "says"),
    [
        (["--host", "0.0.0.0"], 2, "--token"),
        (["--host", "no-such-host.invalid"], 2, "--token"),
        (["--port", "99999"], 2, "port"),
        (["--token", "publsh:x"], 2, "scope"),
        (["--tokens-file", "/no/such/file"], 2, "/no/such/file"),
        (["--host", "192.0.2.1", "--token", "x"], 2, "192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_line(flags: list[str], status: int, says: str) -> None:
    done = subprocess.run([*SERVE, *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert done.stderr.startswith("fancam serve: ")


def test_a_port_in_use_is_one_line() -> None:
    import socket

    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        done = subprocess.run([*SERVE, "--port", str(port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(port) in done.stderr

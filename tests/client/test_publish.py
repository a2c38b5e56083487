"""`fancam publish`: what a source becomes, and what the command does when something is missing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from client.publish import publish
from client.session import Refused
from client.watch import Watcher
from server.door.broadcast import AccessUnit
from server.pull.source import Source
from tests.client.clips import FPS, run, start, write_clip
from tests.ports import free_port
from tests.server.door.rtc import until
from tests.server.door.running import Running, running_door, wait_until
from tests.server.pull.reading import sent_by, slices

TICKS = 90_000 // FPS


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    with running_door() as running:
        yield running


def names(door: Running) -> list[str]:
    return [stream["name"] for stream in door.ask("GET", "/streams").json()["streams"]]


def test_a_missing_file_ends_the_command_with_one_line(door: Running) -> None:
    done = run("publish", "missing.mp4", f"{door.url}/whip/missing")
    assert done.returncode == 1
    assert done.stderr == "fancam publish: missing.mp4: no such file\n"


def test_what_is_no_address_is_a_usage_error() -> None:
    done = run("publish", "a.mp4", "somewhere")
    assert done.returncode == 2
    assert "http://" in done.stderr


def test_the_door_gets_the_very_units_of_the_file(door: Running, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=45)
    sent, _ = sent_by(Source(str(path), False), 5)
    units: list[AccessUnit] = []

    async def scenario() -> None:
        publishing = asyncio.ensure_future(publish(str(path), f"{door.url}/whip/file", loop=True))
        await until(lambda: "file" in names(door), "the stream")
        async with Watcher(f"{door.url}/whep/file/raw", on_unit=units.append):
            await until(lambda: len(units) > 50, "units")
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing

    asyncio.run(scenario())
    assert units[0].key
    first = slices(sent[0][0])
    assert first in [slices(unit.data) for unit in units]
    assert all(abs(b.rtp_time - a.rtp_time - TICKS) <= 2 for a, b in pairwise(units))


def test_a_file_that_ends_ends_its_session(door: Running, tmp_path: Path) -> None:
    said: list[str] = []
    path = str(write_clip(tmp_path / "clip.avi", "mpeg4", frames=15))
    asyncio.run(publish(path, f"{door.url}/whip/short", say=said.append))
    assert said == [f"publishing {path} to {door.url}/whip/short"]
    asyncio.run(publish(path, f"{door.url}/whip/short", say=said.append))
    assert len(said) == 2, "the name is not free: the first session is still there"


def test_a_wrong_token_is_final(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "clip.mp4", frames=5))
    with running_door(token=("right-" * 4,)) as door:
        url = f"{door.url}/whip/closed"
        with pytest.raises(Refused) as caught:
            asyncio.run(asyncio.wait_for(publish(path, url, token="wrong"), 20))
        assert caught.value.status == 401
        done = run("publish", path, url)
        assert done.returncode == 1
        assert "401" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        asyncio.run(publish(path, url, token="right-" * 4))


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    url = f"http://127.0.0.1:{free_port()}/whip/cam"
    path = str(write_clip(tmp_path / "clip.mp4", frames=5))

    async def scenario() -> None:
        publishing = asyncio.ensure_future(publish(path, url, say=said.append))
        await until(lambda: len(said) >= 3 or publishing.done(), "three tries", 30)
        assert not publishing.done()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)

    began_s = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - began_s > 1.4
    assert [line.rsplit("; ", 1)[1] for line in said[:3]] == ["again in 0.5 s", "again in 1 s", "again in 2 s"]
    assert all("does not answer" in line for line in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_deletes_the_session_and_is_no_failure(door: Running, tmp_path: Path, number: signal.Signals) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    name = f"signal-{number}"
    process = start("publish", str(path), f"{door.url}/whip/{name}", "--loop")
    try:
        wait_until(lambda: name in names(door), "the stream", 60)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("publishing ")
        process.send_signal(number)
        _, err = process.communicate(timeout=15)
    finally:
        end(process)
    assert process.returncode == 0, err
    assert not err
    said: list[str] = []
    asyncio.run(publish(str(path), f"{door.url}/whip/{name}", say=said.append))
    assert len(said) == 1, "the session is still there"


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()

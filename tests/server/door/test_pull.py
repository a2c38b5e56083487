"""Inputs of the server's own: from `--input` to the viewer, over HTTP with its refusals, and when a source dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from server.door import inputs, pull
from server.door.broadcast import AccessUnit
from server.door.door import Door
from server.settings import Settings, SettingsError
from tests.client.clips import write_clip
from tests.ports import free_port
from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Answer, Running, running_door, wait_until
from tests.server.door.test_serve import children, is_gone, serving
from tests.server.pull.servers import body, redirect, rtsp_server, web

SECRET = "hunter2"
WHITE, BLACK = 200, 40
"""Brighter is the fake studio's picture, darker its slate."""


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    with running_door(allow_private=True) as running:
        yield running


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", sound=True)


def put(door: Running, name: str, source: str, **headers: str) -> Answer:
    return door.ask(
        "PUT", f"/streams/{name}/input", json.dumps({"source": source}), Content_Type="application/json", **headers
    )


def stream(door: Running, name: str) -> Any:
    streams = door.ask("GET", "/streams").json()["streams"]
    return next((one for one in streams if one["name"] == name), None)


def endless(path: Path) -> Callable[[Any], None]:
    """An answer without length that sends a transport stream and then waits, as a camera would that stands still."""
    data = path.read_bytes()

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)
        handler.connection.settimeout(20)
        handler.rfile.read(1)

    return answer


def test_a_file_is_a_stream_like_any_other(start_door: Callable[..., Running], clip: Path) -> None:
    door = start_door(input=(f"lobby={clip}",), loop=True, keep_audio=True)

    async def run() -> None:
        await until(lambda: stream(door, "lobby")["state"] == "live", "the stream")
        raw, covered = Viewer(door, "/whep/lobby/raw"), Viewer(door, "/whep/lobby/redacted")
        for viewer in (raw, covered):
            viewer.pc.addTransceiver("audio", "recvonly")
            assert (await viewer.offer()).status == 201
        await until(lambda: len(raw.lumas) > 45 and len(covered.lumas) > 45, "more pictures than the file has")
        await until(lambda: raw.sounds > 10, "sound")
        assert max(raw.lumas) - min(raw.lumas) > 30, "the file's own pictures"
        assert covered.lumas[-1] > WHITE
        await asyncio.gather(raw.close(), covered.close())

    asyncio.run(run())
    told = stream(door, "lobby")
    assert told["input"] == {"kind": "file", "state": "running", "restarts": 0}
    assert told["codec"] == "h264"


def test_a_file_that_ends_ends_its_stream(start_door: Callable[..., Running], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=75)
    door = start_door(input=(f"lobby={clip}",), warm=False)
    wait_until(lambda: stream(door, "lobby"), "the stream")
    wait_until(lambda: not stream(door, "lobby"), "its end")
    assert door.ask("GET", "/healthz").json()["inputs"] == {"running": 0, "not_running": 0, "restarts": 0}


def test_a_camera_that_dies_shows_the_slate_and_comes_back(start_door: Callable[..., Running]) -> None:
    port = free_port()
    door = start_door(input=(f"stage=rtsp://127.0.0.1:{port}/h264",))

    async def run() -> None:
        viewer = Viewer(door, "/whep/stage/redacted")
        with rtsp_server(port):
            await until(lambda: stream(door, "stage")["state"] == "live", "the camera", 30)
            assert (await viewer.offer()).status == 201
            await until(lambda: viewer.lumas and viewer.lumas[-1] > WHITE, "pictures")
        await until(lambda: viewer.lumas[-1] < BLACK, "the slate")
        await until(lambda: stream(door, "stage")["state"] == "stalled", "the state")
        assert stream(door, "stage")["input"]["state"] == "lost"
        with rtsp_server(port):
            await until(lambda: viewer.lumas[-1] > WHITE, "pictures again", 45)
            assert viewer.pc.connectionState == "connected"
            restarts = stream(door, "stage")["input"]["restarts"]
            assert restarts >= 1
            counted = door.ask("GET", "/metrics").body.decode()
            assert f'fancam_input_restarts_total{{stream="stage"}} {float(restarts)}' in counted
            assert door.ask("GET", "/healthz").json()["inputs"] == {
                "running": 1,
                "not_running": 0,
                "restarts": restarts,
            }
        await viewer.close()

    asyncio.run(run())


def test_a_reader_that_is_killed_is_started_again(start_door: Callable[..., Running], clip: Path) -> None:
    door = start_door(input=(f"lobby={clip}",), loop=True, warm=False)
    wait_until(lambda: stream(door, "lobby")["input"]["state"] == "running", "the input")
    before = readers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(readers()) - set(before), "another reader")
    wait_until(lambda: stream(door, "lobby")["input"] == {"kind": "file", "state": "running", "restarts": 1}, "it runs")


def readers() -> list[int]:
    """The processes that read inputs."""
    found = []
    for pid in children(os.getpid()):
        with contextlib.suppress(OSError):  # it has ended since
            if b"server.pull" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_an_input_over_http_is_watched_and_ended(door: Running, tmp_path: Path) -> None:
    with web(endless(write_clip(tmp_path / "a.ts", frames=60))) as server:
        url = f"http://admin:{SECRET}@127.0.0.1:{server.server_port}/{SECRET}.ts?key={SECRET}"
        answer = put(door, "added", url)
        assert (answer.status, answer.json()) == (201, {"name": "added"})
        told = stream(door, "added")
        assert told["input"]["kind"] == "http"
        assert SECRET not in json.dumps(told)
        offer = asyncio.run(_offer(door, "added"))
        assert (offer.status, "input" in offer.json()["detail"]) == (409, True)
        assert put(door, "added", url).status == 200
        assert door.ask("DELETE", "/streams/added/input").status == 204
        assert stream(door, "added") is None
        assert door.ask("DELETE", "/streams/added/input").status == 404
    wait_until(lambda: not readers(), "the readers' end")


async def _offer(door: Running, name: str) -> Answer:
    publisher = Publisher(door, f"/whip/{name}")
    try:
        return await publisher.offer()
    finally:
        await publisher.close()


def test_what_is_refused_is_said(door: Running, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        web(redirect("http://127.0.0.2/a")) as elsewhere,
        web(body(b"#EXTM3U\n")) as playlist,
        web(body(b"x" * 99)) as text,
        web(body(clip.read_bytes())) as index_last,
    ):
        for source, status, said in (
            ("file:///etc/passwd", 422, "rtsp"),
            ("/etc/passwd", 422, "rtsp"),
            ("0", 422, "rtsp"),
            (f"{elsewhere.url}/a", 422, "redirects"),
            (f"{playlist.url}/a", 422, "playlist"),
            (f"{text.url}/a", 502, "cannot be read"),
            (f"{index_last.url}/a.mp4", 502, "broke off"),
            (f"rtsp://admin:{SECRET}@127.0.0.1:1/{SECRET}", 502, "refused"),
        ):
            answer = put(door, "bad", source)
            assert answer.status == status, source
            assert said in answer.json()["detail"]
            assert SECRET not in answer.body.decode()
            assert stream(door, "bad") is None
    monkeypatch.setattr(inputs, "READY_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = put(door, "bad", f"rtsp://127.0.0.1:{silent.getsockname()[1]}/a")
    assert (answer.status, stream(door, "bad")) == (504, None)
    assert door.ask("PUT", "/streams/bad/input", "[]", Content_Type="application/json").status == 422
    assert (
        door.ask("PUT", "/streams/bad/input", '{"source": "a", "loop": true}', Content_Type="application/json").status
        == 422
    )
    assert door.ask("PUT", "/streams/bad/input", "{}", Content_Type="text/plain").status == 415
    wait_until(lambda: not readers(), "the readers' end")


def test_private_addresses_are_for_the_operator(start_door: Callable[..., Running], tmp_path: Path) -> None:
    with web(endless(write_clip(tmp_path / "a.ts"))) as server:
        door = start_door(input=(f"own={server.url}/a.ts",), warm=False)
        wait_until(lambda: stream(door, "own")["input"]["state"] == "running", "the operator's input")
        before = server.connections
        answer = put(door, "added", f"{server.url}/a.ts")
        assert (answer.status, server.connections) == (422, before)
        assert "--allow-private" in answer.json()["detail"]
        assert put(door, "added", f"http://localhost:{server.server_port}/a.ts").status == 422
        assert server.connections == before


def test_inputs_take_the_places_of_publishers(start_door: Callable[..., Running], clip: Path, tmp_path: Path) -> None:
    door = start_door(input=(f"one={clip}",), loop=True, max_streams=1, allow_private=True, warm=False)
    assert asyncio.run(_offer(door, "two")).status == 503
    with web(endless(write_clip(tmp_path / "a.ts"))) as server:
        assert put(door, "two", f"{server.url}/a.ts").status == 503
        assert door.ask("DELETE", "/streams/one/input").status == 204
        assert put(door, "two", f"{server.url}/a.ts").status == 201
        assert put(door, "two", f"{server.url}/a.ts").status == 200, "the one before has a place that this one takes"
        assert put(door, "three", f"{server.url}/a.ts").status == 503
        assert door.ask("DELETE", "/streams/two/input").status == 204
        assert put(door, "three", f"{server.url}/a.ts").status == 201
    assert asyncio.run(_offer(door, "four")).status == 503


def test_credentials_are_not_logged(start_door: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    door = start_door(input=(f"cam=rtsp://admin:{SECRET}@127.0.0.1:{free_port()}/{SECRET}",), warm=False)
    wait_until(lambda: "again in 2 s" in caplog.text, "two attempts")
    assert "input cam (rtsp://127.0.0.1:" in caplog.text
    assert SECRET not in caplog.text
    told = stream(door, "cam")
    assert told["state"] == "stalled"
    assert told["input"]["state"] == "lost"


def test_attempts_come_ever_later(
    start_door: Callable[..., Running], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(pull, "LONGEST_WAIT_S", 0.04)
    monkeypatch.setattr(pull, "READER_COMMAND", ("true",))
    start_door(input=("cam=rtsp://127.0.0.1:1/a",), warm=False)
    waits = wait_until(
        lambda: len(found := re.findall(r"again in (\S+) s", caplog.text)) > 4 and found, "five attempts"
    )
    assert waits[:5] == ["0.01", "0.02", "0.04", "0.04", "0.04"]


def test_times_go_on_where_the_reader_before_had_got_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(pull, "READER_COMMAND", (sys.executable, str(Path(__file__).with_name("fake_reader.py"))))

    class Heard:
        def __init__(self) -> None:
            self.units: list[int] = []
            self.sounds: list[int] = []

        def on_ready(self) -> None:
            pass

        def on_unit(self, unit: AccessUnit) -> None:
            self.units.append(unit.rtp_time)

        def on_audio(self, payload: bytes, rtp_time: int) -> None:
            self.sounds.append(rtp_time)

        def on_lost(self, lost: pull.Lost) -> bool:
            assert str(lost) == "its reader has died"
            return True

    async def run() -> None:
        heard = Heard()
        reading = pull.Pull("cam", {"source": "0"}, heard)
        reading.start()
        await until(lambda: len(heard.units) >= 4 and len(heard.sounds) >= 2, "two readers")
        await reading.close()
        assert heard.units[:4] == [90_000, 180_000, 180_001, 270_001]
        assert heard.sounds[:2] == [48_000, 96_000]
        assert reading.restarts >= 1

    asyncio.run(run())


def test_a_reader_that_has_died_is_waited_for_though_no_thread_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[subprocess.Popen[bytes]]()

    def start(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **more))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(pull, "READER_COMMAND", ("true",))
    monkeypatch.setattr(pull.subprocess, "Popen", start)

    async def run() -> None:
        only, free = ThreadPoolExecutor(1), threading.Event()
        asyncio.get_running_loop().set_default_executor(only)
        only.submit(free.wait)
        reading = pull.Pull("cam", {"source": "0"}, Mock(spec=pull.Listener))
        reading.start()
        await until(only._work_queue.qsize, "a reader's end")
        closing = asyncio.ensure_future(reading.close())
        await asyncio.sleep(0.1)
        free.set()
        await closing

    asyncio.run(run())
    assert started
    assert None not in [process.returncode for process in started]


def test_a_reader_that_hangs_is_ended(
    start_door: Callable[..., Running], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SILENCE_S", 0.3)
    monkeypatch.setattr(pull, "LOOK_S", 0.1)
    monkeypatch.setattr(pull, "READER_COMMAND", (sys.executable, "-c", "import time; time.sleep(99)", "server.pull"))
    start_door(input=("cam=rtsp://127.0.0.1:1/a",), warm=False)
    first = wait_until(readers, "the reader")
    wait_until(lambda: "nothing came for 0.3 s" in caplog.text, "the complaint")
    wait_until(lambda: not set(first) & set(readers()), "its end")


def test_no_reader_outlives_the_server(clip: Path) -> None:
    with serving("--input", f"lobby={clip}", "--loop") as (process, url):
        wait_until(lambda: b'"running":1' in urllib.request.urlopen(f"{url}/healthz", timeout=10).read(), "the input")
        started = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        wait_until(lambda: all(map(is_gone, started)), "the readers' end")
    with serving("--input", f"lobby={clip}", "--loop") as (process, url):
        wait_until(lambda: b'"running":1' in urllib.request.urlopen(f"{url}/healthz", timeout=10).read(), "the input")
        started = children(process.pid)
        process.kill()
        wait_until(lambda: all(map(is_gone, started)), "the readers' end when the server is killed")


@pytest.mark.parametrize("source", ["missing.mp4", "file:///etc/passwd", "ftp://127.0.0.1/a", "rtsp://"])
def test_an_input_that_cannot_be_is_said_at_the_start(source: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Door(Settings(input=(f"lobby={source}",)))
    assert "lobby" in str(caught.value)
    assert "\n" not in str(caught.value)

"""Servers that sources are read from: other people's for RTSP and RTMP, Python's for HTTP. All on loopback."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import select
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.ports import free_port
from tests.server.door.running import DEADLINE_S

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
GSTREAMER = "gi.require_version('GstRtspServer', '1.0')"


def need(there: bool, what: str) -> None:
    """Skip the test, or fail it where all servers have to be there."""
    if not there:
        if os.environ.get("TESTS_NEED_SERVERS") == "1":
            pytest.fail(f"{what}, and TESTS_NEED_SERVERS=1 asks for it")
        pytest.skip(what)


@functools.cache
def _has_gstreamer() -> bool:
    done = subprocess.run([SYSTEM_PYTHON, "-c", f"import gi; {GSTREAMER}"], capture_output=True, check=False)
    return done.returncode == 0


@contextlib.contextmanager
def _running(command: list[str], ready: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        deadline_s = time.monotonic() + DEADLINE_S
        while select.select([process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
            line = process.stdout.readline()
            assert line, f"{command[0]} ended"
            if ready in line:
                break
        else:
            raise AssertionError(f"{command[0]} was not ready within {DEADLINE_S} s")
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def rtsp_server(port: int | None = None) -> Iterator[str]:
    """GStreamer's; yields its address without a path."""
    need(_has_gstreamer(), "GStreamer's RTSP server is not installed (apt: gir1.2-gst-rtsp-server-1.0)")
    port = port or free_port()
    with _running([SYSTEM_PYTHON, "rtsp_server.py", str(port)], "ready"):
        yield f"rtsp://127.0.0.1:{port}"


@contextlib.contextmanager
def rtmp_server() -> Iterator[str]:
    """node-media-server; yields its address without a path."""
    there = shutil.which("node") is not None and (HERE / "node_modules/node-media-server").is_dir()
    need(there, "node-media-server is not installed (npm install --prefix tests/server/pull)")
    port = free_port()
    with _running(["node", "rtmp_server.js", str(port)], "listening on port"):
        yield f"rtmp://127.0.0.1:{port}"


@contextlib.contextmanager
def published(path: Path, url: str) -> Iterator[None]:
    """Publish a file by RTMP over and over, in real time, from a thread, by FFmpeg."""
    stop, started = threading.Event(), threading.Event()

    def publish() -> None:
        with av.open(url, "w", format="flv") as target:
            streams: dict[int, Any] = {}
            begin_s, offset_s = time.monotonic(), 0.0
            while not stop.is_set():
                with av.open(str(path)) as source:
                    streams = streams or {one.index: target.add_stream_from_template(one) for one in source.streams}
                    end_s, first_s = offset_s, None
                    for packet in source.demux():
                        if packet.dts is None or stop.is_set():
                            continue
                        first_s = float(packet.dts * packet.time_base) if first_s is None else first_s
                        at_s = float(packet.dts * packet.time_base) - first_s + offset_s
                        end_s = max(end_s, at_s + 1 / 30)
                        stop.wait(max(0.0, begin_s + at_s - time.monotonic()))
                        moved = round((offset_s - first_s) / packet.time_base)
                        packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                        packet.stream = streams[packet.stream.index]
                        target.mux(packet)
                        started.set()
                    offset_s = end_s

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        assert started.wait(DEADLINE_S), "nothing is published"
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)


class Web(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers every GET by `answer(handler)`; keeps the paths it was asked for, and counts connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[str] = []
        self.connections = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                with contextlib.suppress(ConnectionError):
                    answer(self)

            def log_message(self, *args: object) -> None:
                pass

        super().__init__((host, 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"


@contextlib.contextmanager
def web(answer: Callable[[http.server.BaseHTTPRequestHandler], None], host: str = "127.0.0.1") -> Iterator[Web]:
    server = Web(host, answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def body(data: bytes, *, with_length: bool = True) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer that sends `data` and ends."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if with_length:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def redirect(url: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer that sends to another place."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer

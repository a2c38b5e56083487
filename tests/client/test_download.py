"""Downloads with a known hash, from a real server: resumed, checked, and removed where they are wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from client.download import DownloadError, download

DATA = bytes(range(256)) * 4096
HASH = sha256(DATA).hexdigest()
MOST = 2 << 20


class Server(ThreadingHTTPServer):
    """Gives DATA at /file, half of it at /breaks, sends elsewhere at /away and /home; remembers the ranges asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.knows_ranges = True

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path in ("/away", "/home"):
            self.send_response(302)
            self.send_header("Location", "http://models.example/file" if self.path == "/away" else "/file")
            self.end_headers()
            return
        if self.path == "/none":
            self.send_error(404)
            return
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.knows_ranges else 0
        if start >= len(DATA):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start : len(DATA) // 2 if self.path == "/breaks" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("path", ["/file", "/home", "/endless"])
def test_the_whole_file_comes_and_progress_is_told(path: str, server: Server, target: Path) -> None:
    told = []
    download(server.address(path), target, HASH, MOST, lambda done, of: told.append((done, of)))
    assert target.read_bytes() == DATA
    assert told[-1] == (len(DATA), 0 if path == "/endless" else len(DATA))


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_one_that_broke_off_is_gone_on_with(knows_ranges: bool, server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match="the same command goes on"):
        download(server.address("/breaks"), target, HASH, MOST)
    assert 0 < target.stat().st_size < len(DATA)
    server.knows_ranges = knows_ranges
    download(server.address("/file"), target, HASH, MOST)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={len(DATA) // 2}-"]


def test_one_that_is_whole_already_is_only_checked(server: Server, target: Path) -> None:
    target.write_bytes(DATA)
    download(server.address("/file"), target, HASH, MOST)
    assert target.read_bytes() == DATA


def test_a_wrong_hash_is_refused_and_the_file_removed(server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=f"removed: its sha256 is {HASH}"):
        download(server.address("/file"), target, "0" * 64, MOST)
    assert not target.exists()
    target.write_bytes(b"of another file" + DATA)  # longer than the right one
    with pytest.raises(DownloadError, match="removed"):
        download(server.address("/file"), target, HASH, MOST)
    assert not target.exists()


@pytest.mark.parametrize(
    ("path", "said"), [("/file", "1 MiB is more than 0 MiB"), ("/endless", "more than 0 MiB came")]
)
def test_too_much_is_not_taken(path: str, said: str, server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=said):
        download(server.address(path), target, HASH, 1 << 19)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://models.example/a", "not an https"),
        ("file:///etc/passwd", "not an https"),
        ("ftp://127.0.0.1/a", "not an https"),
        ("https://", "not an https"),
        ("http://127.0.0.1:9/a", "refused"),
    ],
)
def test_other_addresses_are_one_line(address: str, said: str, target: Path) -> None:
    with pytest.raises(DownloadError, match=said) as caught:
        download(address, target, HASH, MOST)
    assert "\n" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize(("path", "said"), [("/none", "the server says 404"), ("/away", "not an https")])
def test_what_the_server_may_not_do(path: str, said: str, server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=said):
        download(server.address(path), target, HASH, MOST)
    assert not target.exists()

"""Listeners of /events that do what no listener should: each is answered or let go, and the places come back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from server.door.events import MAX_LISTENERS_A_CALLER
from tests.bad_input.serving import ANSWER_S, Server
from tests.server.door.running import wait_until


@contextlib.contextmanager
def asking(server: Server, request: bytes, source: str | None = None) -> Iterator[socket.socket]:
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, ANSWER_S, (source or server.source(), 0)) as sock:
        sock.sendall(request)
        yield sock


def get(path: bytes = b"/events", headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"


def begins(sock: socket.socket) -> bytes:
    """All up to the end of the first event."""
    data = b""
    while b"\r\n\r\n" not in data or b"\n\n" not in data.partition(b"\r\n\r\n")[2]:
        more = sock.recv(4096)
        if not more:
            break
        data += more
    return data


TAKEN = {
    "a query": get(b"/events?since=%00&x=" + b"y" * 999),
    "a range": get(headers=b"Range: bytes=0-1\r\n"),
    "another language": get(headers=b"Accept: image/png\r\n"),
    "an event before all": get(headers=b"Last-Event-ID: -1\r\n"),
    "an event of markup": get(headers=b"Last-Event-ID: <script>\x80\r\n"),
    "a huge event": get(headers=b"Last-Event-ID: " + b"9" * 9000 + b"\r\n"),
    "a token of none": get(headers=b"Authorization: Bearer \r\n"),
    "packed": get(headers=b"Accept-Encoding: gzip, br, x\r\n"),
    "a body": get(headers=b"Content-Length: 5\r\n") + b"hello",
    "an upgrade": get(
        headers=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n"
    ),
    "an end at once": get(headers=b"Connection: close\r\n"),
    "a condition": get(headers=b"If-None-Match: *\r\nIf-Modified-Since: never\r\n"),
    "expectations": get(headers=b"Expect: 100-continue\r\n"),
    "a trailer": get(headers=b"TE: trailers\r\n"),
}


@pytest.mark.parametrize("request_", TAKEN.values(), ids=TAKEN)
def test_what_is_beside_the_point_is_passed_over(server: Server, request_: bytes) -> None:
    with asking(server, request_) as sock:
        answer = begins(sock)
    assert answer.split()[1] in (b"200", b"400")
    assert b"event: streams" in answer or b" 400 " in answer


REFUSED = [
    (b"GET", b"/events#x", 404),
    (b"POST", b"/events", 405),
    (b"PUT", b"/events", 405),
    (b"DELETE", b"/events", 405),
    (b"PATCH", b"/events", 405),
    (b"HEAD", b"/events", 405),
    (b"OPTIONS", b"/events", 405),
    (b"GET", b"/events/", 404),
    (b"GET", b"/events/x", 404),
    (b"GET", b"/EVENTS", 404),
    (b"GET", b"//events", 404),
    (b"GET", b"/events%00", 404),
    (b"GET", b"/events%0d%0aevent:x", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), REFUSED)
def test_other_methods_and_paths(server: Server, method: bytes, path: bytes, status: int) -> None:
    with asking(server, get(path, b"Content-Length: 0\r\n", method)) as sock:
        assert int(sock.recv(4096).split()[1]) == status


@pytest.mark.parametrize("end", ["closed", "reset", "half closed", "a second request", "bytes"])
def test_the_place_comes_back_however_a_listener_goes(server: Server, end: str) -> None:
    source = server.source()
    for _ in range(MAX_LISTENERS_A_CALLER + 1):

        def is_let_in() -> bool:
            with asking(server, get(), source) as sock:
                if begins(sock).split()[1] != b"200":
                    return False
                leave(sock, end)
                return True

        wait_until(is_let_in, "a place that came back")


def leave(sock: socket.socket, end: str) -> None:
    match end:
        case "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        case "half closed":
            sock.shutdown(socket.SHUT_WR)
        case "a second request":
            sock.sendall(get() + get(b"/streams"))
        case "bytes":
            sock.sendall(bytes(range(256)) * 99)


def test_a_fifth_of_one_caller_is_refused_and_the_four_go_on(server: Server) -> None:
    source = server.source()
    with contextlib.ExitStack() as stack:
        four = [stack.enter_context(asking(server, get(), source)) for _ in range(MAX_LISTENERS_A_CALLER)]
        for sock in four:
            assert b" 200 " in begins(sock)
        for _ in range(20):
            with asking(server, get(headers=b"Connection: close\r\n"), source) as fifth:
                assert int(fifth.recv(4096).split()[1]) == 429
        for sock in four:
            assert b"event:" in sock.recv(4096)


def test_many_that_never_read(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(asking(server, get()))
        server.wait_frames(5)
        assert server.get("/healthz")["status"] == "ok"
    assert server.ask("GET", "/streams").status == 200

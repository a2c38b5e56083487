"""Requests that are not what they should be: each gets its status at once."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

import pytest

from tests.bad_input.serving import Server

LONGEST_S = 3.0
SDP, FRAGMENT, JSON = "application/sdp", "application/trickle-ice-sdpfrag", "application/json"

NAMES = {
    "dots": "..",
    "encoded dots": "%2e%2e",
    "slash": "a%2fb",
    "backslash": "a%5cb",
    "up and away": "..%2f..%2fetc%2fpasswd",
    "device": "CON",
    "NUL": "a%00b",
    "right to left": "%E2%80%AEgnp",
    "capitals": "Lobby",
    "space": "a%20b",
    "dash first": "-a",
    "underscore first": "_a",
    "65 letters": "a" * 65,
    "1000 letters": "a" * 1000,
    "markup": "%3Cimg%20onerror%3D1%3E",
    "quote": "%22",
    "apostrophe": "%27",
    "newline": "a%0Ab",
    "return": "a%0D%0Ab",
    "tab": "%09",
    "semicolon": "a;b",
    "percent": "%25",
    "no UTF-8": "%FF%FE",
    "overlong": "%C0%AE",
    "zero width": "%E2%80%8B",
    "full width": "%EF%BD%81",
    "e acute": "%C3%A9",
    "combining": "e%CC%81",
    "digit of another script": "%D9%A1",
    "emoji": "%F0%9F%92%A9",
    "dot": "a.b",
    "colon": "a:b",
    "tilde": "~",
    "star": "*",
    "dollar": "$%7Bx%7D",
    "braces": "%7B%7Bx%7D%7D",
    "at": "a@b",
    "comma": "a,b",
    "pipe": "a%7Cb",
    "newline at the end": "good%0A",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("POST", "/whip/{}", SDP), ("PATCH", "/streams/{}/redaction", JSON)],
    ids=["whip", "redaction"],
)
def test_names(server: Server, method: str, path: str, kind: str, name: str) -> None:
    answer = server.ask(method, path.format(name), "{}", Content_Type=kind)
    assert answer.status in (404, 405, 422)
    assert name not in server.streams()


FEEDS = [
    "",
    "RAW",
    "raw/",
    "redacted/1",
    "fancam/",
    "fancam/x",
    "fancam/-1",
    "fancam/1e3",
    "fancam/1234567890",
    "fancam/1/2",
    "../raw",
    "%2e%2e/raw",
    "redacted%0A",
    "fancam/%D9%A1",
    "fancam/1%00",
    "none",
]


@pytest.mark.parametrize("feed", FEEDS)
def test_feeds(server: Server, feed: str) -> None:
    assert server.ask("POST", f"/whep/good/{feed}", "v=0", Content_Type=SDP).status in (400, 404, 405, 422)


HOSTS = [
    "evil.example",
    "",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example:80",
    "127.0.0.2",
    "0.0.0.0",
    "[::1]",
    "2130706433",
    "0x7f000001",
    "127.1",
    "localhost@evil.example",
    "evil.example#localhost",
    "loc%61lhost",
    "[::ffff:127.0.0.1]",
    "[",
    "]",
    "localhost:port:1",
    "a b",
    "\xe9",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/streams", "/events", "/static/main.js", "/openapi.json"])
def test_hosts(server: Server, host: str, path: str) -> None:
    assert server.ask("GET", path, Host=host).status in (400, 421)


ORIGINS = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Origin": "http://localhost"},
    {"Origin": ""},
    {"Origin": "x"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "x"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://["},
]
CHANGING = [
    ("POST", "/whip/x", SDP),
    ("POST", "/whep/good/raw", SDP),
    ("PATCH", "/streams/good/redaction", JSON),
    ("PUT", "/streams/x/input", JSON),
    ("DELETE", "/streams/x/input", JSON),
]


@pytest.mark.parametrize("headers", ORIGINS, ids=lambda headers: " ".join(map(" ".join, headers.items())))
@pytest.mark.parametrize(("method", "path", "kind"), CHANGING)
def test_other_pages(server: Server, method: str, path: str, kind: str, headers: dict[str, str]) -> None:
    assert server.ask(method, path, "{}", Content_Type=kind, **headers).status == 403
    assert server.streams()["good"]["panic"] is False


TYPES = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/sdp2",
    "application",
    "text/html",
    "application/json+sdp",
    ";application/sdp",
    "*/*",
]


@pytest.mark.parametrize("origin", [headers["Origin"] for headers in ORIGINS if "Origin" in headers])
def test_preflights_of_other_pages(server: Server, origin: str) -> None:
    answer = server.ask("OPTIONS", "/whip/x", Origin=origin, Access_Control_Request_Method="POST")
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    ("method", "path", "_"), [CHANGING[0], CHANGING[2], CHANGING[3]], ids=["whip", "redaction", "input"]
)
def test_types(server: Server, method: str, path: str, _: str, kind: str) -> None:
    assert server.ask(method, path, "{}", Content_Type=kind).status == 415


REDACTIONS = {
    "empty": "",
    "no JSON": "{",
    "list": "[]",
    "number": "1",
    "null": "null",
    "string": '"panic"',
    "unknown key": '{"off":true}',
    "panic a number": '{"panic":1}',
    "panic a word": '{"panic":"false"}',
    "no style": '{"style":"none"}',
    "style off": '{"style":false}',
    "zones a word": '{"zones":"all"}',
    "a zone of two": '{"zones":[[[0,0],[1,1]]]}',
    "outside": '{"zones":[[[0,0],[2,0],[0,1]]]}',
    "negative": '{"zones":[[[-1,0],[1,0],[0,1]]]}',
    "NaN": '{"zones":[[[NaN,0],[1,0],[0,1]]]}',
    "three": '{"zones":[[[0,0,0],[1,0],[0,1]]]}',
    "infinite": '{"zones":[[[Infinity,0],[1,0],[0,1]]]}',
    "1e999": '{"zones":[[[1e999,0],[1,0],[0,1]]]}',
    "deep": "[" * 20_000,
    "deep zones": '{"zones":' + "[" * 20_000,
    "not UTF-8": b'{"panic":\xff}',
    "UTF-16": '{"panic":true}'.encode("utf-16"),
    "BOM": b'\xef\xbb\xbf{"panic":"x"}',
    "long number": '{"panic":' + "9" * 10_000 + "}",
    "a million zones": '{"zones":' + str([[]] * 9000) + "}",
    "a zone of many": '{"zones":[' + str([[0, 0]] * 6000) + "]}",
    "surrogate": '{"style":"\\ud800"}',
    "NUL": '{"style":"solid\\u0000"}',
}


@pytest.mark.parametrize("body", REDACTIONS.values(), ids=REDACTIONS)
def test_redactions(server: Server, body: bytes | str) -> None:
    before = server.streams()["good"]
    assert server.ask("PATCH", "/streams/good/redaction", body, Content_Type=JSON).status in (400, 422)
    after = server.streams()["good"]
    assert (after["panic"], after["zones"]) == (before["panic"], before["zones"])


BOUNDED = [
    ("POST", "/whip/x", SDP, 64 << 10),
    ("PATCH", "/streams/good/redaction", JSON, 64 << 10),
    ("PUT", "/streams/x/input", JSON, 64 << 10),
    ("POST", "/whep/good/raw", SDP, 64 << 10),
]


@pytest.mark.parametrize(("method", "path", "kind", "limit"), BOUNDED)
def test_bodies_over_their_size(server: Server, method: str, path: str, kind: str, limit: int) -> None:
    assert server.ask(method, path, b" " * (limit + 1), Content_Type=kind).status == 413


METHODS = ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X", "GET" * 20]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/streams", "/whip/x", "/", "/static/main.js", "/nowhere"])
def test_methods(server: Server, method: str, path: str) -> None:
    assert server.ask(method, path).status in (400, 404, 405)


PATHS = [
    "/static/../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%2f..%2f..%2fetc%2fpasswd",
    "/static//etc/passwd",
    "/static/%00",
    "/static/" + "a" * 5000,
    "/static/..\\..\\etc",
    "/static/.",
    "/static/",
    "/nowhere",
    "/streams/",
    "/whip",
    "/whip/",
    "/whip/x/y/z",
    "/whep/session/",
    "/.git/config",
    "/static/%2Fetc/passwd",
    "/%ff",
    "/static/%c0%ae%c0%ae/",
    "/static/main.js%00.css",
    "/openapi.json/..",
    "/metrics/../streams/",
    "/docs/",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths(server: Server, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status in (404, 405)
    assert b"root:" not in answer.body


RAW = {
    "nothing": b"\r\n\r\n",
    "words": b"hello\r\n\r\n",
    "no version": b"GET /streams\r\n\r\n",
    "version 9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /streams HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /streams HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "bytes": bytes(range(256)) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00" * 9,
    "two lengths": b"POST /whip/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nv=0",
    "length and chunks": b"POST /whip/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /whip/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /whip/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "broken chunk": b"POST /whip/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET /x HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    "long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "a proxy's": b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "upgrade": b"GET /events HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no newline": b"GET / HTTP/1.1",
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_what_is_hardly_http(server: Server, data: bytes) -> None:
    assert status(server, data) in (0, 400, 404, 405, 411, 413, 414, 415, 421, 431, 505)


def status(server: Server, data: bytes) -> int:
    """Send bytes and no more; the status, or 0 for a connection closed without one."""
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), LONGEST_S) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(4096)
        except ConnectionError:
            answer = b""
    assert time.monotonic() - began_s < LONGEST_S
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


def test_mutated_requests(server: Server, tried: Callable[[int], None]) -> None:
    good = b"PATCH /streams/nobody/redaction HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
    good += b'{"panic":true}'
    chance = random.Random(11)
    end_s, count = time.monotonic() + 4, 0
    while time.monotonic() < end_s and count < 600:
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 9)]
                case _:
                    data[at:at] = chance.choice([b"\r\n", b"\x00", b" ", b":", b"\xff\xff", b"%2e", b"/", b"{" * 9])
        assert status(server, bytes(data)) < 500
        count += 1
    tried(count)
